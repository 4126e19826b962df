"""Image embeddings kept on disk: those of a scan never change."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

logger = logging.getLogger(__name__)


class EmbeddingCache:
    """A folder of embeddings in half precision, one file for a scan in a view.

    A file's name is a digest of all that decides its content, so another model, preparation or image never meets it.
    Embeddings are appended as they are made, each with a checksum: what an interruption or a bad disk damages is found,
    told in the log, and made anew. Where the folder cannot be written, work goes on without it, and the log says so.

    Args:
        folder: made when the first file is written.
        max_gb: when all files together exceed this, those unused for longest are removed.

    Raises:
        ValueError: if `max_gb` is not positive.
    """

    def __init__(self, folder: str | Path, max_gb: float = 100.0) -> None:
        if max_gb <= 0:
            raise ValueError(f"max_gb must be positive, got {max_gb}")
        self.folder = Path(folder)
        self.max_bytes = int(max_gb * 1e9)
        self._writable = True

    def load(self, key: str, shape: Sequence[int], numbers: Sequence[int]) -> dict[int, Tensor]:
        """Those of the embeddings that are kept under a key, float16 of this shape, by number."""
        file = self._file(key)
        if not file.is_file() or not _complete(file, shape):
            return {}
        records = np.memmap(file, _record(shape), mode="r", shape=_complete(file, shape))
        place = {int(number): position for position, number in enumerate(records["number"])}
        found, damaged = {}, 0
        for number in place.keys() & set(numbers):
            record = records[place[number]]
            values = np.array(record["values"])
            if zlib.crc32(values.data) == record["checksum"]:
                found[number] = torch.from_numpy(values)
            else:
                damaged += 1
        if damaged:
            logger.warning("%s: %d of its embeddings are damaged and are made anew", file, damaged)
        with suppress(OSError):  # in a read-only folder nothing is ever removed
            file.touch()
        return found

    def save(self, key: str, embeddings: Mapping[int, Tensor]) -> None:
        """Adds embeddings, all of one shape; of those with one number, the last counts."""
        if not self._writable or not embeddings:
            return
        values = torch.stack([value.to("cpu", torch.float16) for value in embeddings.values()]).contiguous().numpy()
        records = np.zeros(len(values), _record(values.shape[1:]))
        records["number"], records["values"] = list(embeddings), values
        records["checksum"] = [zlib.crc32(value.data) for value in values]
        file = self._file(key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if file.is_file():
                _drop_incomplete(file, values.shape[1:])
            with open(file, "ab") as stream:
                stream.write(records.tobytes())
            self._shrink(keep=file)
        except OSError as error:
            self._writable = False
            logger.warning("%s cannot be written, so no more embeddings are kept (%s)", self.folder, error)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.embeddings"

    def _shrink(self, keep: Path) -> None:
        files = {file: file.stat() for file in self.folder.glob("*.embeddings") if file != keep}
        total = keep.stat().st_size + sum(status.st_size for status in files.values())
        for file, status in sorted(files.items(), key=lambda item: item[1].st_mtime_ns):
            if total <= self.max_bytes:
                break
            file.unlink(missing_ok=True)
            total -= status.st_size


def _record(shape: Sequence[int]) -> np.dtype:
    return np.dtype([("number", "<i8"), ("checksum", "<u8"), ("values", "<f2", tuple(shape))])


def _complete(file: Path, shape: Sequence[int]) -> int:
    return file.stat().st_size // _record(shape).itemsize


def _drop_incomplete(file: Path, shape: Sequence[int]) -> None:
    """Cuts off what an interruption left of a last record."""
    size = _complete(file, shape) * _record(shape).itemsize
    if size < file.stat().st_size:
        logger.warning("%s is truncated: its last embedding is made anew", file)
        with open(file, "r+b") as stream:
            stream.truncate(size)
