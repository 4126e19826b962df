"""What must hold before a release is published, and what to do then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.files import read_json
from common.packing.contents import bundle_names
from common.packing.model_info import MODEL_INFO, PUBLISHED, UNKNOWN_REPOSITORY
from common.packing.packed import Packed
from common.packing.sums import SUMS, check_sums
from common.packing.tracked import uncommitted
from common.packing.versions import agreed_version, changelog_sections


def check_ready(root: Path, *, tag: str | None = None) -> None:
    """Checks what a release needs before anything is packed.

    Args:
        root: The repository's folder.
        tag: Tag of the release if it is known, which must be that of the version.

    Raises:
        ValueError: If versions disagree, if the tag is another version's, if tracked files differ from the last
            commit, or if the changelog has changes that belong to no version.
    """
    version = agreed_version(root, bundle_names(root))
    if tag not in (None, f"v{version}"):
        raise ValueError(f"tag must be v{version}, as in common/__init__.py, got {tag}.")
    if changed := uncommitted(root):
        raise ValueError(f"expected all changes in a commit before a release, found {', '.join(changed)}.")
    if changelog_sections(root).get("Unreleased"):
        raise ValueError(f"CHANGELOG.md: expected nothing under [Unreleased] before a release; move it to [{version}].")


def check_packed(root: Path, packed: Packed) -> list[str]:
    """Checks that what was packed may be published, and is whole.

    Args:
        root: The repository's folder.
        packed: What was packed.

    Returns:
        Names of the files that were checked against `SHA256SUMS`.

    Raises:
        ValueError: If this version was published with other contents, or if files and `SHA256SUMS` disagree.
    """
    published, made = _entries(root / PUBLISHED), _entries(packed.folder / MODEL_INFO)
    others = [name for name in published if name.endswith(f"_v{packed.version}") and published[name] != made[name]]
    if others:
        raise ValueError(
            f"{PUBLISHED}: {', '.join(others)} was published with another checksum or address; give what has changed "
            "since a new version."
        )
    return check_sums(packed.folder)


def _entries(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def next_steps(packed: Packed) -> str:
    """The commands that publish what was packed, for a person to read and run."""
    tag, folder, repository = f"v{packed.version}", packed.folder, packed.repository
    first = packed.zips[0].name.removesuffix(f"_{tag}.zip")
    lines = [
        f"{folder}: {len(packed.zips)} bundles and the wheel of version {packed.version}, checked. To publish them:",
        "",
        "1. Tell MONAI where the zips are, and tag the commit:",
        f"   mkdir -p {PUBLISHED.parent} && cp {folder / MODEL_INFO} {PUBLISHED}",
        f"   git add {PUBLISHED} && git commit -m 'Bundles of {tag}' && git tag -a {tag} -m {tag}",
        f"   git push origin HEAD {tag}",
        "2. Publish the release. On GitHub the workflow does this as soon as the tag is there; by hand:",
        f"   gh release create {tag} --verify-tag --title {tag} --generate-notes {folder}/*.zip {folder}/*.whl "
        f"{folder / MODEL_INFO} {folder / SUMS}",
        "3. Download it as a collaborator would:",
        f"   python -m monai.bundle download --name {first} --source github --repo {repository}/{tag} "
        f"--version {packed.version} --bundle_dir DIR",
        "4. If wanted, the Hugging Face Hub, private until you say otherwise, from an unpacked zip:",
        f"   python -m monai.bundle push_to_hf_hub --repo OWNER/{first} --name {first} --bundle_dir DIR "
        f"--version {packed.version} --revision main --private True",
    ]
    if repository == UNKNOWN_REPOSITORY:
        lines += [
            "",
            f"{MODEL_INFO} names no repository yet, and links of the bundles' pages lead nowhere: run this again with "
            "--repository OWNER/NAME.",
        ]
    return "\n".join(lines)
