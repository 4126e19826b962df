"""A cache on disk for image embeddings, which never change for a scan."""

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
    """A folder of embeddings in half precision, with one file for each scan and view.

    A file's name is a digest of all that decides its content, so another model, preparation or image never reads it.
    Embeddings are appended as they are made, each with a checksum: those damaged by an interruption or a bad disk are
    reported in the log and recomputed. If the folder cannot be written, work continues without it, and the log says so.

    Args:
        folder: Folder of the files; it is made when the first one is written.
        max_gb: Size in gigabytes of all files together above which those unused for longest are removed.

    Raises:
        ValueError: If `max_gb` is not positive.
    """

    def __init__(self, folder: str | Path, max_gb: float = 100.0) -> None:
        if max_gb <= 0:
            raise ValueError(f"max_gb must be positive, got {max_gb}")
        self.folder = Path(folder)
        self.max_bytes = int(max_gb * 1e9)
        self._writable = True

    def load(self, key: str, shape: Sequence[int], numbers: Sequence[int]) -> dict[int, Tensor]:
        """Loads those of the numbered embeddings that are kept under a key: float16 of this shape, by number."""
        file = self._file(key)
        if not file.is_file() or not _complete_records(file, shape):
            return {}
        records = np.memmap(file, _record_type(shape), mode="r", shape=_complete_records(file, shape))
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
            logger.warning("%s: %d of its embeddings are damaged and are recomputed", file, damaged)
        with suppress(OSError):  # in a read-only folder nothing is ever removed
            file.touch()
        return found

    def save(self, key: str, embeddings: Mapping[int, Tensor]) -> None:
        """Adds embeddings of one shape under a key; if a number is added again, the last one counts."""
        if not self._writable or not embeddings:
            return
        values = torch.stack([value.to("cpu", torch.float16) for value in embeddings.values()]).contiguous().numpy()
        records = np.zeros(len(values), _record_type(values.shape[1:]))
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


def _record_type(shape: Sequence[int]) -> np.dtype:
    return np.dtype([("number", "<i8"), ("checksum", "<u8"), ("values", "<f2", tuple(shape))])


def _complete_records(file: Path, shape: Sequence[int]) -> int:
    return file.stat().st_size // _record_type(shape).itemsize


def _drop_incomplete(file: Path, shape: Sequence[int]) -> None:
    """Cuts off a last record that an interruption left incomplete."""
    size = _complete_records(file, shape) * _record_type(shape).itemsize
    if size < file.stat().st_size:
        logger.warning("%s is truncated: its last embedding is recomputed", file)
        with open(file, "r+b") as stream:
            stream.truncate(size)
