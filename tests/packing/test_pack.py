from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import stat
import time
from zipfile import ZipFile

import pytest
import yaml

from common.__main__ import main
from common.packing import pack
from common.packing.contents import LARGEST
from tests.bundles.workflows import ROOT
from tests.packing.repositories import commit, git, write

OWN = ["LICENSE", "configs/inference.json", "configs/logging.conf", "configs/metadata.json", "configs/train.json"]
CODE = ["common/LICENSE", "common/__init__.py", "common/room/module.py"]


def names(path):
    with ZipFile(path) as archive:
        return archive.namelist()


def test_what_travels(toys, tmp_path):
    packed = pack(["all"], tmp_path / "dist", toys)
    assert [path.name for path in packed.zips] == ["toy_v0.1.0.zip", "twin_v0.1.0.zip"]
    models = ["models/model.json", "models/model.pt"]
    for path, extra in zip(packed.zips, (models, []), strict=True):
        bundle = path.name.split("_v")[0]
        assert names(path) == sorted(f"{bundle}/{name}" for name in [*OWN, *CODE, "docs/README.md", *extra])
    with ZipFile(packed.zips[0]) as archive:
        assert archive.read("toy/models/model.pt") == bytes(range(256))
        assert archive.read("toy/common/LICENSE") == b"free"
    assert packed.left_out == packed.uncommitted == []


def test_what_does_not_travel(toys, tmp_path):
    unknown = ["docs/draft.md", "configs/mine.json", "models/scan.nii.gz"]
    listed = ["models/checkpoint.pt", "models/model_best.pt", "eval/metrics.csv", "scripts/tool.py", "configs/a.txt"]
    write(toys, {f"bundles/twin/{name}": "known to git" for name in listed})
    commit(toys)
    write(toys, {f"bundles/twin/{name}": "unknown to git" for name in [*unknown, "models/model.pt"]})
    write(toys, {"common/secret.py": "unknown to git", "common/room/scan.nii.gz": "ignored"})
    packed = pack(["twin"], tmp_path / "dist", toys)
    assert names(packed.zips[0]) == sorted(f"twin/{name}" for name in [*OWN, *CODE, "docs/README.md"])
    assert packed.left_out == sorted(f"bundles/twin/{name}" for name in listed)


def test_the_same_files_give_the_same_bytes(toys, tmp_path):
    first = pack(["all"], tmp_path / "first", toys)
    later = time.time() + 1e6
    for path in toys.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            os.utime(path, (later, later))
            path.chmod(0o600)
    git(toys, "commit", "--message", "nothing", "--allow-empty")
    second = pack(["twin", "toy", "toy"], tmp_path / "second", toys)
    for one, other in zip(first.folder.iterdir(), second.folder.iterdir(), strict=True):
        assert one.name == other.name and one.read_bytes() == other.read_bytes()
    with ZipFile(second.zips[0]) as archive:
        for member in archive.infolist():
            assert member.date_time == (1980, 1, 1, 0, 0, 0)
            assert stat.filemode(member.external_attr >> 16) == "-rw-r--r--"


def test_links_of_a_page_hold_in_the_zip(toys, tmp_path):
    page = (
        "[a](../../../docs/all.md#part), [b](../LICENSE), [c](../../../common/room/module.py), [d](#here)\n"
        "[e](https://example.org/a.md) [f](../../../docs) [g](../../twin/docs/README.md), not (../x) but ![h](h.png)"
    )
    write(toys, {"bundles/toy/docs/README.md": page, "common/room/notes.md": "[i](module.py) [j](../../README.md)"})
    commit(toys)
    packed = pack(["toy"], tmp_path / "dist", toys, repository="some/body")
    web = "https://github.com/some/body/blob/v0.1.0"
    with ZipFile(packed.zips[0]) as archive:
        assert archive.read("toy/docs/README.md").decode() == (
            f"[a]({web}/docs/all.md#part), [b](../LICENSE), [c](../common/room/module.py), [d](#here)\n"
            f"[e](https://example.org/a.md) [f]({web}/docs) [g]({web}/bundles/twin/docs/README.md), not (../x) but "
            f"![h]({web}/bundles/toy/docs/h.png)"
        )
        assert archive.read("toy/common/room/notes.md").decode() == f"[i](module.py) [j]({web}/README.md)"


