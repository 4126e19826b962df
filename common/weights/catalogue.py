"""The public weights that the methods can start from, and where they lie on this computer."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

WEIGHTS_DIR_VARIABLE = "LABEL_EFFICIENT_WEIGHTS"
"""Environment variable that names the folder of weights."""


@dataclass(frozen=True)
class Weights:
    """A file of weights that its authors publish.

    Args:
        name: by which the command line and the configs call it.
        file: its name in the folder of weights.
        url: its official address.
        license: of the weights.
        description: what they are.
        size: in bytes, if known.
        sha256: all 64 hexadecimal digits, if known.
        hash_prefix: an algorithm of `hashlib` and the first hexadecimal digits of that digest, or all of them.
    """

    name: str
    file: str
    url: str
    license: str
    description: str
    size: int | None = None
    sha256: str | None = None
    hash_prefix: tuple[str, str] | None = None

    @property
    def digests(self) -> dict[str, str]:
        """Algorithm to the first hexadecimal digits that are known; empty if nothing is."""
        known = {} if self.hash_prefix is None else dict([self.hash_prefix])
        return known if self.sha256 is None else known | {"sha256": self.sha256}

    @property
    def facts(self) -> str:
        """Size and digests in words, as far as they are known."""
        size = [] if self.size is None else [f"{self.size:,} bytes"]
        return ", ".join(size + [f"{name.upper()} {digits}" for name, digits in self.digests.items()])


_SAM = "https://dl.fbaipublicfiles.com/segment_anything"

CATALOGUE: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            "mobile_sam",
            "mobile_sam.pt",
            "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
            "Apache-2.0",
            "MobileSAM: SAM with a TinyViT encoder",
            size=40_728_226,
            sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        ),
        Weights(
            "sam_vit_b",
            "sam_vit_b_01ec64.pth",
            f"{_SAM}/sam_vit_b_01ec64.pth",
            "Apache-2.0",
            "Segment Anything, ViT-B",
            size=375_042_383,
            sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
            hash_prefix=("md5", "01ec64"),
        ),
        Weights(
            "sam_vit_l",
            "sam_vit_l_0b3195.pth",
            f"{_SAM}/sam_vit_l_0b3195.pth",
            "Apache-2.0",
            "Segment Anything, ViT-L",
            size=1_249_524_607,
            sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
            hash_prefix=("md5", "0b3195"),
        ),
        Weights(
            "sam_vit_h",
            "sam_vit_h_4b8939.pth",
            f"{_SAM}/sam_vit_h_4b8939.pth",
            "Apache-2.0",
            "Segment Anything, ViT-H",
            size=2_564_550_879,
            sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
            hash_prefix=("md5", "4b8939"),
        ),
        Weights(
            "medsam",
            "medsam_vit_b.pth",
            "https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
            "CC-BY-4.0",
            "MedSAM: SAM ViT-B fine-tuned on medical images",
            size=375_049_145,
            hash_prefix=("md5", "3bb6db55bd0c9ca30b61248bca72f8d6"),
        ),
        Weights(
            "swin_unetr_ssl",
            "model_swinvit.pt",
            "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/model_swinvit.pt",
            "not stated",
            "Swin UNETR's encoder, self-supervised on 5,050 CT scans",
        ),
    )
}
"""By name. What SAM's authors put in their file names are the first digits of the files' MD5."""


def known(name: str) -> Weights:
    """The catalogue's entry.

    Raises:
        ValueError: if there is none, with the names there are.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    close = difflib.get_close_matches(str(name), CATALOGUE, n=1)
    guess = f" Did you mean {close[0]}?" if close else ""
    raise ValueError(f"weights must be one of {', '.join(CATALOGUE)}; got {name!r}.{guess}")


def weights_dir() -> Path:
    """`LABEL_EFFICIENT_WEIGHTS` if set, else `label-efficient-bundles/weights` in the user's cache folder."""
    if chosen := os.environ.get(WEIGHTS_DIR_VARIABLE):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "label-efficient-bundles" / "weights"


def path(name: str) -> Path:
    """Where the file lies, or would."""
    return weights_dir() / known(name).file


def find(name: str) -> Path:
    """The file, whose size is checked (`fetch` checks the digest as well).

    Raises:
        FileNotFoundError: if it is not there, with the ways to get it.
        ValueError: if there are no weights of that name, or the file has another size than theirs.
    """
    weights, place = known(name), path(name)
    if not place.is_file():
        raise FileNotFoundError(
            f"no weights of {name} at {place}. `python -m common weights fetch {name}` downloads them. {by_hand(name)}"
        )
    if weights.size not in (None, found := place.stat().st_size):
        raise ValueError(
            f"{place}: expected {weights.size:,} bytes, found {found:,}. Delete it, then "
            f"`python -m common weights fetch {name}`."
        )
    return place


def by_hand(name: str) -> str:
    """How to get weights onto a computer without a network."""
    weights = known(name)
    facts = f" ({weights.facts})" if weights.facts else ""
    return f"Without a network here, download {weights.url}{facts} elsewhere and put it at {path(name)}."
