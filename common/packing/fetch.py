"""Gets a bundle's zip and unpacks it: checked first, all or nothing, and never over what is there."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import urllib.error
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile, ZipInfo

from common import __version__
from common.files import read_checkpoint
from common.packing.sums import SUMS, read_sums, sha256

TIMEOUT = 30.0
"""Seconds without an answer after which a connection counts as lost."""


def fetch_bundle(source: str, bundle_dir: str | Path = ".", *, checksum: str | None = None) -> Path:
    """Unpacks a bundle into a folder of its own name.

    Nothing of the zip is written outside a temporary folder before its checksum, all of its paths and the weights in it
    have been checked, and nothing of the bundle is run. The bundle's folder then appears as a whole.

    Args:
        source: Address or file of ``NAME_vX.Y.Z.zip``.
        bundle_dir: Folder that gets the folder NAME.
        checksum: SHA-256 of the zip, 64 hexadecimal digits; by default that in the file `SHA256SUMS` beside the zip.

    Returns:
        The bundle's folder.

    Raises:
        FileExistsError: If a folder or file of that name is there; it is left as it is.
        FileNotFoundError: If there is no such zip, or nothing beside it says its checksum.
        RuntimeError: If the server does not answer, or the folder cannot be written.
        ValueError: If the zip is not the expected one, is damaged, holds anything but the bundle's folder, or if its
            weights are more than tensors.
    """
    file = source.rsplit("/", 1)[-1] if _is_address(source) else Path(source).name
    if (match := re.fullmatch(r"(\w+?)(_v\d+\.\d+\.\d+)?\.zip", file)) is None:
        raise ValueError(f"source must end in NAME_vX.Y.Z.zip, got {source!r}.")
    if checksum is not None and re.fullmatch(r"[0-9a-fA-F]{64}", checksum) is None:
        raise ValueError(f"sha256 must be 64 hexadecimal digits, got {checksum!r}.")
    target = Path(bundle_dir, match[1])
    _check_free(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{match[1]}_", dir=target.parent) as temporary:
            archive, unpacked = Path(temporary, "bundle.zip"), Path(temporary, "unpacked")
            expected = (checksum or _published_checksum(source, file, Path(temporary, SUMS))).lower()
            _get(source, archive)
            if (found := sha256(archive)) != expected:
                raise ValueError(f"{source}: expected SHA-256 {expected}, found {found}. Nothing was unpacked.")
            _unpack(archive, unpacked, name=match[1], source=source)
            weights = unpacked / match[1] / "models" / "model.pt"
            if weights.is_file():
                read_checkpoint(weights, expected="weights, nothing but tensors", found="something else")
            _check_free(target)
            os.rename(unpacked / match[1], target)
    except OSError as error:
        if isinstance(error, (FileExistsError, FileNotFoundError)):
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RuntimeError(f"{target.parent}: no space left to unpack {file}; make room and try again.") from error
        raise RuntimeError(f"{target.parent}: cannot be written: {error}. Give another --bundle_dir.") from error
    return target


def _check_free(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise FileExistsError(
            f"{target}: is in the way of the bundle, and was left as it is; rename it, delete it, or give another "
            "--bundle_dir."
        )


def _is_address(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _get(source: str, target: Path) -> None:
    """Copies a file from its address or place."""
    if not _is_address(source):
        if not Path(source).is_file():
            raise FileNotFoundError(f"{source}: no such file.")
        shutil.copyfile(source, target)
        return
    request = urllib.request.Request(source, headers={"User-Agent": f"label-efficient-bundles/{__version__}"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer, open(target, "wb") as file:
            shutil.copyfileobj(answer, file)
            short = answer.length
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 404:
            raise FileNotFoundError(f"{source}: the server has no such file.") from None
        raise RuntimeError(f"{source}: the server answered {error.code} {error.reason}.") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError, HTTPException) as error:
        raise RuntimeError(f"{source}: no connection: {getattr(error, 'reason', error)}. Try again.") from error
    if short:
        raise RuntimeError(f"{source}: interrupted {short:,} bytes before the end. Try again.")


def _published_checksum(source: str, file: str, place: Path) -> str:
    """The zip's SHA-256 as the file of sums beside it says."""
    sums = source.rsplit("/", 1)[0] + f"/{SUMS}" if _is_address(source) else str(Path(source).parent / SUMS)
    hint = f"give --sha256, or put the release's {SUMS} beside the zip"
    try:
        _get(sums, place)
    except FileNotFoundError:
        raise FileNotFoundError(f"{sums}: expected it, to check {file}; {hint}.") from None
    found = read_sums(place.read_text(encoding="utf-8", errors="replace"), where=sums)
    if file not in found:
        raise ValueError(f"{sums}: expected a line for {file}, found {', '.join(found) or 'none'}; {hint}.")
    return found[file]


def _unpack(archive: Path, folder: Path, *, name: str, source: str) -> None:
    """Unpacks a zip that holds one folder of this name, and nothing that could be written or lead elsewhere."""
    try:
        with ZipFile(archive) as content:
            for member in content.infolist():
                if fault := _fault(member, name):
                    raise ValueError(f"{source}: {member.filename!r} {fault}. Nothing was unpacked.")
            content.extractall(folder)
    except (BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise ValueError(f"{source}: expected a zip file, found a damaged one: {error}. Nothing was kept.") from error
    if not (folder / name / "configs" / "metadata.json").is_file():
        raise ValueError(f"{source}: expected {name}/configs/metadata.json in it. Nothing was unpacked.")


def _fault(member: ZipInfo, name: str) -> str | None:
    """What is wrong with a file of a zip, or None."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    kind = stat.S_IFMT(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or path.parts[:1] != (name,):
        return f"leaves the folder {name} of the bundle"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device, where a bundle has files alone"
    return None
