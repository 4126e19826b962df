"""Endless batches from two streams of scans, the labelled ones and the rest."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import Protocol

import ignite.distributed as idist
import numpy as np
from torch.utils.data import Sampler

from common.annotations.ledger import Ledger

Draw = tuple[int, int]
"""Position of a scan in the dataset, and the seed of its random transforms."""


class TrustedScans(Protocol):
    """Selects unlabelled scans to learn from, and selects again from time to time.

    Attributes:
        selected: Ids of the selected scans, in another list after each selection.
    """

    selected: Sequence[str]


class TwoStreamSampler(Sampler[list[Draw]]):
    """Batch sampler of two endless streams: some labelled scans first, then some of the others.

    A batch depends on the seed, the iteration, the ledger and the trusted scans alone, so that a resumed run draws
    what the uninterrupted one would have drawn. Within a stream every scan comes once before any comes again. While
    no scan is trusted, a batch holds its labelled scans alone. Where there is nothing else to draw, because every scan
    is labelled or `batch_labelled` is 0, the second stream draws from the labelled scans.

    Several processes share a batch out, in the order of their ranks: together they draw what one process draws.
    A batch takes the same time however many scans there are, but for the first one after an annotation, a selection, or
    the last scan of a turn.

    Args:
        scans: Ids of the dataset's scans, in the dataset's order.
        ledger: Ledger that tells which of them are labelled; looked up for every batch.
        batch_labelled: Number of patches per batch from labelled scans, the first stream.
        batch_unlabelled: Number of patches per batch from the second stream.
        seed: Seed of the order and of the random transforms.
        trusted: Selects the scans of the second stream; looked up for every batch. By default these are all scans that
            are not labelled.

    Attributes:
        iteration: Iteration at which the next iterator starts.

    Raises:
        ValueError: If the processes cannot share a batch out equally, or no scan is labelled when a batch is drawn.
    """

    def __init__(
        self,
        scans: Sequence[str],
        ledger: Ledger,
        *,
        batch_labelled: int = 2,
        batch_unlabelled: int = 2,
        seed: int = 0,
        trusted: TrustedScans | None = None,
    ) -> None:
        if batch_labelled < 0 or batch_unlabelled < 0 or batch_labelled + batch_unlabelled < 1:
            raise ValueError(
                "batch_labelled and batch_unlabelled must be 0 or more and not both 0, "
                f"got {batch_labelled}, {batch_unlabelled}."
            )
        processes = idist.get_world_size()
        if (batch_labelled + batch_unlabelled) % processes or (trusted is not None and batch_labelled % processes):
            which = (
                "batch_labelled and batch_unlabelled must both be multiples"
                if trusted is not None
                else "batch_labelled + batch_unlabelled must be a multiple"
            )
            raise ValueError(
                f"{which} of the number of processes, {processes}, which share every batch out, "
                f"got {batch_labelled} and {batch_unlabelled}."
            )
        self.positions = {scan: position for position, scan in enumerate(scans)}
        self.ledger = ledger
        self.batch_labelled = batch_labelled
        self.batch_unlabelled = batch_unlabelled
        self.seed = seed
        self.trusted = trusted
        self.iteration = 0
        self._sources: tuple[Collection, ...] = ()
        self._sizes: tuple[int, ...] = ()
        self._pools: tuple[list[int], list[int]] = ([], [])

    def __iter__(self) -> Iterator[list[Draw]]:
        iteration = self.iteration
        while True:
            yield self.batch(iteration)
            iteration += 1

    def batch(self, iteration: int) -> list[Draw]:
        """This process's part of an iteration's draws."""
        labelled, rest = self._current_pools()
        if not labelled:
            raise ValueError("no scan is labelled: the ledger is empty, so there is nothing to learn from.")
        positions = self._stream(labelled, number=self.batch_labelled, iteration=iteration, stream=0)
        if rest or self.trusted is None or not positions:
            positions += self._stream(rest or labelled, number=self.batch_unlabelled, iteration=iteration, stream=1)
        seeds = np.random.default_rng([self.seed, iteration, 0, 2]).integers(2**31, size=len(positions))
        draws = list(zip(positions, seeds.tolist(), strict=True))
        part = len(draws) // idist.get_world_size()
        return draws[idist.get_rank() * part :][:part]

    def _current_pools(self) -> tuple[list[int], list[int]]:
        """Positions of the labelled scans, and of the others to draw from; the same lists until either changes."""
        wanted = self.positions if self.trusted is None else self.trusted.selected
        sources, sizes = (self.ledger.entries, wanted), (len(self.ledger.entries), len(wanted))
        if sizes != self._sizes or any(new is not old for new, old in zip(sources, self._sources, strict=True)):
            labelled = sorted(self.positions[scan] for scan in self.ledger.labelled if scan in self.positions)
            self._pools = labelled, sorted({self.positions[scan] for scan in wanted}.difference(labelled))
            self._sources, self._sizes = sources, sizes
        return self._pools

    def _stream(self, pool: Sequence[int], *, number: int, iteration: int, stream: int) -> list[int]:
        """An iteration's ``number`` draws from an endless chain of permutations of ``pool``."""
        first = iteration * number
        drawn = []
        for index in range(first, first + number):
            turn, place = divmod(index, len(pool))
            drawn.append(pool[_order(self.seed, turn, stream, len(pool))[place]])
        return drawn


@lru_cache(maxsize=8)
def _order(seed: int, turn: int, stream: int, number: int) -> np.ndarray:
    """The order in which a stream draws from a number of scans in one turn; two streams may be between two turns."""
    return np.random.default_rng([seed, turn, stream]).permutation(number)
