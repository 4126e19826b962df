from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from common.weights import CATALOGUE, Weights, download, fetch, find, path
from tests.weights.server import CONTENT

HALF = len(CONTENT) // 2


def register(monkeypatch, weights, **changes):
    monkeypatch.setitem(CATALOGUE, "tiny", replace(weights, **changes))


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if not file.name.endswith(".lock")}


def leave_part(folder: Path, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "tiny.pt.part"
    part.write_bytes(content)
    return part


def test_download(tiny, server, folder):
    assert fetch("tiny") == path("tiny") == find("tiny") == folder / "tiny.pt"
    assert (folder / "tiny.pt").read_bytes() == CONTENT
    assert server.ranges == [None]
    assert files(folder) == {"tiny.pt"}


def test_a_file_that_is_there_is_not_downloaded_again(tiny, server):
    fetch("tiny")
    fetch("tiny")
    assert len(server.ranges) == 1


def test_a_mirror(tiny, server, folder, monkeypatch):
    register(monkeypatch, tiny, url="http://127.0.0.1:1/tiny.pt")
    assert fetch("tiny", url=server.url).read_bytes() == CONTENT
    with pytest.raises(ValueError, match="url must begin with http"):
        fetch("tiny", url="file:///tiny.pt")


@pytest.mark.parametrize("knows_ranges", [True, False], ids=["ranges", "no ranges"])
def test_an_interrupted_download_resumes(tiny, server, folder, knows_ranges):
    server.cut, server.knows_ranges = HALF, knows_ranges
    with pytest.raises(RuntimeError, match=rf"interrupted after {HALF:,} of {len(CONTENT):,} bytes.*resumes from"):
        fetch("tiny")
    assert files(folder) == {"tiny.pt.part"}
    assert (folder / "tiny.pt.part").read_bytes() == CONTENT[:HALF]

    server.cut = None
    assert fetch("tiny").read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert files(folder) == {"tiny.pt"}


def test_a_stalled_connection_is_an_interruption(tiny, server, folder, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    server.cut = HALF
    server.stall.clear()
    with pytest.raises(RuntimeError, match=rf"interrupted after {HALF:,} of .*timed out"):
        fetch("tiny")
    assert (folder / "tiny.pt.part").read_bytes() == CONTENT[:HALF]


def test_a_server_that_answers_with_another_range_is_asked_for_everything(tiny, server, folder):
    leave_part(folder, CONTENT[:HALF])
    server.wrong_range = True
    assert fetch("tiny").read_bytes() == CONTENT
    assert server.ranges == [f"bytes={HALF}-", None]


def test_a_complete_part_needs_no_server(tiny, server, folder):
    leave_part(folder, CONTENT)
    assert fetch("tiny").read_bytes() == CONTENT
    assert server.ranges == []


@pytest.mark.parametrize(("part", "asked"), [(CONTENT, 1), (CONTENT + b"more", 2)], ids=["complete", "too long"])
def test_nothing_left_to_send(tiny, server, folder, monkeypatch, part, asked):
    register(monkeypatch, tiny, size=None)
    leave_part(folder, part)
    assert fetch("tiny").read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(part)}-", None][:asked]


def test_a_part_longer_than_the_file_is_dropped(tiny, server, folder):
    leave_part(folder, CONTENT + b"more")
    assert fetch("tiny").read_bytes() == CONTENT
    assert server.ranges == [None]


def test_wrong_digest(tiny, server, folder):
    server.content = CONTENT[:-1] + b"x"
    found = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(ValueError, match=rf"expected SHA256 {tiny.sha256}, found {found}. The download was removed"):
        fetch("tiny")
    assert files(folder) == set()


def test_a_part_of_another_file_is_found_out(tiny, server, folder):
    leave_part(folder, b"x" * HALF)
    with pytest.raises(ValueError, match="expected SHA256"):
        fetch("tiny")
    assert fetch("tiny").read_bytes() == CONTENT


def test_wrong_size_is_noticed_before_the_download(tiny, server, folder):
    server.content = b"<html>not what you wanted</html>"
    with pytest.raises(ValueError, match=rf"expected {len(CONTENT):,} bytes, found 32\."):
        fetch("tiny")
    assert files(folder) == set()


def test_the_first_digits_of_a_digest(tiny, server, folder, monkeypatch):
    digits = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()[:6]
    register(monkeypatch, tiny, sha256=None, hash_prefix=("md5", digits))
    fetch("tiny").unlink()
    register(monkeypatch, tiny, sha256=None, hash_prefix=("md5", "000000"))
    with pytest.raises(ValueError, match=f"expected MD5 000000, found {digits}"):
        fetch("tiny")
    assert files(folder) == set()


def test_weights_without_a_digest_are_reported_and_not_resumed(tiny, server, folder, monkeypatch, caplog):
    register(monkeypatch, tiny, size=None, sha256=None)
    server.cut = HALF
    with pytest.raises(RuntimeError, match=r"interrupted .* starts from scratch"):
        fetch("tiny")
    server.cut = None
    assert fetch("tiny").read_bytes() == CONTENT
    assert server.ranges == [None, None]
    assert f"could not be checked. Its SHA-256 is {tiny.sha256}" in caplog.text


def test_a_wrong_file_that_is_there_is_left_alone(tiny, server, folder):
    folder.mkdir()
    wrong = CONTENT[:-1] + b"x"
    (folder / "tiny.pt").write_bytes(wrong)
    with pytest.raises(ValueError, match=r"weights/tiny\.pt: expected SHA256 .*left as it is"):
        fetch("tiny")
    assert (folder / "tiny.pt").read_bytes() == wrong
    assert server.ranges == []

    (folder / "tiny.pt").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"weights/tiny\.pt: expected .* found 1\b"):
        find("tiny")


