"""What git knows of the repository: the files that it tracks, and those that differ from the last commit."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path


def tracked(root: Path, *places: str) -> list[str]:
    """Paths of the files that git tracks, relative to the repository's folder, with forward slashes, sorted.

    Args:
        root: The repository's folder.
        places: Files and folders in it to which the list is limited; by default all.

    Raises:
        RuntimeError: If there is no git, or the folder is no checkout.
        FileNotFoundError: If a tracked file is missing in the working tree.
        ValueError: If a tracked file is a link, which might lead anywhere.
    """
    names = sorted(filter(None, _git(root, "ls-files", "-z", "--", *places).split("\0")))
    for name in names:
        if (root / name).is_symlink():
            raise ValueError(f"{root / name}: expected a file to pack, found a link; replace it with the file.")
        if not (root / name).is_file():
            raise FileNotFoundError(f"{root / name}: git tracks this file, but it is missing; restore or remove it.")
    return names


def uncommitted(root: Path) -> list[str]:
    """Paths of tracked files that differ from the last commit, sorted; untracked files are never packed anyway."""
    changes = _git(root, "diff", "--name-only", "-z", "HEAD", "--")
    return sorted(filter(None, changes.split("\0")))


def github_repository(root: Path) -> str | None:
    """``OWNER/NAME`` of the repository at GitHub that the remote ``origin`` names, or None."""
    remotes = _git(root, "remote", "--verbose")
    found = re.search(r"^origin\s+\S*github\.com[:/]([\w.-]+/[\w.-]+?)(\.git)?/?\s", remotes, re.MULTILINE)
    return found[1] if found else None


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=True)
    except FileNotFoundError:
        raise RuntimeError("git: expected on the PATH, since only files that it tracks are packed.") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
        raise RuntimeError(f"{root}: expected a checkout of the repository, git says: {reason}") from None
    return done.stdout.decode()
