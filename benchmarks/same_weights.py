"""Checks whether two checkouts of this project train the same weights, by a few iterations of every bundle.

    python benchmarks/same_weights.py --output_dir RUNS/before --checkout OLD
    python benchmarks/same_weights.py --output_dir RUNS/after --checkout .
    python benchmarks/same_weights.py --compare RUNS/before RUNS/after

The bundles train on phantoms with fixed seeds. A change that is meant to leave training as it is must give equal
tensors. Both checkouts must run on the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import torch

SMALL = {"seed": 3, "device": "cpu", "precision": "fp32", "val_interval": 4}
CUBES = SMALL | {"roi_size": [32, 32, 32], "stride": [16, 16, 16]}
SPANS = {"query_span": [0.375, 0.75], "pseudo_label_span": [0.375, 0.75], "pseudo_label_rounds": 2}
ROUNDS = SPANS | {"max_iterations": 8, "budget": 3, "initial_share": 0.34, "per_round": 1}
FMABS = CUBES | ROUNDS | {"network_def#width": 2}
OPTIONS = {"propagate": True, "fusion": "mean", "largest_volumes": 1, "denoise": True, "query": "clasp_pe"}
STITCHED = SMALL | {"roi_size": [32, 32, 16], "stride": [32, 32, 16], "image_size": 128, "max_iterations": 4}
RETRAIN = CUBES | {"max_iterations": 5, "labelled": 2, "network_def#width": 2}
UNET = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": "@channels",
    "out_channels": "@num_classes",
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}
ADAPT = CUBES | {"network_def": UNET}
SOURCE = {"max_iterations": 4, "warm_up": 1, "phantom_scans": 3, "phantom_size": 32}
ADAPTING = {"max_iterations": 8, "first_round": 3, "round_interval": 3, "warm_up": 2, "encoder": "model.0", "budget": 2}
LABELS = {"pseudo_label_dir": "finetune/pseudo_labels"}

RUNS: tuple[tuple[str, str, str, dict], ...] = (
    ("fmabs_la", "fmabs_la", "train", FMABS),
    ("fmabs_la", "fmabs_la", "evaluate", CUBES | {"network_def#width": 2}),
    ("fmabs_la", "fmabs_la", "inference", CUBES | {"network_def#width": 2, "spacing": [3.0, 2.0, 2.5]}),
    ("fmabs_options", "fmabs_la", "train", FMABS | OPTIONS),
    ("fmabs_features", "fmabs_la", "train", FMABS | {"query": "coreset", "prototypes": True, "abstain": True}),
    ("fmabs_brats", "fmabs_brats", "train", FMABS),
    ("finetune", "sfr_stitch_finetune", "train", STITCHED | {"labelled": 2}),
    ("finetune", "sfr_stitch_finetune", "pseudo_label", STITCHED),
    ("selected", "sfr_stitch_finetune", "train", STITCHED | {"labelled": 2, "share": 0.5, "threshold": 0.1} | LABELS),
    ("retrain", "sfr_retrain", "train", RETRAIN | LABELS | {"weigh_scans": True, "threshold": 0.1}),
    ("retrain", "sfr_retrain", "evaluate", CUBES | {"network_def#width": 2}),
    ("retrain_cps", "sfr_retrain", "train", RETRAIN | LABELS | {"semi_supervised": "cps"}),
    ("retrain_uamt", "sfr_retrain", "train", RETRAIN | LABELS | {"semi_supervised": "uamt"}),
    ("retrain_ict", "sfr_retrain", "train", RETRAIN | LABELS | {"semi_supervised": "ict"}),
    ("adapt", "assft_adapt", "pretrain", ADAPT | SOURCE),
    ("adapt", "assft_adapt", "query", ADAPT | {"budget": 2, "pretrained": "adapt/pretrained.pt"}),
    ("adapt", "assft_adapt", "train", ADAPT | ADAPTING | {"pretrained": "adapt/pretrained.pt"}),
    ("adapt", "assft_adapt", "evaluate", ADAPT | {"largest_volumes": 1}),
    ("adapt_options", "assft_adapt", "train", ADAPT | ADAPTING | {"pretrained": "adapt/pretrained.pt"}
     | {"query": "typicality", "copy_paste": 0, "consistency": 0.1, "largest_volumes": 1}),
    ("adapt_swin", "assft_adapt", "pretrain", SMALL | SOURCE | {"roi_size": [64, 32, 32], "phantom_size": 64}),
)  # fmt: skip
"""Folder, bundle, config and settings of each run; paths are relative to the output folder."""


def train(checkout: Path, output: Path) -> None:
    """Runs all bundles in a checkout."""
    output.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    phantom = ["-m", "common", "phantom", "--target", str(output / "cohort"), "--scans", "8", "--size", "32"]
    subprocess.run([sys.executable, *phantom], cwd=checkout, env=environment, check=True)
    for name, bundle, config, settings in RUNS:
        configs = checkout / "bundles" / bundle / "configs"
        files = [configs / f"{config}.json"]
        known = json.loads(files[0].read_text())
        if "network_def" not in known:
            files.insert(0, configs / "train.json")
            known |= json.loads(files[0].read_text())
        settings = {key: value for key, value in settings.items() if key.split("#")[0] in known}
        for key in ("pseudo_label_dir", "pretrained"):
            settings |= {key: str(output / settings[key])} if key in settings else {}
        if config != "pretrain":
            settings["dataset_dir"] = str(output / "cohort")
        overlay = output / f"{name}_{config}.json"
        overlay.write_text(json.dumps(settings | {"output_dir": str(output / name)}))
        words = ["--bundle_root", str(configs.parent), "--config_file", str([*map(str, files), str(overlay)])]
        print(f"{name} {config}", flush=True)
        with (output / f"{name}_{config}.txt").open("w") as log:
            command = [sys.executable, "-m", "monai.bundle", "run", *words]
            subprocess.run(command, cwd=checkout, env=environment, stdout=log, stderr=log, check=True)


def weights(output: Path) -> dict[str, torch.Tensor]:
    """Loads all tensors of all models and checkpoints, by file and name."""
    found: dict[str, torch.Tensor] = {}

    def collect(name: str, content: object) -> None:
        if isinstance(content, torch.Tensor):
            found[name] = content
        elif isinstance(content, dict):
            for key, entry in content.items():
                collect(f"{name} {key}", entry)

    for path in sorted(output.rglob("*.pt")):
        content = torch.load(path, map_location="cpu", weights_only=True)
        kept = content.get("objects", content)
        wanted = {key: kept[key] for key in ("student", "teacher", "second") if key in kept} or kept
        if path.parent.name != "query":
            collect(str(path.relative_to(output)), wanted)
    return found


def compare(before: Path, after: Path) -> None:
    """Prints how many tensors and tables differ; exits with 1 if one does."""
    old, new = weights(before), weights(after)
    different = sorted(name for name in old.keys() | new.keys() if name not in old or name not in new)
    different += [name for name in old.keys() & new.keys() if not torch.equal(old[name], new[name])]
    tables = sorted(path.relative_to(before) for path in before.rglob("*.csv"))
    different += [str(path) for path in tables if (before / path).read_text() != (after / path).read_text()]
    for name in different:
        print(f"different: {name}")
    print(f"{len(old)} tensors and {len(tables)} tables, {len(different)} differ.")
    sys.exit(bool(different))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--output_dir", type=Path)
    parser.add_argument("--compare", type=Path, nargs=2)
    arguments = parser.parse_args()
    if arguments.compare:
        compare(*arguments.compare)
    else:
        train(arguments.checkout.resolve(), arguments.output_dir.resolve())
