from __future__ import annotations

import pytest

from common.__main__ import main
from common.packing import check_packed, check_ready, next_steps, pack
from tests.packing.repositories import commit, write


def test_a_release_says_what_to_do_next(toys, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("common.commands.publish.ROOT", toys)
    words = ["release", "--output_dir", str(tmp_path / "dist"), "--repository", "somebody/bundles"]
    main(words)
    printed = capsys.readouterr().out
    for line in ("checked: toy_v0.1.0.zip", "git tag -a v0.1.0", "gh release create v0.1.0", "--private True"):
        assert line in printed
    assert "--source github --repo somebody/bundles/v0.1.0 --version 0.1.0" in printed
    with pytest.raises(SystemExit, match=r"Error: .*expected a new folder"):
        main(words)


def test_a_repository_that_is_not_known_yet(toys, tmp_path):
    packed = pack(["all"], tmp_path / "dist", toys)
    assert "names no repository yet" in next_steps(packed)


def test_what_stops_a_release(toys, tmp_path, monkeypatch):
    check_ready(toys)
    check_ready(toys, tag="v0.1.0")
    with pytest.raises(ValueError, match=r"tag must be v0\.1\.0, as in common/__init__\.py, got v0\.2\.0"):
        check_ready(toys, tag="v0.2.0")
    write(toys, {"README.md": "changed"})
    with pytest.raises(ValueError, match=r"expected all changes in a commit .* found README\.md"):
        check_ready(toys)
    write(toys, {"CHANGELOG.md": "## [Unreleased]\n\n- New.\n\n## [0.1.0]\n"})
    commit(toys)
    with pytest.raises(ValueError, match=r"expected nothing under \[Unreleased\]"):
        check_ready(toys)
    monkeypatch.setattr("common.commands.publish.ROOT", toys)
    for words in (["--only_check"], []):
        with pytest.raises(SystemExit, match=r"Error: CHANGELOG\.md"):
            main(["release", "--output_dir", str(tmp_path / "dist"), *words])
    assert not (tmp_path / "dist").exists()


def test_what_was_packed_is_checked(toys, tmp_path):
    assert check_packed(toys, pack(["all"], tmp_path / "dist", toys)) == [
        "model_info.json",
        "toy-0.1.0-py3-none-any.whl",
        "toy_v0.1.0.zip",
        "twin_v0.1.0.zip",
    ]


def test_a_version_is_not_published_twice(toys, tmp_path):
    packed = pack(["all"], tmp_path / "dist", toys)
    write(toys, {"models/model_info.json": (packed.folder / "model_info.json").read_bytes()})
    commit(toys)
    check_packed(toys, pack(["all"], tmp_path / "dist", toys))
    write(toys, {"bundles/toy/docs/README.md": "better words"})
    commit(toys)
    with pytest.raises(ValueError, match=r"toy_v0\.1\.0 was published with another checksum"):
        check_packed(toys, pack(["all"], tmp_path / "dist", toys))


def test_files_that_are_not_as_listed(toys, tmp_path):
    packed = pack(["all"], tmp_path / "dist", toys)
    with packed.zips[0].open("ab") as file:
        file.write(b"x")
    packed.zips[1].rename(packed.folder / "other.zip")
    with pytest.raises(
        ValueError, match=r"(?s)twin_v0.1.0.zip: listed, but missing.*other.zip: not listed.*expected SHA"
    ):
        check_packed(toys, packed)