def test_no_room(tiny, server, folder, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(RuntimeError, match=rf"needs {len(CONTENT):,} more bytes, found 1,000 free"):
        fetch("tiny")
    assert not path("tiny").exists()


def test_the_disk_fills_up_on_the_way(tiny, server, folder, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RuntimeError, match=r"no space left for tiny\.pt.*LABEL_EFFICIENT_WEIGHTS"):
            fetch("tiny")
    assert files(folder) == {"tiny.pt.part"}
    assert fetch("tiny").read_bytes() == CONTENT


def test_a_folder_that_cannot_be_used(tiny, server, folder):
    folder.write_text("a file where the folder should be")
    with pytest.raises(RuntimeError, match=r"weights: the folder of weights cannot be used.*LABEL_EFFICIENT_WEIGHTS"):
        fetch("tiny")


def test_no_network(tiny, server, folder):
    with pytest.raises(RuntimeError, match=r"no connection: .*refused") as caught:
        fetch("tiny", url="http://127.0.0.1:1/tiny.pt")
    message = str(caught.value)
    assert tiny.url in message and str(folder / "tiny.pt") in message and str(tiny.sha256) in message


def test_the_server_does_not_have_it(tiny, server, folder):
    server.status = 404
    with pytest.raises(RuntimeError, match=r"answered 404 Not Found\. Without a network, download"):
        fetch("tiny")
    assert files(folder) == set()


SCRIPT = """
    import sys
    from common.weights import CATALOGUE, Weights, fetch

    url, size, sha256 = sys.argv[1:]
    CATALOGUE["tiny"] = Weights("tiny", "tiny.pt", url, "", "", int(size), sha256)
    fetch("tiny")
"""


def other_process(weights: Weights, **keywords) -> subprocess.Popen:
    arguments = [weights.url, str(weights.size), str(weights.sha256)]
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(SCRIPT), *arguments], cwd=root, **keywords)


def test_two_processes_download_once(tiny, server, folder):
    server.delay = 0.3
    processes = [other_process(tiny) for _ in range(2)]
    assert [process.wait(10) for process in processes] == [0, 0]
    assert server.ranges == [None]
    assert (folder / "tiny.pt").read_bytes() == CONTENT
    assert files(folder) == {"tiny.pt"}


def test_the_second_waits_for_the_first(tiny, server, folder, caplog):
    server.delay = 0.3
    threads = [threading.Thread(target=fetch, args=("tiny",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.ranges == [None]
    assert "waiting for another process" in caplog.text


def test_after_a_killed_process_the_next_resumes(tiny, server, folder):
    server.cut = HALF
    server.stall.clear()
    part = folder / "tiny.pt.part"
    with other_process(tiny) as process:
        end = time.monotonic() + 10
        while not (part.exists() and part.stat().st_size) and time.monotonic() < end:
            time.sleep(0.01)
        process.kill()
    have = part.stat().st_size
    server.cut = None
    server.stall.set()
    assert fetch("tiny").read_bytes() == CONTENT
    assert 0 < have <= HALF
    assert server.ranges == [None, f"bytes={have}-"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no flock")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS], ids=errno.errorcode.get)
def test_a_disk_without_locks(tiny, server, folder, monkeypatch, code):
    def unsupported(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", unsupported)
    assert fetch("tiny").read_bytes() == CONTENT
    assert files(folder) == {"tiny.pt"}
