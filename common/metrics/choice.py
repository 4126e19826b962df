"""Whether a checkpoint was chosen by its scores on the scans that it is evaluated on."""

from __future__ import annotations

from pathlib import Path

from common.handlers import read_log

VALIDATION = "validation"
"""The split whose scores choose a checkpoint in training."""


def chosen_on(split: str, checkpoint: str | Path) -> bool | None:
    """Whether a checkpoint was chosen by its scores on a split, which makes its scores there better than elsewhere.

    A training keeps ``model.pt`` of its best validation (:class:`common.handlers.BestModel`), and its ``log.jsonl``
    beside it tells at which iterations it was validated. If that happened once or never, nothing was chosen.

    Args:
        split: Name of the split that is evaluated, of the cohort that the training was given.
        checkpoint: File of the weights that are evaluated.

    Returns:
        None if that is not known: for a validation split, and weights that are no ``model.pt`` beside a ``log.jsonl``.

    Raises:
        ValueError: If the log is damaged.
    """
    checkpoint = Path(checkpoint)
    log = checkpoint.with_name("log.jsonl")
    if split != VALIDATION:
        return False
    if checkpoint.name != "model.pt" or not log.is_file():
        return None
    return len({line["iteration"] for line in read_log(log) if line["kind"] == "validation"}) > 1
