"""All stages of ASSFT, one after the other: what ``python -m common assft`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.annotations import AnnotationsPending, FolderAnnotator, Ledger
from common.checks import check_one_of
from common.cohort import Cohort, check_cohort
from common.commands.adaptation import annotators, weights_file
from common.commands.stages import Steps, check_stage, find_bundle, known_settings, run_stage, say
from common.files import claim, read_json, write_json
from common.prepare import open_cohort
from common.query import strategy
from common.query.one_shot import check_budget

BUNDLE = "assft_adapt"

LABELLED_ALONE = {"first_round": "@max_iterations", "consistency": 0.0}
"""Settings of ``train.json`` for plain fine-tuning: labelled scans alone, no pseudo-labels and no consistency."""

OWNED = frozenset(("dataset_dir", "output_dir", "pretrained", "budget", "query", "annotator", "seed"))
"""Settings that all stages share; a source cohort is pre-training's own."""

FILES = ("dataset_dir", "encoder_weights")
"""Settings of ``pretrain.json`` that name files."""

TRAINING = ("selective", "train")
QUERYING = ("budget", "query", "annotator", "querying")
STILL_FREE = (("checkpoint.pt", ()), ("ledger.json", TRAINING), ("source/checkpoint.pt", TRAINING + QUERYING))
"""Settings that can still be corrected once a stage has begun, by the file that tells it; the last stage first."""


