"""Small repositories to pack, and a server for what was packed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from common import __version__
from tests.bundles.workflows import ROOT

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n\n- Everything.\n"


def git(root: Path, *arguments: str) -> None:
    """Runs git as somebody, whoever runs the tests."""
    somebody = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(root), *somebody, *arguments], check=True, capture_output=True)


def commit(root: Path) -> None:
    """Puts all files that are not ignored into a commit."""
    git(root, "add", "--all")
    git(root, "commit", "--message", "everything", "--allow-empty")


def write(root: Path, files: dict[str, str | bytes | dict]) -> None:
    """Writes files; dictionaries as JSON."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            content = json.dumps(content)
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def toy_repository(root: Path) -> Path:
    """A repository with the bundles ``toy``, which has weights, and ``twin``, which has none."""
    metadata = {"version": "0.1.0", "changelog": {"0.1.0": "first"}}
    files: dict[str, str | bytes | dict] = {
        ".gitignore": "*.nii.gz\n",
        "CHANGELOG.md": CHANGELOG,
        "LICENSE": "free",
        "README.md": "toys",
        "setup.cfg": "[metadata]\nname = toy",
        "common/__init__.py": '__version__ = "0.1.0"\n',
        "common/room/module.py": "answer = 42\n",
        "bundles/toy/models/model.pt": bytes(range(256)),
        "bundles/toy/models/model.json": {"spacing": [1, 1, 1]},
    }
    for bundle in ("toy", "twin"):
        files |= {
            f"bundles/{bundle}/LICENSE": "free",
            f"bundles/{bundle}/configs/metadata.json": metadata,
            f"bundles/{bundle}/configs/train.json": {},
            f"bundles/{bundle}/configs/inference.json": {},
            f"bundles/{bundle}/configs/logging.conf": "",
            f"bundles/{bundle}/docs/README.md": "what it does",
        }
    write(root, files)
    git(root, "init", "--initial-branch", "main")
    commit(root)
    return root


def copy_of_the_project(root: Path) -> Path:
    """A repository with this project's own files, as a release has them: with a section for its version."""
    names = ["LICENSE", "README.md", "pyproject.toml", "setup.cfg", "setup.py"]
    names += [
        path.relative_to(ROOT).as_posix() for room in ("bundles", "common") for path in (ROOT / room).rglob("*.*")
    ]
    names += [f"bundles/{bundle.name}/LICENSE" for bundle in (ROOT / "bundles").iterdir() if bundle.is_dir()]
    kept = [name for name in names if "__pycache__" not in name and "/models/" not in name]
    write(
        root,
        {name: (ROOT / name).read_bytes() for name in kept} | {"CHANGELOG.md": CHANGELOG.replace("0.1.0", __version__)},
    )
    git(root, "init", "--initial-branch", "main")
    commit(root)
    return root
