"""Pages whose links hold wherever the bundle is unpacked."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[)#])")
"""The path of a link in Markdown that is neither an address nor a place in the page itself."""


def travelling_pages(files: Mapping[str, Path], root: Path, address: str) -> dict[str, bytes]:
    """The Markdown pages of a zip, with links that hold in it.

    A link to a file that travels too leads to its place in the zip, every other link to the repository's web page.

    Args:
        files: All files of the zip, by their names in it.
        root: The repository's folder, in which the pages' links hold as they are.
        address: Web address of the repository's files, without a slash at its end.

    Returns:
        The pages, in UTF-8, by their names in the zip.
    """
    places = {path.relative_to(root).as_posix(): name for name, path in files.items()}

    def rewritten(name: str, page: Path) -> str:
        def moved(link: re.Match[str]) -> str:
            target = Path(os.path.normpath(page.relative_to(root).parent / link[1])).as_posix()
            if target in places:
                return posixpath.relpath(places[target], posixpath.dirname(name))
            return f"{address}/{target}"

        return LINK.sub(moved, page.read_text(encoding="utf-8"))

    return {name: rewritten(name, path).encode() for name, path in files.items() if path.suffix == ".md"}
