"""``python -m common sfr``: both stages of SFR, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.checks import check_one_of
from common.cohort import Cohort
from common.commands.bundles import check_shared, check_stage, known_settings
from common.commands.stages import Steps, run_stage, say
from common.files import claim, read_json
from common.prepare import open_cohort

OWNED = ("dataset_dir", "output_dir", "labelled", "annotator", "seed")
"""Settings that all stages share."""

ANNOTATORS = ("oracle", "datalist")
"""Where annotations may come from: each stage begins with all of them, so that nobody can be asked."""


def sfr(
    dataset_dir: str | Path | None,
    output_dir: str | Path,
    *,
    labelled: int | None = None,
    annotator: str = "oracle",
    plus: bool = False,
    share: float = 0.5,
    threshold: float = 0.8,
    seed: int = 0,
    finetuned: str | Path | None = None,
    finetune: dict[str, Any] | None = None,
    pseudo_label: dict[str, Any] | None = None,
    retrain: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Fine-tunes SAM on stitched slices, labels the other scans, trains a 3D network on all of them, and evaluates it.

    The same call again resumes an interrupted one, between stages and within them.

    Args:
        dataset_dir: Folder of a cohort; None for made-up scans.
        output_dir: Folder that gets a folder per stage.
        labelled: Number of training scans whose labels are used, the first ones of the cohort; by default all that
            have a label (4 of made-up scans, which all have one).
        annotator: ``oracle`` for complete labels; ``datalist`` for labels as people drew them, in which some slices,
            voxels or classes may not be annotated.
        plus: Whether to run our variant of SFR+: fine-tune once more with the most confident pseudo-labels, and weigh
            scans by their confidence.
        share: Share of the unlabelled scans, the most confident ones, that join the second fine-tuning (SFR+).
        threshold: Confidence below which a voxel is left out (SFR+).
        seed: Seed of all stages.
        finetuned: Folder of a finished fine-tuning with its pseudo-labels, which takes the place of the first stage.
        finetune: Settings of `sfr_stitch_finetune`'s `train.json`, by id.
        pseudo_label: Settings of its `pseudo_label.json`.
        retrain: Settings of `sfr_retrain`'s `train.json`.

    Returns:
        The evaluation's `metrics.json`; empty if no other scan has a label.

    Raises:
        RuntimeError: If a stage fails, with what went wrong.
        ValueError: If the folder holds something else, or a run with other settings, or no scan is unlabelled.
    """
    settings: dict[str, Any] = {
        "made by": "sfr",
        "dataset_dir": None if dataset_dir is None else str(Path(dataset_dir).resolve()),
        "labelled": labelled,
        "annotator": annotator,
        "plus": plus,
        "share": share,
        "threshold": threshold,
        "seed": seed,
        "finetuned": None if finetuned is None else str(Path(finetuned).resolve()),
        "finetune": finetune or {},
        "pseudo_label": pseudo_label or {},
        "retrain": retrain or {},
    }
    check_one_of("annotator", annotator, ANNOTATORS)
    given = {"labelled": labelled, "share": share, "threshold": threshold, "seed": seed}
    check_shared("sfr_stitch_finetune", "train", given)
    check_stage("sfr_stitch_finetune", "train", settings["finetune"], owned=OWNED)
    check_stage("sfr_stitch_finetune", "pseudo_label", settings["pseudo_label"], owned=OWNED)
    check_stage("sfr_retrain", "train", settings["retrain"], owned=OWNED)
    if dataset_dir is None and labelled is None:
        labelled = 4
    if settings["dataset_dir"]:
        _check_labelled(Cohort.open(settings["dataset_dir"]), labelled)
    folder = claim(output_dir, settings).resolve()
    cohort = open_cohort(settings["dataset_dir"], phantom_dir=str(folder / "phantom"))
    _check_labelled(cohort, labelled)
    shared = {"dataset_dir": str(cohort.folder), "labelled": labelled, "annotator": annotator, "seed": seed}
    steps = Steps(folder / "progress.json")

    say(f"SFR{'+' if plus else ''} · {output_dir} · {cohort.name} · seed {seed}")
    if finetuned is None:
        tuned, labels = _finetune(steps, folder / "finetune", shared | settings["finetune"], settings["pseudo_label"])
    else:
        tuned, labels = Path(settings["finetuned"]), Path(settings["finetuned"]) / "pseudo_labels"
    if plus:
        again = {"pseudo_label_dir": str(labels), "share": share, "threshold": threshold}
        again["initial_checkpoint"] = str(tuned / "model.pt")
        selected = shared | settings["finetune"] | again
        tuned, labels = _finetune(steps, folder / "finetune_selected", selected, settings["pseudo_label"])
    weighing = {"weigh_scans": True, "threshold": threshold} if plus else {}
    network = folder / "retrain"
    run_stage(
        steps,
        "sfr_retrain",
        "train",
        network,
        shared | {"pseudo_label_dir": str(labels)} | weighing | settings["retrain"],
        "the 3D network on labels and pseudo-labels",
    )
    if cohort.evaluation_split is None:
        return {}
    evaluation = {"dataset_dir": str(cohort.folder)} | settings["retrain"]
    run_stage(steps, "sfr_retrain", "evaluate", network, evaluation, "evaluation")
    metrics: dict[str, Any] = read_json(network / "evaluation" / "metrics.json")
    say(f"Dice {100 * metrics['mean']['dice']['mean']:.1f} % on {metrics['scans']} scans: {network / 'evaluation'}")
    return metrics


def _check_labelled(cohort: Cohort, labelled: int | None) -> None:
    known = sum(scan.label is not None for scan in cohort.training)
    if min(known, labelled or known) == len(cohort.training):
        raise ValueError(
            f"{cohort.folder}: expected unlabelled training scans, found labels of all {known}; use fewer (labelled)."
        )


def _finetune(steps: Steps, output: Path, settings: dict[str, Any], labelling: dict[str, Any]) -> tuple[Path, Path]:
    """Fine-tunes SAM and labels with it; returns the folders of the fine-tuned SAM and of its pseudo-labels."""
    bundle = "sfr_stitch_finetune"
    run_stage(steps, bundle, "train", output, settings, "SAM on stitched slices")
    kept = known_settings(bundle, "pseudo_label", settings)
    kept.pop("pseudo_label_dir", None)
    run_stage(steps, bundle, "pseudo_label", output, kept | labelling, "pseudo-labels with their confidence")
    return output, output / "pseudo_labels"
