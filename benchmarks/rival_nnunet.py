"""Trains nnU-Net on the very annotations of a run, for as long as is asked for, and labels other scans with it.

    python benchmarks/rival_nnunet.py --dataset_dir COHORT --run RUN --output_dir FOLDER --seconds 3600

The cohort with the run's annotations is written as a data set of nnU-Net 2, whose ignore label stands for 255. nnU-Net
plans, preprocesses and trains by its own defaults (planner, augmentation, loss, optimiser, `3d_fullres`); the length of
the training alone is set, by the CPU time of an iteration measured before. The time of planning and preprocessing is
not counted. The last iteration's network labels the scans, mirrored along all axes as is nnU-Net's default.

nnU-Net is no dependency of this project: `nox -s rival` makes an environment of its own, and runs studies in it.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fire
import torch
from monai.transforms import KeepLargestConnectedComponent
from study_file import PARTS, Evaluation

from common.cohort import Cohort, read_labels_ras
from common.cohort.volumes import spacing
from common.files import read_json, write_json
from common.metrics import MEASURES, Scores, segmentation_scores
from common.prepare import export_nnunet
from common.prepare.nnunet import FOLDS

DATASET, CONFIGURATION, PLANS = "Dataset001_Study", "3d_fullres", "nnUNetPlans"
SMALL = "3d_small"
LONGEST = 48
"""Longest side of a patch of the small configuration, in voxels."""
NARROWER = 4
"""How many times fewer channels the small configuration has."""
AUGMENTING = "nnUNet_n_proc_DA"
"""nnU-Net's variable for the number of processes that augment."""
PER_EPOCH = 25
"""Iterations of an epoch, after which nnU-Net lowers its learning rate; 250 by its default."""


def main(
    dataset_dir: str,
    run: str,
    output_dir: str,
    seconds: float,
    small: bool = False,
    part: str = "report",
    seed: int = 0,
) -> None:
    """Trains nnU-Net, labels the scans of a part, and prints the mean Dice.

    Args:
        dataset_dir: Folder of the cohort.
        run: Folder of the run whose annotations are learnt from.
        output_dir: Folder of nnU-Net's files; the same command resumes an interrupted training.
        seconds: CPU seconds of the training.
        small: Whether to train a smaller configuration: 2 patches of at most 48 voxels a side, a quarter of the
            channels.
        part: Part of the cohort to label, `report` or `tuning`.
        seed: Seed of the training.
    """
    cohort = Cohort.open(dataset_dir)
    folder = Path(output_dir).resolve()
    predictions = train_and_predict(cohort, Path(run), folder, seconds=seconds, small=small, part=part, seed=seed)
    scores = score(cohort, predictions, Evaluation(part))
    write_json(folder / f"scores_{part}.json", scores)
    dice = [values["dice"] for classes in scores.values() for values in classes.values()]
    print(f"Dice {100 * sum(dice) / len(dice):.1f} % on {len(scores)} scans: {predictions}")


def train_and_predict(
    cohort: Cohort, run: Path, folder: Path, *, seconds: float, small: bool, part: str, seed: int
) -> Path:
    """Trains nnU-Net and labels the scans of a part; returns the folder of the label files, `SCAN.nii.gz`."""
    with _settings_of_nnunet(folder):
        raw = export_nnunet(cohort, folder / "nnUNet_raw" / DATASET, run=run, progress=False)
        plans = _preprocessed(raw, folder, small=small)
        # Augmentation in the training's own process, so that its CPU time counts; planning does not take 0.
        os.environ |= {AUGMENTING: "0"}
        trainer = _trained(raw, plans, folder, seconds=seconds, small=small, seed=seed)
        return _predicted(trainer, cohort, folder, part)


def score(cohort: Cohort, predictions: Path, evaluation: Evaluation) -> dict[str, dict[str, dict[str, float]]]:
    """Scores of the label files by scan and class, as the bundles' `evaluate.json` computes them."""
    scores, kept = {}, evaluation.largest_volumes
    for scan in cohort.labelled(PARTS[evaluation.part]):
        truth, affine = read_labels_ras(scan.label)
        found, _ = read_labels_ras(predictions / f"{scan.id}.nii.gz")
        if kept is not None:
            keep = KeepLargestConnectedComponent(is_onehot=False, num_components=kept)
            found = keep(torch.from_numpy(found)[None])[0].numpy()
        size = spacing(affine).tolist()
        scores[scan.id] = {
            name: _measures(segmentation_scores(found == value, truth == value, size))
            for value, name in cohort.labels.items()
        }
    return scores


def _measures(scores: Scores) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items() if name in MEASURES}


