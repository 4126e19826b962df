"""Checks of SFR's re-training before anything is computed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from common.preflight import check_one_of

logger = logging.getLogger(__name__)

COMPANIONS = ("mean_teacher", "uamt", "cps", "ict", "none")
MODES = ("precomputed", "online")


def check_retraining(
    *,
    semi_supervised: str,
    pseudo_labels: str,
    pseudo_label_dir: str | Path | None,
    online_network: Any,
    batch_unlabelled: int,
) -> None:
    """Refuses settings that do not fit each other, and says so loudly if there are no pseudo-labels.

    Args:
        semi_supervised: one of ``COMPANIONS``.
        pseudo_labels: one of ``MODES``.
        pseudo_label_dir: folder of the pseudo-labels made before, or None.
        online_network: that makes them in every iteration, or None.
        batch_unlabelled: unlabelled scans a batch.

    Raises:
        ValueError: naming the setting, what was expected and what was found.
    """
    check_one_of("semi_supervised", semi_supervised, COMPANIONS)
    check_one_of("pseudo_labels", pseudo_labels, MODES)
    if semi_supervised == "ict" and batch_unlabelled < 2:
        raise ValueError(f"batch_unlabelled must be at least 2 to be mixed (ict), got {batch_unlabelled}.")
    if pseudo_labels == "online":
        if online_network is None:
            raise ValueError(
                "online_network must be a network that labels crops when pseudo_labels is 'online', got None."
            )
    elif not pseudo_label_dir:
        logger.warning(
            "NO PSEUDO-LABELS: this is not SFR but training with semi_supervised %r alone. For SFR add "
            "--pseudo_label_dir DIR, as the bundle sfr_stitch_finetune makes it.",
            semi_supervised,
        )