def test_links_of_our_own_pages_hold_in_the_zips(packed):
    web = f"https://github.com/somebody/bundles/blob/v{packed.version}/"
    for path in packed.zips:
        with ZipFile(path) as archive:
            pages = [name for name in archive.namelist() if name.endswith(".md")]
            for page in pages:
                text = archive.read(page).decode()
                for link in re.findall(r"\]\(([^)#\s]+)[)#]", text):
                    if link.startswith(web):
                        assert (ROOT / link.removeprefix(web)).exists(), link
                    elif "://" not in link:
                        inside = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
                        assert inside in archive.namelist(), (page, link)
        bundle = path.name.split("_v")[0]
        assert f"{bundle}/docs/README.md" in pages


def test_sums_and_addresses(toys, tmp_path):
    git(toys, "remote", "add", "origin", "git@github.com:some-body/many.scans.git")
    former = {"toy_v0.0.9": {"checksum": "ab", "source": "somewhere"}}
    write(toys, {"models/model_info.json": former})
    packed = pack(["all"], tmp_path / "dist", toys)
    lines = (packed.folder / "SHA256SUMS").read_text().splitlines()
    listed = dict(reversed(line.split("  ")) for line in lines)
    files = {path.name for path in packed.folder.iterdir()} - {"SHA256SUMS"}
    assert listed.keys() == files and {"model_info.json", packed.wheel.name} < files
    for name, checksum in listed.items():
        assert checksum == hashlib.sha256((packed.folder / name).read_bytes()).hexdigest()
    info = json.loads((packed.folder / "model_info.json").read_text())
    assert list(info) == ["toy_v0.0.9", "toy_v0.1.0", "twin_v0.1.0"] and info["toy_v0.0.9"] == former["toy_v0.0.9"]
    assert info["toy_v0.1.0"] == {
        "checksum": listed["toy_v0.1.0.zip"],
        "hash_type": "sha256",
        "source": "https://github.com/some-body/many.scans/releases/download/v0.1.0/toy_v0.1.0.zip",
    }


def test_uncommitted_changes_are_told(toys, tmp_path):
    write(toys, {"bundles/toy/docs/README.md": "changed"})
    packed = pack(["toy"], tmp_path / "dist", toys)
    assert packed.uncommitted == ["bundles/toy/docs/README.md"]


METADATA = "bundles/toy/configs/metadata.json"


@pytest.mark.parametrize(
    ("name", "content", "faults"),
    [
        (
            METADATA,
            {"version": "0.2.0", "changelog": {"0.1.0": ""}},
            [f"{METADATA}: expected version 0.1.0, found 0.2"],
        ),
        (METADATA, {"version": "0.1.0", "changelog": {"0.2.0": ""}}, [f"{METADATA}: expected an entry for 0.1.0"]),
        ("CHANGELOG.md", "## [Unreleased]\n", [r"CHANGELOG\.md: expected a section '## \[0\.1\.0\]"]),
        (
            "common/__init__.py",
            '__version__ = "0.2.0"',
            ["__version__ 0.2.0", "bundles/toy/.*version 0.2.0, found 0.1.0", "bundles/twin/.*entry", "CHANGELOG"],
        ),
        ("common/__init__.py", '__version__ = "new"', ["of the form X.Y.Z, found 'new'"]),
        ("common/__init__.py", "", ["expected a __version__, found none"]),
    ],
)
def test_versions_that_disagree_are_named(name, content, faults, toys, tmp_path):
    write(toys, {name: content})
    with pytest.raises(ValueError, match="(?s)" + ".*".join(faults)):
        pack(["all"], tmp_path / "dist", toys)
    assert not (tmp_path / "dist").exists()


