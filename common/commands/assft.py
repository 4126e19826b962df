"""``python -m common assft``: all stages of ASSFT, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.annotations import Ledger
from common.cohort import Cohort, check_cohort
from common.commands.bundles import check_shared, check_stage, known_settings
from common.commands.prior_stages import MADE_UP, PRETRAINED
from common.commands.stages import Steps, run_stage, say
from common.files import claim, read_json, write_json
from common.prepare import open_cohort
from common.query.one_shot import check_budget
from common.weights import weights_file

BUNDLE = "assft_adapt"

LABELLED_ALONE = {"first_round": "@max_iterations", "consistency": 0.0}
"""Settings of ``train.json`` for plain fine-tuning: on labelled scans alone, without pseudo-labels and consistency."""

OWNED = frozenset(("dataset_dir", "output_dir", "pretrained", "budget", "query", "annotator", "seed"))
"""Settings that the command sets for all stages; pre-training may have a cohort of its own."""

FILES = ("dataset_dir", "encoder_weights")
"""Settings of ``pretrain.json`` that name files."""

TRAINING = ("selective", "train")
QUERYING = ("budget", "query", "annotator", "querying")
STILL_FREE = (("checkpoint.pt", ()), ("ledger.json", TRAINING), ("source/checkpoint.pt", TRAINING + QUERYING))
"""Settings that can still be corrected once a stage has begun, which a file of it shows; the last stage first."""


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
    """Pre-trains a network if none is given, chooses scans to be labelled, fine-tunes the network, and evaluates it.

    The same call again resumes an interrupted one, between stages and within them; settings of stages that have not
    begun may be others then. While annotations are awaited, it says what to draw in which files, and ends.

    Args:
        dataset_dir: Folder of a cohort; None for made-up scans.
        output_dir: Folder that gets the files of all stages.
        pretrained: File of weights, or a name of ``python -m common weights list``; None for a network pre-trained on
            made-up scans of another domain, or on the cohort that ``pretrain`` names.
        budget: Number of scans to be labelled.
        query: Name of the strategy that chooses them, see ``common.query.STRATEGIES``.
        annotator: ``oracle`` takes the cohort's labels, ``folder`` waits for people.
        seed: Seed of all stages.
        selective: Whether to learn from reliable pseudo-labels of the other scans too; otherwise from the labelled
            scans alone, whatever `train` says of the others.
        pretrain: Settings of the bundle's `pretrain.json`, by id.
        querying: Settings of its `query.json`.
        train: Settings of its `train.json`; those that other stages have too, such as `roi_size` or `network_def`, are
            given to these as well.

    Returns:
        The evaluation's `metrics.json`; empty while annotations are awaited, or if no scan is left to evaluate on.

    Raises:
        FileNotFoundError: If the weights or the cohort are not there.
        RuntimeError: If a stage fails, with what went wrong.
        ValueError: If the folder holds something else, or a run with other settings, or the settings make no sense.
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
    if settings["dataset_dir"]:
        check_budget(budget, Cohort.open(settings["dataset_dir"]).training, Ledger(output_dir))
    begun = (free for file, free in STILL_FREE if (Path(output_dir) / file).exists())
    folder = claim(output_dir, settings, free=next(begun, settings.keys() - {"made by"})).resolve()
    cohort = open_cohort(settings["dataset_dir"], phantom_dir=str(folder / "phantom"))
    check_budget(budget, cohort.training, Ledger(folder))
    steps = Steps(folder / "progress.json")
    training = settings["train"] | ({} if selective else LABELLED_ALONE)
    asking = known_settings(BUNDLE, "query", training)

    say(f"ASSFT · {output_dir} · {cohort.name} · seed {seed}")
    if weights is None:
        weights = folder / PRETRAINED
        if "pretrain" not in steps.seconds:
            # Every other stage begins with this check by itself, but pre-training does not know the cohort.
            check_cohort(cohort, channels=training.get("channels", 1), simulated=annotator == "oracle")
        # Settings that query.json has too are not about training: the fine-tuning's iterations are not pre-training's.
        source = {"seed": seed, "num_classes": cohort.num_classes} | known_settings(BUNDLE, "pretrain", asking)
        source |= settings["pretrain"]
        made_up = not source.get("dataset_dir")
        if made_up:
            say(f"   {MADE_UP}")
        what = "the network on scans of another domain"
        run_stage(steps, BUNDLE, "pretrain", folder, source, what, quiet=made_up)
        if made_up:
            # Noted only now, since until then a model could still be given.
            write_json(folder / "notes.json", {"pre-trained on": "made-up scans"})
    shared = {"dataset_dir": str(cohort.folder), "pretrained": str(weights), "seed": seed}
    shared |= {"budget": budget, "query": query, "annotator": annotator}
    queried = run_stage(
        steps,
        BUNDLE,
        "query",
        folder,
        shared | asking | settings["querying"],
        f"which {budget} of {len(cohort.training)} scans to label",
        complete=lambda: bool(Ledger(folder).entries),
    )
    if not queried:
        return {}
    others = "and reliable pseudo-labels of the others" if selective else "alone"
    run_stage(steps, BUNDLE, "train", folder, shared | training, f"the network on the labelled scans {others}")
    if cohort.evaluation_split is None:
        say(f"There is no other scan with a label to evaluate on. The model: {folder / 'model.pt'}")
        return {}
    run_stage(steps, BUNDLE, "evaluate", folder, {"dataset_dir": str(cohort.folder)} | training, "evaluation")
    metrics: dict[str, Any] = read_json(folder / "evaluation" / "metrics.json")
    say(f"Dice {100 * metrics['mean']['dice']['mean']:.1f} % on {metrics['scans']} scans: {folder / 'evaluation'}")
    return metrics


def _weights(given: str | Path) -> Path:
    path = weights_file(given).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected the weights of a pre-trained network, found no file.")
    return path


def _absolute(pretrain: dict[str, Any]) -> dict[str, Any]:
    """Paths relative to the caller's folder made absolute, since a stage runs in another folder."""
    given = {name: Path(pretrain[name]) for name in FILES if pretrain.get(name)}
    return pretrain | {name: str(path.resolve()) for name, path in given.items() if path.exists()}


def _check(settings: dict[str, Any]) -> None:
    """Refuses before the first stage what a later stage would refuse."""
    for config, name in (("pretrain", "pretrain"), ("query", "querying"), ("train", "train")):
        owned = OWNED - {"dataset_dir"} if config == "pretrain" else OWNED
        check_stage(BUNDLE, config, settings[name], owned=owned)
    if settings["pretrained"] and settings["pretrain"]:
        raise ValueError(
            f"pretrain must be empty where pretrained is given, got settings of {', '.join(settings['pretrain'])}."
        )
    check_shared(BUNDLE, "query", {name: settings[name] for name in ("budget", "query", "annotator", "seed")})
