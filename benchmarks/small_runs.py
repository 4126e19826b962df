"""Every method at the size of seconds, for what has to run it very often."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.commands.bundles import run_workflow

ROOT = Path(__file__).resolve().parents[1]
SEVERAL = {"device": "cpu", "precision": "fp32", "checkpoint_interval": 2}
FMABS = SEVERAL | {
    "roi_size": [32, 32, 32],
    "stride": [32, 32, 32],
    "max_iterations": 8,
    "val_interval": 4,
    "query_span": [0.375, 0.75],
    "pseudo_label_span": [0.375, 0.75],
    "pseudo_label_rounds": 2,
    "budget": 3,
    "initial_share": 0.34,
    "per_round": 1,
    "network_def#width": 2,
}
SFR = SEVERAL | {"labelled": 1, "max_iterations": 4, "val_interval": 2}
UNET = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": "@channels",
    "out_channels": "@num_classes",
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
    "dropout": 0.2,
}
ASSFT = SEVERAL | {"roi_size": [32, 32, 32], "stride": [32, 32, 32], "network_def": UNET}
SOURCE = {"max_iterations": 4, "val_interval": 2, "warm_up": 1, "phantom_scans": 3, "phantom_size": 32}
FEW = {
    "max_iterations": 6,
    "val_interval": 3,
    "first_round": 2,
    "round_interval": 2,
    "warm_up": 2,
    "budget": 2,
    "encoder": "model.0",
}


def fmabs(cohort: Path, output: Path, annotator: str = "oracle") -> None:
    """FM-ABS to its end, or until somebody has to draw."""
    stage("fmabs_la", "train", FMABS | {"dataset_dir": str(cohort), "output_dir": str(output), "annotator": annotator})


def sfr(cohort: Path, output: Path) -> None:
    """The stages of SFR that are not done yet."""
    known, first = {"dataset_dir": str(cohort)}, output / "finetune"
    sam = {"image_size": 128, "roi_size": [32, 32, 16]}
    stage("sfr_stitch_finetune", "train", SFR | known | sam | {"output_dir": str(first)})
    labels = {"output_dir": str(first), "device": "cpu", "refine": True}
    stage("sfr_stitch_finetune", "pseudo_label", known | sam | labels)
    retrain = {"roi_size": [32, 32, 32], "network_def#width": 2, "output_dir": str(output / "retrain")}
    stage("sfr_retrain", "train", SFR | known | retrain | {"pseudo_label_dir": str(first / "pseudo_labels")})


def assft(cohort: Path, output: Path) -> None:
    """Pre-training, query and fine-tuning of ASSFT."""
    stage("assft_adapt", "pretrain", ASSFT | SOURCE | {"output_dir": str(output)})
    known = {"dataset_dir": str(cohort), "output_dir": str(output), "pretrained": str(output / "pretrained.pt")}
    stage("assft_adapt", "train", ASSFT | FEW | known)


def stage(bundle: str, name: str, settings: Mapping[str, Any]) -> None:
    """Runs a stage of a bundle in this process."""
    run_workflow(ROOT / "bundles" / bundle, [name], settings)


@dataclass(frozen=True)
class Method:
    """A method that is killed.

    Attributes:
        run: Runs it, given the cohort's and the output's folder.
        draws: Whether somebody draws what it asks for between two starts.
    """

    run: Callable[[Path, Path], None]
    draws: bool = False


METHODS = {
    "fmabs_oracle": Method(fmabs),
    "fmabs_folder": Method(lambda cohort, output: fmabs(cohort, output, "folder"), draws=True),
    "sfr": Method(sfr),
    "assft": Method(assft),
}