def large_file(toys, size, **entry):
    path = toys / "bundles/toy/models/model.pt"
    with path.open("wb") as file:
        file.truncate(size)
    if entry:
        entry = {"path": "models/model.pt", "url": "https://example.org/model.pt", "hash_type": "sha256"} | entry
        (toys / "bundles/toy/large_files.yml").write_text(yaml.safe_dump({"large_files": [entry]}))
    commit(toys)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_large_file_is_refused_by_name(toys, tmp_path):
    large_file(toys, LARGEST)
    pack(["toy"], tmp_path / "dist", toys)
    large_file(toys, LARGEST + 1)
    with pytest.raises(
        ValueError, match=r"toy/models/model\.pt: expected at most 25,000,000 bytes .*, found 25,000,001"
    ):
        pack(["toy"], tmp_path / "other", toys)
    assert not (tmp_path / "other").exists()


def test_a_large_file_with_an_address_stays_at_home(toys, tmp_path):
    checksum = large_file(toys, LARGEST + 1)
    large_file(toys, LARGEST + 1, hash_val=checksum)
    found = names(pack(["toy"], tmp_path / "dist", toys).zips[0])
    assert "toy/large_files.yml" in found and "toy/models/model.pt" not in found


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"hash_val": "ab"}, r"model\.pt: large_files\.yml expects SHA-256 ab, found "),
        ({"hash_val": "ab", "hash_type": "md5"}, "expected hash_type sha256 for models/model.pt, found 'md5'"),
        ({"hash_val": ""}, "expected hash_val in each entry"),
    ],
)
def test_a_list_of_large_files_that_is_wrong(entry, message, toys, tmp_path):
    large_file(toys, 10, **entry)
    with pytest.raises(ValueError, match=message):
        pack(["toy"], tmp_path / "dist", toys)


def test_files_that_are_missing_or_links(toys, tmp_path):
    (toys / "bundles/toy/LICENSE").unlink()
    with pytest.raises(FileNotFoundError, match="git tracks this file, but it is missing"):
        pack(["toy"], tmp_path / "dist", toys)
    git(toys, "rm", "--quiet", "bundles/toy/LICENSE")
    with pytest.raises(FileNotFoundError, match="bundles/toy: expected LICENSE among the files that git tracks"):
        pack(["toy"], tmp_path / "dist", toys)
    (toys / "bundles/toy/LICENSE").symlink_to("/etc/hostname")
    commit(toys)
    with pytest.raises(ValueError, match="bundles/toy/LICENSE: expected a file to pack, found a link"):
        pack(["toy"], tmp_path / "dist", toys)


def test_names_and_places_that_are_wrong(toys, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="toi: expected all or names of bundles: toy, twin"):
        pack(["toy", "toi"], tmp_path / "dist", toys)
    with pytest.raises(RuntimeError, match="expected a checkout of the repository"):
        pack(["all"], tmp_path / "dist", tmp_path)
    with pytest.raises(SystemExit, match="Error: pack needs names of bundles, or all"):
        main(["pack"])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="git: expected on the PATH"):
        pack(["all"], tmp_path / "dist", toys)


def test_the_command(toys, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("common.commands.publish.ROOT", toys)
    main(["pack", "toy", "twin", "--output_dir", str(tmp_path / "dist"), "--repository", "somebody/bundles"])
    printed = capsys.readouterr().out
    assert [line.split()[-1].rsplit("/", 1)[1] for line in printed.splitlines()] == [
        "toy_v0.1.0.zip",
        "twin_v0.1.0.zip",
        "toy-0.1.0-py3-none-any.whl",
    ]
    assert "somebody/bundles" in (tmp_path / "dist/bundles/model_info.json").read_text()
