"""Earlier stages of the bundle ``assft_adapt``, which a later one runs first where their result is missing."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from torch import nn

from common.annotations import Ledger
from common.commands.bundles import run_workflow
from common.engines import SemiSupervisedTrainer
from common.handlers import BestModel
from common.weights import weights_file

logger = logging.getLogger(__name__)

PRETRAINED = "pretrained.pt"
MADE_UP = (
    "NO PRE-TRAINED MODEL GIVEN: one is trained on MADE-UP scans (phantoms); its results mean nothing for patients. "
    "For a model of your own add --pretrained FILE."
)


def pretrained_file(pretrained: str | Path | None, output_dir: str | Path) -> Path:
    """The file of the weights to adapt: those given, or else those that pre-training leaves in the output folder."""
    return weights_file(pretrained) if pretrained else Path(output_dir) / PRETRAINED


def pretrain_unless_given(
    pretrained: str | Path | None, bundle_root: str | Path, network: nn.Module, settings: Mapping[str, Any]
) -> None:
    """Pre-trains a network on a phantom source cohort, unless weights are given or it has been done before.

    Args:
        pretrained: The weights that are given, or None.
        bundle_root: Folder of the bundle ``assft_adapt``.
        network: A network of the architecture; a copy of it is trained.
        settings: Settings of ``pretrain.json`` by id, ``output_dir`` among them.

    Raises:
        ValueError: If several processes would pre-train.
    """
    if pretrained or pretrained_file(None, settings["output_dir"]).is_file():
        return
    _expect_one_process("pretrain", "pre-trained model", "--pretrained FILE")
    logger.warning(MADE_UP)
    _run(bundle_root, "pretrain", settings, network)


def query_unless_made(ledger: Ledger, bundle_root: str | Path, network: nn.Module, settings: Mapping[str, Any]) -> None:
    """Queries the scans to label, unless the ledger has some; warns if another strategy chose those.

    Args:
        ledger: The ledger of the output folder.
        bundle_root: Folder of the bundle ``assft_adapt``.
        network: A network of the architecture; a copy of it is used.
        settings: Settings of ``query.json`` by id.

    Raises:
        ValueError: If annotations are awaited, or several processes would query.
    """
    if not ledger.entries:
        _expect_one_process("query", "annotated scan", "--output_dir of a query that was made")
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


def publish(trainer: SemiSupervisedTrainer, best: BestModel, path: str | Path) -> None:
    """Moves the best weights to where later stages look for them, once training is complete.

    Args:
        trainer: The trainer after its run; nothing is moved if it was stopped before its last iteration.
        best: Keeper of the best weights.
        path: File that the weights are moved to.
    """
    if trainer.state.iteration >= trainer.max_iterations and best.path.is_file() and idist.get_rank() == 0:
        os.replace(best.path, path)


def _run(bundle_root: str | Path, stage: str, settings: Mapping[str, Any], network: nn.Module) -> None:
    """Runs another stage of the bundle with a copy of the network in place of its ``network_def``."""
    run_workflow(Path(bundle_root), [stage], {**settings, "network_def": copy.deepcopy(network)})


def _expect_one_process(stage: str, what: str, setting: str) -> None:
    if idist.get_world_size() > 1:
        raise ValueError(f"several processes expect a {what}, found none: run {stage}.json first, or give {setting}.")
