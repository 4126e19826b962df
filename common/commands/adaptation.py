"""What the stages of ASSFT need of each other: a stage that lacks the one before runs it first, and says so."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from torch import nn

from common.annotations.ledger import Ledger
from common.commands.stages import run_workflow
from common.engines import SemiSupervisedTrainer
from common.files import read_json
from common.handlers import BestModel
from common.weights import CATALOGUE, find

logger = logging.getLogger(__name__)


def weights_file(given: str | Path) -> Path:
    """A file of weights: a path, or a name of ``common weights`` that has been fetched.

    Raises:
        FileNotFoundError: if it is not there, with the ways to get it.
    """
    return find(str(given)) if str(given) in CATALOGUE and not Path(given).is_file() else Path(given)


def check_copy_paste(share: float) -> None:
    """Refuses what :class:`common.transforms.SwapBoxes` can't do.

    Args:
        share: side of the boxes as a share of a patch's, below 1; 0 for no boxes.

    Raises:
        ValueError: if the share is out of its range.
    """
    if not 0 <= share < 1:
        raise ValueError(f"copy_paste must be at least 0 and below 1, got {share}.")


def ensure_pretrained(
    pretrained: str | Path | None,
    *,
    bundle_root: str | Path,
    output_dir: str | Path,
    network: nn.Module,
    settings: Mapping[str, Any],
) -> Path:
    """The weights to adapt; where none are given, those of a model pre-trained on a phantom source cohort.

    Args:
        pretrained: a file, a name of ``common weights``, or None.
        bundle_root: of the bundle ``assft_adapt``.
        output_dir: where ``pretrained.pt`` is or will be, if none are given.
        network: of the architecture; a copy is trained.
        settings: of ``pretrain.json``, e.g. device, seed and roi_size.

    Raises:
        ValueError: if several processes would pre-train.
    """
    if pretrained:
        return weights_file(pretrained)
    path = Path(output_dir) / "pretrained.pt"
    if not path.is_file():
        _alone("pretrain", "pre-trained model", "--pretrained FILE")
        logger.warning(
            "NO PRE-TRAINED MODEL GIVEN: one is trained now on a PHANTOM source cohort in %s; its results mean nothing "
            "for patients. For a model of your own add --pretrained FILE.",
            output_dir,
        )
        _run(bundle_root, "pretrain", {**settings, "output_dir": str(output_dir)}, network)
    return path


def annotators(bundle_root: str | Path) -> list[str]:
    """Names of those who can annotate for the query of the bundle ``assft_adapt``."""
    return list(read_json(Path(bundle_root) / "configs" / "query.json")["annotators"])


def publish(trainer: SemiSupervisedTrainer, best: BestModel, path: str | Path) -> None:
    """Gives the best weights their place once training is complete: what is there, a stage that follows takes.

    Args:
        trainer: that has run.
        best: holds the file.
        path: its place.
    """
    if trainer.state.iteration >= trainer.max_iterations and best.path.is_file() and idist.get_rank() == 0:
        os.replace(best.path, path)


def ensure_queried(
    ledger: Ledger, *, bundle_root: str | Path, network: nn.Module, settings: Mapping[str, Any]
) -> list[str]:
    """The labelled scans; where there are none, the query is made first. Warns of scans that another query chose.

    Args:
        ledger: of the output folder.
        bundle_root: of the bundle ``assft_adapt``.
        network: of the architecture.
        settings: of ``query.json``.

    Raises:
        ValueError: if annotations are awaited, or several processes would query.
    """
    if not ledger.entries:
        _alone("query", "annotated scan", "--output_dir of a query that was made")
        logger.warning("NO SCAN IS LABELLED in %s: the query is made first.", ledger.path.parent)
        _run(bundle_root, "query", settings, network)
        ledger.reload()
    if not ledger.entries:
        raise ValueError(
            f"{ledger.path}: expected annotated scans, found none; draw what the query has asked for in "
            f"{ledger.path.parent / 'requests'}, then run the same command again."
        )
    others = sorted({entry.strategy for entry in ledger.entries} - {settings["query"]})
    if others:
        logger.warning(
            "%s: THE SCANS WERE CHOSEN BY %s; query %s is not made.", ledger.path, ", ".join(others), settings["query"]
        )
    return ledger.labelled


def _run(bundle_root: str | Path, stage: str, settings: Mapping[str, Any], network: nn.Module) -> None:
    """Runs another stage of the bundle with a copy of the network in place of its ``network_def``."""
    run_workflow(Path(bundle_root), stage, {**settings, "network_def": copy.deepcopy(network)})


def _alone(stage: str, what: str, setting: str) -> None:
    if idist.get_world_size() > 1:
        raise ValueError(f"several processes expect a {what}, found none: run {stage}.json first, or give {setting}.")
