"""The package as a wheel, built from the files that git tracks alone."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from common.packing.tracked import tracked

SOURCES = ("LICENSE", "README.md", "bundles", "common", "pyproject.toml", "setup.cfg", "setup.py")
"""Files and folders of the repository that a wheel is made of."""

EPOCH = "315532800"
"""1980-01-01 in seconds, the date of all files in the wheel; see :data:`common.packing.archive.EPOCH`."""


def build_wheel(root: Path, folder: Path) -> Path:
    """Builds the package's wheel; the same files give the same bytes.

    Args:
        root: The repository's folder.
        folder: Folder that gets the wheel.

    Raises:
        ImportError: If setuptools, which builds it, is not installed.
        RuntimeError: If it cannot be built.
    """
    if importlib.util.find_spec("setuptools") is None:
        raise ImportError("setuptools is needed to build the wheel: python -m pip install 'setuptools>=77'")
    with TemporaryDirectory() as temporary:
        source, made = Path(temporary, "source"), Path(temporary, "made")
        for name in tracked(root, *SOURCES):
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, target)
            target.chmod(0o644)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        done = subprocess.run(
            [*command, "--wheel-dir", str(made), str(source)],
            env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH},
            capture_output=True,
            text=True,
            errors="replace",
            umask=0o022 if os.name == "posix" else -1,
        )
        if done.returncode:
            raise RuntimeError(f"{root}: pip could not build the wheel:\n{(done.stderr or done.stdout)[-2000:]}")
        (wheel,) = made.glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{os.getpid()}.{wheel.name}"
        shutil.copyfile(wheel, partial)
        return partial.replace(folder / wheel.name)
