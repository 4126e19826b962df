from __future__ import annotations

import hashlib
import os
import pickle
import stat
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import pytest
import torch

from common.__main__ import main
from common.packing import fetch_bundle
from tests.packing.conftest import Quiet

NAME = "toy_v0.1.0.zip"
CONFIGS = {"toy/configs/metadata.json": b"{}", "toy/docs/README.md": b"words"}


class Code:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def release(tmp_path):
    """Writes a zip of files by name, and its sums beside it, and returns its path."""

    def make(files=CONFIGS, *, sums=True):
        folder = tmp_path / "release"
        folder.mkdir(exist_ok=True)
        with ZipFile(folder / NAME, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        if sums:
            write_sums(folder / NAME)
        return folder / NAME

    return make


def write_sums(path):
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    (path.parent / "SHA256SUMS").write_text(f"{'0' * 64}  other.zip\n{checksum}  {path.name}\n")
    return checksum


@pytest.fixture
def target(tmp_path):
    """A folder with something of the user's in it."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    return tmp_path / "mine"


def refused(kind, message, source, target, **settings):
    """Nothing is unpacked, and nothing of what was there is touched."""
    before = sorted(target.rglob("*"))
    with pytest.raises(kind, match=message):
        fetch_bundle(str(source), target, **settings)
    assert sorted(target.rglob("*")) == before and (target / "notes.txt").read_text() == "mine"


def test_from_a_file_and_from_a_server(release, target, serve, tmp_path, capsys):
    path = release()
    assert fetch_bundle(str(path), target) == target / "toy"
    assert (target / "toy/docs/README.md").read_bytes() == b"words"
    assert sorted(item.name for item in target.iterdir()) == ["notes.txt", "toy"]
    address = f"{serve(path.parent)}/{NAME}"
    main(["fetch_bundle", address, "--bundle_dir", str(tmp_path / "new" / "folder")])
    assert (tmp_path / "new/folder/toy/configs/metadata.json").is_file()
    assert "Its configs are code" in capsys.readouterr().out


def test_a_checksum_that_is_given(release, target, tmp_path):
    path = release(sums=False)
    refused(FileNotFoundError, "SHA256SUMS: expected it, to check toy_v0.1.0.zip; give --sha256", path, target)
    refused(ValueError, "sha256 must be 64 hexadecimal digits, got 'ab'", path, target, checksum="ab")
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    refused(ValueError, f"expected SHA-256 {'0' * 64}, found {checksum}", path, target, checksum="0" * 64)
    fetch_bundle(str(path), target, checksum=checksum.upper())


def test_another_checksum_than_published(release, target, serve):
    path = release()
    with path.open("ab") as file:
        file.write(b"more")
    refused(ValueError, "expected SHA-256 .*, found .*Nothing was unpacked", path, target)
    refused(ValueError, "expected SHA-256", f"{serve(path.parent)}/{NAME}", target)
    (path.parent / "SHA256SUMS").write_text(f"{'0' * 64}  other.zip\n")
    refused(ValueError, "expected a line for toy_v0.1.0.zip, found other.zip", path, target)
    (path.parent / "SHA256SUMS").write_text("<html>not here</html>")
    refused(ValueError, "expected lines of a SHA-256 and a file name, found '<html>", path, target)


@pytest.mark.parametrize(
    "name",
    ["../evil.py", "toy/../../evil.py", "/tmp/evil.py", "evil.py", "other/evil.py", "toy\\..\\..\\evil.py", ".."],
)
def test_a_path_that_leaves_the_folder(name, release, target):
    path = release(CONFIGS | {name: b"evil"})
    refused(ValueError, "leaves the folder toy of the bundle. Nothing was unpacked", path, target)
    assert not list(target.parent.rglob("evil.py"))


def test_a_link(release, target):
    link = ZipInfo("toy/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = release()
    with ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc")
        archive.writestr("toy/link/evil.py", "evil")
    write_sums(path)
    refused(ValueError, "'toy/link' is a link or a device", path, target)


def test_a_zip_that_is_cut_off_or_damaged(release, target):
    path = release(CONFIGS | {"toy/models/large.bin": bytes(10_000)})
    whole = path.read_bytes()
    for damaged in (whole[:5000], whole[:20], b"", whole.replace(bytes(100), bytes(99) + b"1", 1)):
        path.write_bytes(damaged)
        write_sums(path)
        refused(ValueError, "expected a zip file, found a damaged one", path, target)
    refused(ValueError, r"expected toy/configs/metadata\.json in it", release({"toy/a.txt": b""}), target)


def test_a_download_that_breaks_off(release, target, serve):
    path = release(CONFIGS | {"toy/models/large.bin": bytes(10_000)})

    class Breaking(Quiet):
        def do_GET(self):  # noqa: N802 - the name that http.server calls
            if self.path.endswith("SHA256SUMS"):
                super().do_GET()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(path.stat().st_size))
            self.end_headers()
            self.wfile.write(path.read_bytes()[:3000])

    missing = path.stat().st_size - 3000
    refused(
        RuntimeError, f"interrupted {missing:,} bytes before the end", f"{serve(path.parent, Breaking)}/{NAME}", target
    )


def test_no_such_zip(release, target, serve):
    path = release()
    for place in (str(path.parent), serve(path.parent)):
        refused(FileNotFoundError, "no such file", f"{place}/toy_v0.2.0.zip", target, checksum="0" * 64)
    refused(RuntimeError, "no connection", "http://127.0.0.1:9/toy_v0.1.0.zip", target, checksum="0" * 64)
    refused(ValueError, r"source must end in NAME_vX\.Y\.Z\.zip", path.with_suffix(".tar"), target)
    refused(ValueError, r"source must end in NAME_vX\.Y\.Z\.zip", path.with_name("...zip"), target)


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file", "link"])
def test_what_is_in_the_way_stays(kind, release, target):
    there = target / "toy"
    if kind == "file":
        there.write_text("old")
    elif kind == "link":
        there.symlink_to("nowhere")
    else:
        there.mkdir()
    if kind == "folder":
        (there / "model.pt").write_text("old")
    refused(FileExistsError, "toy: is in the way of the bundle, and was left as it is; rename it", release(), target)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_weights_with_code_in_them(release, target, tmp_path):
    for content in (pickle.dumps(Code(tmp_path / "ran")), b"no weights"):
        path = release(CONFIGS | {"toy/models/model.pt": content})
        refused(ValueError, r"models/model\.pt: expected weights, nothing but tensors, found", path, target)
    torch.save({"weight": Code(tmp_path / "ran")}, tmp_path / "model.pt")
    path = release(CONFIGS | {"toy/models/model.pt": (tmp_path / "model.pt").read_bytes()})
    refused(ValueError, "it holds more than tensors", path, target)
    assert not (tmp_path / "ran").exists()
    torch.save({"weight": torch.zeros(2)}, tmp_path / "model.pt")
    fetch_bundle(str(release(CONFIGS | {"toy/models/model.pt": (tmp_path / "model.pt").read_bytes()})), target)


def test_a_folder_that_cannot_be_written(release, target, monkeypatch):
    def denied(*args, **settings):
        raise PermissionError(13, "Permission denied")

    refused_file = target / "notes.txt"
    with pytest.raises((RuntimeError, FileExistsError), match=r"notes\.txt"):
        fetch_bundle(str(release()), refused_file)
    monkeypatch.setattr("common.packing.fetch.TemporaryDirectory", denied)
    refused(RuntimeError, "mine: cannot be written: .*Permission denied. Give another --bundle_dir", release(), target)


@pytest.mark.skipif(
    os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_without_permission(release, target):
    target.chmod(0o500)
    try:
        refused(RuntimeError, "mine: cannot be written", release(), target)
    finally:
        target.chmod(0o700)


def test_no_space_left(release, target, monkeypatch):
    def full(*args, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("common.packing.fetch.shutil.copyfile", full)
    refused(RuntimeError, "no space left to unpack toy_v0.1.0.zip; make room", release(), target)
