"""Packs bundles: their zips, the wheel, and what tells others where they are and whether they are whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.packing.archive import write_archive
from common.packing.contents import bundle_contents, bundle_names
from common.packing.model_info import UNKNOWN_REPOSITORY, write_model_info
from common.packing.pages import travelling_pages
from common.packing.sums import write_sums
from common.packing.tracked import github_repository, uncommitted
from common.packing.versions import agreed_version
from common.packing.wheel import build_wheel


@dataclass(frozen=True)
class Packed:
    """What was packed.

    Attributes:
        folder: Folder of all files.
        version: The version of all bundles.
        zips: The bundles' zip files.
        wheel: The package's wheel.
        repository: ``OWNER/NAME`` at GitHub that `model_info.json` names.
        left_out: Tracked files of the bundles, below the repository's folder, that do not travel.
        uncommitted: Tracked files that were packed as they are, not as in the last commit.
    """

    folder: Path
    version: str
    zips: list[Path]
    wheel: Path
    repository: str
    left_out: list[str]
    uncommitted: list[str]


def pack(names: Sequence[str], output_dir: str | Path, root: Path, *, repository: str | None = None) -> Packed:
    """Packs bundles from the files of the repository that git tracks.

    Args:
        names: Names of bundles, or ``all``.
        output_dir: Folder whose ``bundles/`` gets ``NAME_vX.Y.Z.zip``, the wheel, `model_info.json` and `SHA256SUMS`.
        root: The repository's folder.
        repository: ``OWNER/NAME`` of the repository at GitHub, to which links of the bundles' pages lead; by default
            that of the remote ``origin``.

    Raises:
        FileNotFoundError: If there is no such bundle, or a file that it needs is missing.
        ImportError: If a package is missing that is needed to pack.
        RuntimeError: If this is no checkout of the repository, or the wheel cannot be built.
        ValueError: If versions disagree, or a file is too large; nothing is written.
    """
    if not all((root / name).is_file() for name in ("setup.cfg", "CHANGELOG.md")):
        raise RuntimeError(f"{root}: expected a checkout of the repository; bundles are packed from its files.")
    known = bundle_names(root)
    if unknown := [name for name in names if name not in (*known, "all")]:
        raise FileNotFoundError(f"{', '.join(unknown)}: expected all or names of bundles: {', '.join(known)}.")
    bundles = known if "all" in names else sorted(set(names))
    version = agreed_version(root, bundles)
    contents = {bundle: bundle_contents(root, bundle) for bundle in bundles}
    folder = Path(output_dir, "bundles")
    wheel = build_wheel(root, folder)
    repository = repository or github_repository(root) or UNKNOWN_REPOSITORY
    address = f"https://github.com/{repository}/blob/v{version}"
    zips = []
    for bundle, (files, _) in contents.items():
        zips.append(folder / f"{bundle}_v{version}.zip")
        write_archive(zips[-1], {**files, **travelling_pages(files, root, address)})
    write_model_info(root, folder, version, repository)
    write_sums(folder)
    left_out = [f"bundles/{bundle}/{name}" for bundle, (_, names) in contents.items() for name in names]
    return Packed(folder, version, zips, wheel, repository, left_out, uncommitted(root))
