"""``python -m common pack``, ``release`` and ``fetch_bundle``: bundles as files that travel."""

from __future__ import annotations

from pathlib import Path

import common
from common.commands.options import Folder, Text

ROOT = Path(common.__file__).resolve().parents[1]
"""Folder of the repository, if the package is used from there."""


def pack(*names: str, output_dir: Folder = "dist", repository: Text | None = None) -> None:
    """Pack bundles into zip files, with the wheel, model_info.json and SHA256SUMS beside them.

    Args:
        names: Names of bundles, or all.
        output_dir: Folder whose bundles/ gets the files.
        repository: OWNER/NAME of the repository at GitHub that will have the files, for model_info.json; by default
            that of the remote origin.
    """
    from common.packing import pack as run

    if not names:
        raise ValueError("pack needs names of bundles, or all.")
    packed = run(names, output_dir, ROOT, repository=repository)
    for name in packed.left_out:
        print(f"Left out, since bundles hold nothing of the kind: {name}")
    for name in packed.uncommitted:
        print(f"Packed as it is, not as in the last commit: {name}")
    for path in (*packed.zips, packed.wheel):
        print(f"{path.stat().st_size:>12,} bytes  {path}")


def release(
    output_dir: Folder = "dist", repository: Text | None = None, tag: Text | None = None, only_check: bool = False
) -> None:
    """Pack all bundles into a new folder, check everything, and print how to publish them.

    Args:
        output_dir: Folder whose bundles/ gets the files; it must not exist yet.
        repository: OWNER/NAME of the repository at GitHub that will have the files; by default that of the remote
            origin.
        tag: The tag that the release will have, to be sure that it is that of the version.
        only_check: Whether to pack nothing, and only check versions, changelog and commit, which takes a second.
    """
    from common.packing import check_packed, check_ready, next_steps
    from common.packing import pack as run

    check_ready(ROOT, tag=tag)
    if only_check:
        return
    if (folder := Path(output_dir, "bundles")).exists():
        raise FileExistsError(f"{folder}: expected a new folder, so that nothing old is published; delete it first.")
    packed = run(["all"], output_dir, ROOT, repository=repository)
    for name in check_packed(ROOT, packed):
        print(f"checked: {name}")
    print(next_steps(packed))


def fetch_bundle(source: Text, bundle_dir: Folder = ".", sha256: Text | None = None) -> None:
    """Download a bundle's zip (or take one that is here), check it, and unpack it into a new folder.

    Args:
        source: Address or file of NAME_vX.Y.Z.zip.
        bundle_dir: Folder that gets the folder NAME.
        sha256: SHA-256 of the zip; by default that in the file SHA256SUMS beside it.
    """
    from common.packing import fetch_bundle as run

    folder = run(source, bundle_dir, checksum=sha256)
    print(f"{folder}: unpacked and checked. Its configs are code: read {folder}/docs/README.md before you run them.")
    if (folder / "large_files.yml").is_file():
        print(f"Its large files: python -m monai.bundle download_large_files --bundle_path {folder}")
