"""Opens the user's cohort, or a cohort of phantoms if none is given."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import ignite.distributed as idist

from common.cohort.cohort import Cohort
from common.prepare.phantom import write_phantom

logger = logging.getLogger(__name__)


def open_cohort(
    dataset_dir: str | Path | None,
    *,
    phantom_dir: str | Path,
    scans: int = 42,
    size: int | Sequence[int] = 64,
    seed: int = 0,
    domain: str = "target",
) -> Cohort:
    """Opens a cohort; if none is given, writes phantoms once and logs a warning.

    Of several processes the first one writes them, while the others wait for it.

    Args:
        dataset_dir: Folder of the cohort, or None (or "") for phantoms.
        phantom_dir: Folder that phantoms are written to.
        scans, size, seed, domain: Settings of the phantoms, see :py:func:`common.prepare.write_phantom`.

    Raises:
        FileNotFoundError, CohortError: If the cohort cannot be opened, see :py:meth:`common.cohort.Cohort.open`.
        ValueError: If ``phantom_dir`` holds anything but these phantoms.
    """
    if dataset_dir:
        return Cohort.open(dataset_dir)
    logger.warning(
        "NO DATA GIVEN: this is a PHANTOM cohort of %d made-up scans in %s; its results mean nothing for patients. "
        "For your own scans add --dataset_dir DIR.",
        scans,
        phantom_dir,
    )
    with idist.one_rank_first():
        return write_phantom(phantom_dir, scans, size, seed, domain=domain, progress=idist.get_rank() == 0)