def assft(
    dataset_dir: str | Path | None,
    output_dir: str | Path,
    *,
    pretrained: str | Path | None = None,
    budget: int = 4,
    query: str = "assft",
    annotator: str = "oracle",
    seed: int = 0,
    selective: bool = True,
    pretrain: dict[str, Any] | None = None,
    querying: dict[str, Any] | None = None,
    train: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Pre-trains a network if none is given, chooses scans to be labelled, fine-tunes the network; evaluates it.

    The same call again goes on where it stopped, between stages and within them; settings of stages that have not begun
    may be others then. While people are to draw, it says what and where, and ends.

    Args:
        dataset_dir: a cohort; None for made-up scans.
        output_dir: of all stages.
        pretrained: file of weights, or a name of ``common weights``; None for a network pre-trained on made-up scans of
            another domain, or on the cohort that ``pretrain`` names.
        budget: scans to be labelled.
        query: strategy that chooses them, see ``common.query.STRATEGIES``.
        annotator: ``oracle`` takes the cohort's labels, ``folder`` waits for people.
        seed: of all.
        selective: learn from reliable pseudo-labels of the other scans too; else from the labelled ones alone, whatever
            `train` says of the others.
        pretrain: settings of the bundle's `pretrain.json`, by id.
        querying: settings of its `query.json`.
        train: settings of its `train.json`; what other stages know too, e.g. `roi_size` or `network_def`, is theirs as
            well.

    Returns:
        The evaluation's `metrics.json`; empty while annotations are awaited, or if no scan is left to evaluate on.

    Raises:
        FileNotFoundError: if the weights or the cohort are not there.
        RuntimeError: if a stage fails, with what went wrong.
        ValueError: if the folder holds something else, or a run with other settings, or the settings make no sense.
    """
    weights = None if pretrained is None else _weights(pretrained)
    settings: dict[str, Any] = {
        "made by": "assft",
        "dataset_dir": None if dataset_dir is None else str(Path(dataset_dir).resolve()),
        "pretrained": None if weights is None else str(weights),
        "budget": budget,
        "query": query,
        "annotator": annotator,
        "seed": seed,
        "selective": selective,
        "pretrain": _absolute(pretrain or {}),
        "querying": querying or {},
        "train": train or {},
    }
    _check(settings)
    begun = (free for file, free in STILL_FREE if (Path(output_dir) / file).exists())
    folder = claim(output_dir, settings, free=next(begun, settings.keys() - {"made by"})).resolve()
    cohort = open_cohort(settings["dataset_dir"], phantom_dir=str(folder / "phantom"))
    check_budget(budget, cohort.training, Ledger(folder))
    steps = Steps(folder / "progress.json")
    training = settings["train"] | ({} if selective else LABELLED_ALONE)
    asking = known_settings(BUNDLE, "query", training)

    say(f"ASSFT · {output_dir} · {cohort.name} · seed {seed}")
    if weights is None:
        weights = folder / "pretrained.pt"
        if "pretrain" not in steps.seconds:
            # Every other stage begins with this by itself; pre-training knows nothing of the cohort.
            check_cohort(cohort, channels=training.get("channels", 1), simulated=annotator == "oracle")
        # query.json has nothing that is about training, so that the fine-tuning's iterations stay its own.
        source = {"seed": seed, "num_classes": cohort.num_classes} | known_settings(BUNDLE, "pretrain", asking)
        source |= settings["pretrain"]
        made_up = not source.get("dataset_dir")
        if made_up:
            say(
                "   NO PRE-TRAINED MODEL GIVEN: one is trained on MADE-UP scans; its results mean nothing for "
                "patients. For a model of your own add --pretrained FILE."
            )
        what = "the network on scans of another domain"
        run_stage(steps, BUNDLE, "pretrain", folder, source, what, warnings=not made_up)
        if made_up:
            # Only now: until then a model could be given after all.
            write_json(folder / "notes.json", {"pre-trained on": "made-up scans"})
    shared = {"dataset_dir": str(cohort.folder), "pretrained": str(weights), "seed": seed}
    shared |= {"budget": budget, "query": query, "annotator": annotator}
    try:
        run_stage(
            steps,
            BUNDLE,
            "query",
            folder,
            shared | asking | settings["querying"],
            f"which {budget} of {len(cohort.training)} scans to label",
            check=lambda: _expect_annotations(folder, cohort, query),
        )
    except AnnotationsPending as request:
        say(f"\n{request}")
        return {}
    others = "and reliable pseudo-labels of the others" if selective else "alone"
    run_stage(steps, BUNDLE, "train", folder, shared | training, f"the network on the labelled scans {others}")
    if cohort.evaluation_split is None:
        say(f"There is no other scan with a label to evaluate on. The model: {folder / 'model.pt'}")
        return {}
    kept = known_settings(BUNDLE, "evaluate", training)
    run_stage(steps, BUNDLE, "evaluate", folder, {"dataset_dir": str(cohort.folder)} | kept, "evaluation")
    metrics: dict[str, Any] = read_json(folder / "evaluation" / "metrics.json")
    say(f"Dice {100 * metrics['mean']['dice']['mean']:.1f} % on {metrics['scans']} scans: {folder / 'evaluation'}")
    return metrics


def _weights(given: str | Path) -> Path:
    path = weights_file(given).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected the weights of a pre-trained network, found no file.")
    return path


def _absolute(pretrain: dict[str, Any]) -> dict[str, Any]:
    """Files are those of the caller's folder: a stage runs in another."""
    given = {name: Path(pretrain[name]) for name in FILES if pretrain.get(name)}
    return pretrain | {name: str(path.resolve()) for name, path in given.items() if path.exists()}


def _check(settings: dict[str, Any]) -> None:
    """Refuses before the first stage what a later one would."""
    for config, name in (("pretrain", "pretrain"), ("query", "querying"), ("train", "train")):
        owned = OWNED - {"dataset_dir"} if config == "pretrain" else OWNED
        check_stage(BUNDLE, config, settings[name], owned=owned)
    if settings["pretrained"] and settings["pretrain"]:
        raise ValueError(
            f"pretrain must be empty where pretrained is given, got settings of {', '.join(settings['pretrain'])}."
        )
    strategy(settings["query"], rounds=False)
    check_one_of("annotator", settings["annotator"], annotators(find_bundle(BUNDLE)))


def _expect_annotations(folder: Path, cohort: Cohort, query: str) -> None:
    """Raises AnnotationsPending, which says what to draw where, if the query waits for people."""
    if not Ledger(folder).entries:
        people = FolderAnnotator(folder, cohort.labels, dense=True, query=query)
        people.annotate([cohort.scan(scan) for scan in people.requested(0) or []], round=0)