@contextmanager
def _settings_of_nnunet(folder: Path) -> Iterator[None]:
    """nnU-Net's folders, and one process and thread for all that it does."""
    wanted = {name: str(folder / name) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    wanted |= {AUGMENTING: "1", "nnUNet_def_n_proc": "1", "nnUNet_compile": "false", "OMP_NUM_THREADS": "1"}
    former = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _preprocessed(raw: Path, folder: Path, *, small: bool) -> dict[str, Any]:
    """nnU-Net's plans of the data set, which is preprocessed by them."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )

    preprocessed = folder / "nnUNet_preprocessed" / DATASET
    done = preprocessed / "done.json"
    if not done.is_file():
        extract_fingerprints([1], num_processes=1, show_progress_bar=False)
        plan_experiments([1])
        preprocess([1], configurations=(CONFIGURATION,), num_processes=(1,), show_progress_bar=False)
        if (raw / FOLDS).is_file():
            shutil.copy(raw / FOLDS, preprocessed / FOLDS)
        write_json(done, {"done": True})
    plans = read_json(preprocessed / f"{PLANS}.json")
    if small:
        plans["configurations"][SMALL] = smaller(plans["configurations"][CONFIGURATION])
    return plans


def smaller(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of nnU-Net's plans with smaller patches, two of them per batch, and fewer channels."""
    architecture = configuration["architecture"]
    kept = architecture["arch_kwargs"]
    divisors = [math.prod(stride[axis] for stride in kept["strides"]) for axis in range(3)]
    sides = zip(configuration["patch_size"], divisors, strict=True)
    features = [max(8, number // NARROWER) for number in kept["features_per_stage"]]
    return {
        **configuration,
        "batch_size": 2,
        "patch_size": [max(divisor, min(side, LONGEST // divisor * divisor)) for side, divisor in sides],
        "architecture": {**architecture, "arch_kwargs": {**kept, "features_per_stage": features}},
    }


def _trained(raw: Path, plans: dict[str, Any], folder: Path, *, seconds: float, small: bool, seed: int) -> Any:
    """The trainer after its last iteration."""
    import numpy as np
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - nnU-Net's augmentation draws from it
    dataset = read_json(raw / "dataset.json")

    def trainer(continued: bool) -> Any:
        made = nnUNetTrainer(
            {**plans, "continue_training": continued},
            SMALL if small else CONFIGURATION,
            0,
            dataset,
            torch.device("cpu"),
        )
        made.num_val_iterations_per_epoch, made.save_every = 1, 1
        return made

    length = folder / ("length_small.json" if small else "length.json")
    if not length.is_file():
        write_json(length, _length(trainer(False), seconds))
    found = read_json(length)
    last = Path(trainer(False).output_folder)
    continued = (last / "checkpoint_latest.pth").is_file() or (last / "checkpoint_final.pth").is_file()
    made = trainer(continued)
    made.num_epochs, made.num_iterations_per_epoch = found["epochs"], found["iterations_per_epoch"]
    made.initialize()
    if (last / "checkpoint_final.pth").is_file():
        made.load_checkpoint(str(last / "checkpoint_final.pth"))
        return made
    if continued:
        made.load_checkpoint(str(last / "checkpoint_latest.pth"))
    made.run_training()
    return made


def _length(trainer: Any, seconds: float, *, repeats: int = 4) -> dict[str, float]:
    """Epochs, and iterations of each, that a training of so many CPU seconds has time for."""
    trainer.initialize()
    trainer.on_train_start()
    trainer.train_step(next(trainer.dataloader_train))
    start = time.process_time()
    for _ in range(repeats):
        trainer.train_step(next(trainer.dataloader_train))
    each = (time.process_time() - start) / repeats
    iterations = max(1, round(seconds / each))
    epochs = max(1, iterations // PER_EPOCH)
    return {"seconds_per_iteration": each, "epochs": epochs, "iterations_per_epoch": math.ceil(iterations / epochs)}


def _predicted(trainer: Any, cohort: Cohort, folder: Path, part: str) -> Path:
    """Labels the scans of a part."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    target = folder / f"predictions_{part}"
    predictor = nnUNetPredictor(
        perform_everything_on_device=False, device=torch.device("cpu"), verbose=False, allow_tqdm=False
    )
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    trainer.set_deep_supervision_enabled(False)
    images = folder / "nnUNet_raw" / DATASET / ("imagesTs" if part == "report" else "imagesTr")
    scans = [scan for scan in cohort.labelled(PARTS[part]) if not (target / f"{scan.id}.nii.gz").is_file()]
    files = [[str(path) for path in sorted(images.glob(f"{scan.id}_[0-9][0-9][0-9][0-9].nii.gz"))] for scan in scans]
    target.mkdir(exist_ok=True)
    if scans:
        predictor.predict_from_files_sequential(files, [str(target / scan.id) for scan in scans], overwrite=False)
    return target


if __name__ == "__main__":
    fire.Fire(main)
