"""The streamed pass over the pool, and its table."""

import csv
import logging

import pytest
import torch
from monai.data import Dataset
from torch import nn

from common.engines import BottleneckInferer
from common.query import ActiveSourceFree, PoolAssessment, Rating, write_ratings


class Threshold(nn.Module):
    """Bright voxels are foreground."""

    def __init__(self, bias=-2.0):
        super().__init__()
        self.normalise = nn.BatchNorm3d(1)
        self.pool = nn.AvgPool3d(4)
        self.up = nn.Upsample(scale_factor=4)
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, x):
        x = self.normalise(x)
        x = 4 * x + self.up(self.pool(x)) + self.bias
        return torch.cat([-x, x], dim=1)


def scan_of(name, corner):
    image = torch.zeros(1, 16, 16, 16)
    image[:, corner : corner + 4, :4, :4] = 2 + corner / 10
    return {"scan": name, "image": image}


def pool_of(folder, network=None, scans=None, **arguments):
    torch.manual_seed(0)
    return PoolAssessment(
        Dataset([scan_of("a", 0), scan_of("b", 12)] if scans is None else scans),
        network=network or Threshold(),
        strategy=ActiveSourceFree(),
        inferer=BottleneckInferer((8, 8, 8), (8, 8, 8)),
        folder=folder,
        device="cpu",
        progress=False,
        **arguments,
    )


def made(pool, monkeypatch):
    """A list with an entry for each scan that a run assesses anew, and the run's result."""
    calls, assess = [], pool.assess
    monkeypatch.setattr(pool, "assess", lambda image: calls.append(1) or assess(image))
    return calls, pool.run()


def test_what_is_done_is_kept_unless_something_else_is_wanted(tmp_path, monkeypatch, caplog):
    calls, first = made(pool_of(tmp_path), monkeypatch)
    assert len(calls) == 2 and first.keys() == {"a", "b"}
    calls, again = made(pool_of(tmp_path), monkeypatch)
    assert not calls and again["a"].divergence == first["a"].divergence
    assert torch.equal(again["b"].features, first["b"].features)
    (tmp_path / "a.pt").write_text("damaged")
    with caplog.at_level(logging.WARNING):
        calls, again = made(pool_of(tmp_path), monkeypatch)
    assert len(calls) == 1 and "a.pt cannot be read" in caplog.text
    assert again["a"].divergence == first["a"].divergence
    for pool in (pool_of(tmp_path, steps=1), pool_of(tmp_path, network=Threshold(-1.0))):
        assert len(made(pool, monkeypatch)[0]) == 2


def test_the_network_stays_as_it_is(tmp_path):
    network = Threshold()
    before = {name: it.clone() for name, it in network.state_dict().items()}
    pool_of(tmp_path, network=network).run()
    assert all(torch.equal(it, before[name]) for name, it in network.state_dict().items())


def test_it_adapts_on_the_windows_with_most_foreground(tmp_path):
    pool = pool_of(tmp_path, window_share=0.25, max_windows=1)
    image = scan_of("b", 12)["image"]
    (window,) = pool._windows(image, (image[0] > 1).float())
    assert torch.equal(window, image[:, 8:, :8, :8])
    assert len(pool_of(tmp_path, window_share=1.0, max_windows=3)._windows(image, image[0])) == 3
    assert pool._windows(torch.ones(1, 4, 8, 20), torch.ones(4, 8, 20)).shape == (1, 1, 8, 8, 8)


def test_no_foreground_is_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        found = pool_of(tmp_path, network=Threshold(-1e4)).run()
    assert all(it.difficulty == 0 for it in found.values())
    assert "NO FOREGROUND IS PREDICTED in any of 2 scans" in caplog.text
    ratings = ActiveSourceFree().choose(found, 2)
    assert sorted(rating.scan for rating in ratings) == ["a", "b"]


def test_identical_scans_can_be_chosen_from(tmp_path):
    scans = [scan_of(name, 0) for name in "abc"]
    ratings = ActiveSourceFree().choose(pool_of(tmp_path, scans=scans).run(), 3)
    assert [rating.scan for rating in ratings] == ["a", "b", "c"]


def test_the_table(tmp_path):
    write_ratings(tmp_path / "query.csv", [Rating("b", 0.75, 0.1, 1.0, 0.2)], [Rating("a", 0.5, 0.01, 0.5, 1 / 3)])
    with (tmp_path / "query.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["scan", "score", "divergence", "novelty", "difficulty", "chosen"],
        ["b", "0.75", "0.1", "1", "0.2", "1"],
        ["a", "0.5", "0.01", "0.5", "0.333333", "0"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window_share": 0}, r"window_share must lie in \(0, 1\], got 0"),
        ({"max_windows": 0}, "max_windows must be at least 1, got 0"),
    ],
)
def test_bad_arguments(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        pool_of(tmp_path, **arguments)
