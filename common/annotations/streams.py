"""Endless batches from two streams of scans: labelled ones and the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import ignite.distributed as idist
import numpy as np
from monai.data import CacheDataset
from torch.utils.data import Sampler

from common.annotations.ledger import Ledger

Draw = tuple[int, int]
"""Position of a scan in the dataset, and the seed of its random transforms."""


class Selection(Protocol):
    """What chooses unlabelled scans, and chooses anew from time to time.

    Attributes:
        selected: ids of the scans.
    """

    selected: Sequence[str]


class TwoStreamSampler(Sampler[list[Draw]]):
    """Batch sampler: so many labelled scans, then so many of the others, for ever.

    A batch is a function of the seed, the iteration, the ledger and the selection alone, so that a resumed run draws
    what the uninterrupted one would have drawn. Within a stream every scan comes once before any comes again. While
    nothing is selected a batch has its labelled scans alone. Where there is nothing else to draw, every scan being
    labelled or `labelled` being 0, the second stream draws from the labelled ones.

    Args:
        scans: ids of the dataset's scans, in its order.
        ledger: tells which of them are labelled, read anew for every batch.
        labelled: scans of the first stream in a batch.
        unlabelled: scans of the second stream in a batch.
        seed: of the order and of the random transforms.
        selection: chooses the scans of the second stream, read anew for every batch; by default all that are not
            labelled.

    Attributes:
        iteration: at which the next iterator starts.

    Raises:
        ValueError: if no scan is labelled when a batch is drawn.
    """

    def __init__(
        self,
        scans: Sequence[str],
        ledger: Ledger,
        *,
        labelled: int = 2,
        unlabelled: int = 2,
        seed: int = 0,
        selection: Selection | None = None,
    ) -> None:
        if labelled < 0 or unlabelled < 0 or labelled + unlabelled < 1:
            raise ValueError(f"labelled and unlabelled must be 0 or more and not both 0, got {labelled}, {unlabelled}.")
        self.positions = {scan: position for position, scan in enumerate(scans)}
        self.ledger = ledger
        self.labelled = labelled
        self.unlabelled = unlabelled
        self.seed = seed
        self.selection = selection
        self.iteration = 0

    def __iter__(self) -> Iterator[list[Draw]]:
        iteration = self.iteration
        while True:
            yield self.batch(iteration)
            iteration += 1

    def batch(self, iteration: int) -> list[Draw]:
        """The draws of one iteration on this process."""
        labelled = sorted(self.positions[scan] for scan in self.ledger.labelled if scan in self.positions)
        if not labelled:
            raise ValueError("no scan is labelled: the ledger is empty, so there is nothing to learn from.")
        known = set(labelled)
        wanted = self.positions if self.selection is None else self.selection.selected
        rest = sorted({self.positions[scan] for scan in wanted} - known)
        positions = self._stream(labelled, number=self.labelled, iteration=iteration, stream=0)
        if rest or self.selection is None or not positions:
            positions += self._stream(rest or labelled, number=self.unlabelled, iteration=iteration, stream=1)
        seeds = np.random.default_rng([self.seed, iteration, idist.get_rank(), 2]).integers(2**31, size=len(positions))
        return list(zip(positions, seeds.tolist(), strict=True))

    def _stream(self, pool: Sequence[int], *, number: int, iteration: int, stream: int) -> list[int]:
        """The ``number`` draws of this process: its share of an endless chain of permutations of ``pool``."""
        first = (iteration * idist.get_world_size() + idist.get_rank()) * number
        drawn = []
        for index in range(first, first + number):
            turn, place = divmod(index, len(pool))
            drawn.append(pool[np.random.default_rng([self.seed, turn, stream]).permutation(len(pool))[place]])
        return drawn


class ScanDataset(CacheDataset):
    """Scans with their deterministic transforms done once and kept in memory, and seeded random ones.

    A :py:class:`monai.data.CacheDataset` whose index is a :py:data:`Draw`: the seed decides all random transforms of
    the item, whichever process makes it. A position alone gives the item after its deterministic transforms.
    """

    def __getitem__(self, index: Draw | int) -> dict:  # type: ignore[override]
        if isinstance(index, int):
            return self._cache[index]
        position, seed = index
        self.transform.set_random_state(seed=seed)
        return self._transform(position)
