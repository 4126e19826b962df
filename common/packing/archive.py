"""Zip files that depend on nothing but the names and contents of what is in them."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from common.files import replacing

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Date of all files in a zip, the earliest that the format knows: what did not change is packed into the same bytes."""

MODE = stat.S_IFREG | 0o644
UNIX = 3


def write_archive(path: Path, files: Mapping[str, Path | bytes]) -> None:
    """Writes a zip file, atomically: sorted names, one date, one set of permissions.

    Args:
        path: File to write.
        files: The files, or their contents, by their names in the zip.
    """
    with replacing(path) as temporary, ZipFile(temporary, "w") as archive:
        for name in sorted(files):
            member = ZipInfo(name, EPOCH)
            member.compress_type = ZIP_DEFLATED
            member.create_system = UNIX
            member.external_attr = MODE << 16
            content = files[name]
            archive.writestr(member, content if isinstance(content, bytes) else content.read_bytes(), compresslevel=9)
