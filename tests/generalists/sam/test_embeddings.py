from __future__ import annotations

import os

import pytest
import torch

from common.generalists.sam.embeddings import EmbeddingCache

SHAPE = (2, 3, 4)


def embeddings(*numbers: int) -> dict[int, torch.Tensor]:
    return {number: torch.full(SHAPE, number / 4) for number in numbers}


def test_what_is_saved_is_loaded_and_more_can_be_added(tmp_path) -> None:
    cache = EmbeddingCache(tmp_path / "new" / "folder")
    assert cache.load("a", SHAPE, [1]) == {}
    cache.save("a", embeddings(1, 5))
    cache.save("a", embeddings(3))
    cache.save("b", embeddings(7))
    found = EmbeddingCache(tmp_path / "new" / "folder").load("a", SHAPE, [3, 5, 7])
    assert sorted(found) == [3, 5]
    assert all(value.dtype == torch.float16 and (value == number / 4).all() for number, value in found.items())


def test_the_order_in_memory_does_not_matter(tmp_path) -> None:
    value = torch.arange(24.0).view(3, 4, 2).permute(2, 0, 1)
    cache = EmbeddingCache(tmp_path)
    cache.save("a", {1: value})
    assert torch.equal(cache.load("a", SHAPE, [1])[1], value.half())


def test_an_incomplete_last_embedding_is_dropped(tmp_path, caplog) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.save("a", embeddings(1, 2))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    assert list(cache.load("a", SHAPE, [1, 2])) == [1]
    cache.save("a", embeddings(2, 3))
    assert "truncated" in caplog.text
    assert sorted(cache.load("a", SHAPE, [1, 2, 3])) == [1, 2, 3]


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_file_without_a_whole_embedding(tmp_path, content: bytes) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.save("a", embeddings(1))
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    assert cache.load("a", SHAPE, [1]) == {}
    cache.save("a", embeddings(2))
    assert list(cache.load("a", SHAPE, [1, 2])) == [2]


def test_those_unused_for_longest_are_removed_first(tmp_path) -> None:
    probe = EmbeddingCache(tmp_path / "probe")
    probe.save("a", embeddings(1))
    size = next((tmp_path / "probe").iterdir()).stat().st_size
    cache = EmbeddingCache(tmp_path / "cache", max_gb=3.5 * size / 1e9)
    for age, key in enumerate("abc"):
        cache.save(key, embeddings(1))
        file = tmp_path / "cache" / f"{key}.embeddings"
        os.utime(file, (1000 + age, 1000 + age))
    cache.load("a", SHAPE, [1])
    cache.save("d", embeddings(1))
    assert sorted(file.stem for file in (tmp_path / "cache").iterdir()) == ["a", "c", "d"]


def test_a_full_disk_costs_only_the_cache(tmp_path, caplog, monkeypatch) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.save("a", embeddings(1))
    monkeypatch.setattr("builtins.open", _no_space)
    cache.save("a", embeddings(2))
    monkeypatch.undo()
    cache.save("a", embeddings(3))
    assert caplog.text.count("cannot be written") == 1 and "No space left" in caplog.text
    assert list(cache.load("a", SHAPE, [1, 2, 3])) == [1]


def _no_space(*_arguments, **_options):
    raise OSError(28, "No space left on device")


def test_the_limit_must_be_positive(tmp_path) -> None:
    with pytest.raises(ValueError, match="max_gb must be positive, got 0"):
        EmbeddingCache(tmp_path, max_gb=0)
