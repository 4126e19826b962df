"""Downloads weights: resumed where they stopped, checked, and under their own name only when complete."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO

from tqdm import tqdm

from common import __version__
from common.weights.catalogue import WEIGHTS_DIR_VARIABLE, Weights, by_hand, known, path

if sys.platform != "win32":
    import fcntl

CHUNK = 1 << 18
"""Bytes read at once."""

TIMEOUT = 30.0
"""Seconds without an answer after which a connection counts as lost."""

logger = logging.getLogger(__name__)


def fetch(name: str, url: str | None = None) -> Path:
    """The file of weights, downloaded if it is not there.

    What was received of an interrupted download is kept beside it as `FILE.part`, and the next call goes on from there.
    Weights without a known digest start anew instead, since nothing would tell a wrong continuation. Of several
    processes that want the same file, one downloads and the others wait for it.

    Args:
        name: in the catalogue.
        url: another address of the same file, such as a mirror's; by default the official one.

    Raises:
        ValueError: if there are no weights of that name, or the file, downloaded or already there, is not the expected
            one. A file that was already there is left as it is; a download is removed.
        RuntimeError: if the download failed, or the folder cannot be used or is full.
    """
    weights, target = known(name), path(name)
    address = weights.url if url is None else url
    if not address.lower().startswith(("http://", "https://")):
        raise ValueError(f"url must begin with http:// or https://, got {address!r}")
    try:
        if target.exists():
            return _existing(weights, target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _part(target) as part:
            if target.exists():
                return _existing(weights, target)
            _download(weights, address, part)
            if fault := _fault(weights, part):
                part.unlink()
                raise ValueError(f"{address}: {fault}. The download was removed. {by_hand(name)}")
            if not weights.digests:
                logger.warning(
                    "%s: no digest of it is published, so it could not be checked. Its SHA-256 is %s.",
                    target,
                    _digests(part, ["sha256"])["sha256"],
                )
            os.replace(part, target)
    except OSError as error:
        other = f"Set the environment variable {WEIGHTS_DIR_VARIABLE} to use another folder."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RuntimeError(
                f"{target.parent}: no space left for {weights.file}. The same command goes on with the download once "
                f"there is. {other}"
            ) from error
        raise RuntimeError(f"{target.parent}: the folder of weights cannot be used: {error}. {other}") from error
    return target


def _existing(weights: Weights, target: Path) -> Path:
    if fault := _fault(weights, target):
        raise ValueError(
            f"{target}: {fault}. It was left as it is: move or delete it, then fetch {weights.name} again."
        )
    return target


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    """What to download into, once no other process does; a file of one's own where the disk knows no locks."""
    with open(target.with_name(f".{target.name}.lock"), "wb") as lock:
        if _lock(lock, target):
            yield target.with_name(f"{target.name}.part")
            return
    own = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    try:
        yield own
    finally:
        own.unlink(missing_ok=True)


def _lock(file: IO[bytes], target: Path) -> bool:
    """Waits until the lock, which ends when the file is closed, is this process's. False if there are no locks."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.warning("%s: waiting for another process that is downloading it.", target)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _download(weights: Weights, url: str, part: Path) -> None:
    """Completes the part."""
    have = part.stat().st_size if weights.digests and part.exists() else 0
    if weights.size is not None and have > weights.size:
        have = 0
    if have and have == weights.size:
        return
    answer = _ask(weights, url, have)
    if answer is None and not _fault(weights, part):
        return
    answer = answer or _ask(weights, url, 0)
    if answer is None:
        raise RuntimeError(f"{url}: the server answered with a part of the file when asked for all of it.")
    with answer.response:
        _receive(weights, url, answer, part)


@dataclass(frozen=True)
class _Answer:
    """A server's answer: the file's bytes from `start` on, of `total` (None if unknown)."""

    response: HTTPResponse
    start: int
    total: int | None


def _ask(weights: Weights, url: str, start: int) -> _Answer | None:
    """Asks for the bytes from ``start`` on. None if the server has none there or answers with others."""
    headers = {"User-Agent": f"label-efficient-bundles/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == 416:
            return None
        raise RuntimeError(
            f"{url}: the server answered {error.code} {error.reason}. {by_hand(weights.name)}"
        ) from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise RuntimeError(f"{url}: no connection: {reason}. {by_hand(weights.name)}") from error
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    if response.status == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if span is None or int(span[1]) != start:
            response.close()
            return None
        total = int(span[2]) if span[2] != "*" else weights.size
    else:
        start = 0
    if total is not None and weights.size not in (None, total):
        response.close()
        raise ValueError(f"{url}: expected {weights.size:,} bytes, found {total:,}. {by_hand(weights.name)}")
    return _Answer(response, start, weights.size if total is None else total)


def _receive(weights: Weights, url: str, answer: _Answer, part: Path) -> None:
    """Appends the answer to the part, or begins it anew if the answer does."""
    done, total = answer.start, answer.total
    with open(part, "ab" if done else "wb") as file:
        free = shutil.disk_usage(part.parent).free
        if total is not None and total - done > free:
            raise RuntimeError(
                f"{part.parent}: {weights.file} needs {total - done:,} more bytes, found {free:,} free. Make room, or "
                f"set the environment variable {WEIGHTS_DIR_VARIABLE} to use another folder."
            )
        with tqdm(
            total=total, initial=done, desc=weights.file, unit="B", unit_scale=True, unit_divisor=1024, disable=None
        ) as bar:
            broken = ""
            try:
                for chunk in _chunks(answer):
                    file.write(chunk)
                    done += len(chunk)
                    bar.update(len(chunk))
            except _ConnectionLost as error:
                broken = f": {error}"
        file.flush()
        os.fsync(file.fileno())
    if broken or (total is not None and done < total):
        amount = f"{done:,} bytes" if total is None else f"{done:,} of {total:,} bytes"
        then = "goes on from there" if weights.digests else "starts anew"
        raise RuntimeError(f"{url}: interrupted after {amount}{broken}. The same command {then}.")


class _ConnectionLost(Exception):
    """While receiving; unlike an OSError it cannot be mistaken for one of the disk."""


def _chunks(answer: _Answer) -> Iterator[bytes]:
    """What the server sends, up to the expected total."""
    left = None if answer.total is None else answer.total - answer.start
    while left != 0:
        try:
            chunk = answer.response.read1(CHUNK if left is None else min(CHUNK, left))
        except (OSError, HTTPException) as error:
            raise _ConnectionLost(str(error) or type(error).__name__) from error
        if not chunk:
            return
        left = None if left is None else left - len(chunk)
        yield chunk


def _fault(weights: Weights, file: Path) -> str | None:
    """What distinguishes a file from the weights, if anything does: expected and found."""
    if not file.is_file():
        return "expected a file"
    size = file.stat().st_size
    if weights.size not in (None, size):
        return f"expected {weights.size:,} bytes, found {size:,}"
    found = _digests(file, weights.digests)
    for algorithm, expected in weights.digests.items():
        if not found[algorithm].startswith(expected.lower()):
            return f"expected {algorithm.upper()} {expected}, found {found[algorithm]}"
    return None


def _digests(file: Path, algorithms: Iterable[str]) -> dict[str, str]:
    """Hexadecimal digests, in one pass over the file."""
    hashes = {name: hashlib.new(name, usedforsecurity=name != "md5") for name in algorithms}
    if hashes:
        with open(file, "rb") as stream:
            while chunk := stream.read(1 << 20):
                for digest in hashes.values():
                    digest.update(chunk)
    return {name: digest.hexdigest() for name, digest in hashes.items()}
