"""The streamed pass over the pool, and its table."""

import csv
import logging
import math

import pytest
import torch
import torch.nn.functional as F
from monai.data import Dataset
from torch import nn

from common.engines import BottleneckInferer
from common.query import STRATEGIES, ActiveSourceFree, Candidates, CoreSet, LeastConfidence, Rating, strategy
from common.query.one_shot import PoolAssessment, rate_choice, write_ratings

OTHERS = [name for name in STRATEGIES if name != "assft"]


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


def pool_of(folder, network=None, scans=None, query=None, **arguments):
    torch.manual_seed(0)
    return PoolAssessment(
        Dataset([scan_of("a", 0), scan_of("b", 12)] if scans is None else scans),
        network=network or Threshold(),
        strategy=query or ActiveSourceFree(),
        inferer=BottleneckInferer((8, 8, 8), (8, 8, 8)),
        folder=folder,
        device="cpu",
        progress=False,
        **arguments,
    )


def candidates(found, number):
    """The candidates that assessments make."""
    measures = {scan: it.numbers for scan, it in found.items()}
    return Candidates(measures, number, features={scan: it.features for scan, it in found.items()})


def made(pool, monkeypatch):
    """A list with an entry for each scan that a run assesses anew, and the run's result."""
    calls, assess = [], pool.assess
    monkeypatch.setattr(pool, "assess", lambda image: calls.append(1) or assess(image))
    return calls, pool.run()


def test_what_is_done_is_kept_unless_something_else_is_wanted(tmp_path, monkeypatch, caplog):
    calls, first = made(pool_of(tmp_path), monkeypatch)
    assert len(calls) == 2 and first.keys() == {"a", "b"}
    calls, again = made(pool_of(tmp_path), monkeypatch)
    assert not calls and again["a"].numbers == first["a"].numbers
    assert torch.equal(again["b"].features, first["b"].features)
    assert not made(pool_of(tmp_path, query=ActiveSourceFree(0.2, shortlist=0)), monkeypatch)[0]
    (tmp_path / "a.pt").write_text("damaged")
    with caplog.at_level(logging.WARNING):
        calls, again = made(pool_of(tmp_path), monkeypatch)
    assert len(calls) == 1 and "a.pt cannot be read" in caplog.text
    assert again["a"].numbers == first["a"].numbers
    for change in (
        {"steps": 1},
        {"network": Threshold(-1.0)},
        {"query": ActiveSourceFree(dilation=0)},
        {"query": strategy("he")},
        {"query": strategy("lc")},
        {"query": LeastConfidence(0.5)},
        {"query": strategy("her")},
    ):
        assert len(made(pool_of(tmp_path, **change), monkeypatch)[0]) == 2
        assert not made(pool_of(tmp_path, **change), monkeypatch)[0]


def test_another_image_of_the_same_name_is_assessed_anew(tmp_path, monkeypatch):
    pool_of(tmp_path).run()
    calls, found = made(pool_of(tmp_path, scans=[scan_of("a", 0), scan_of("b", 8)]), monkeypatch)
    assert len(calls) == 1
    assert found["b"].numbers == pool_of(tmp_path / "new", scans=[scan_of("b", 8)]).run()["b"].numbers
    torch.save([1, 2], tmp_path / "a.pt")
    assert len(made(pool_of(tmp_path), monkeypatch)[0]) == 2


def test_without_anything_to_adapt_the_divergence_is_0(tmp_path, caplog):
    class Still(Threshold):
        def __init__(self):
            super().__init__()
            self.normalise = nn.InstanceNorm3d(1)

    with caplog.at_level(logging.WARNING):
        found = pool_of(tmp_path, network=Still()).run()
    assert [it.numbers["divergence"] for it in found.values()] == [0, 0]
    assert caplog.text.count("NOTHING TO ADAPT: no normalisation layer of the Still") == 1
    assert all(it.numbers["difficulty"] > 0 for it in found.values())


def test_other_strategies_take_one_inference_a_scan(tmp_path, monkeypatch):
    calls, with_features = [], BottleneckInferer.with_features
    monkeypatch.setattr(BottleneckInferer, "with_features", lambda *given: calls.append(1) or with_features(*given))
    for name in OTHERS:
        before = len(calls)
        pool = pool_of(tmp_path / name, query=strategy(name))
        assert pool.strategy.choose(candidates(pool.run(), 2)) in (["a", "b"], ["b", "a"])
        assert len(calls) - before == (0 if name == "random" else 2)
    before = len(calls)
    pool_of(tmp_path / "assft").run()
    assert len(calls) == before + 4


def direct(network, image):
    """Probabilities and pooled features, without windows, which are as wide as the network's pooling or wider."""
    with torch.no_grad():
        probabilities = network(image[None])[0].softmax(dim=0)
        cells = F.avg_pool3d(network.normalise(image[None]), 4)[0, 0]
    shares = F.avg_pool3d((probabilities[1] > 0.5).float()[None, None], 4)[0, 0]
    return probabilities, torch.stack([(cells * shares).sum() / shares.sum(), cells.mean()])


def test_other_strategies_choose_by_the_plain_model(tmp_path):
    scans = [scan_of(f"{place}", 3 * place) for place in (4, 1, 0, 3, 2)]
    network = Threshold().eval()
    found = {scan["scan"]: direct(network, scan["image"]) for scan in scans}
    features = {scan: pooled for scan, (_, pooled) in found.items()}
    assessments = pool_of(tmp_path, network=network, scans=scans, query=strategy("coreset")).run()
    for scan, (probabilities, pooled) in found.items():
        torch.testing.assert_close(assessments[scan].features, pooled)
        assert assessments[scan].foreground == (probabilities[1] > 0.5).sum()
    expected = CoreSet().choose(Candidates({scan: {"score": 0.0} for scan in features}, 3, features=features))
    assert strategy("coreset").choose(candidates(assessments, 3)) == expected != sorted(features)[:3]

    query = strategy("he")
    entropies = {
        scan: -(probabilities * probabilities.log()).sum(dim=0).mean().item() / math.log(2)
        for scan, (probabilities, _) in found.items()
    }
    given = candidates(pool_of(tmp_path, network=network, scans=scans, query=query).run(), 5)
    picks, _ = rate_choice(query, given, query.choose(given))
    assert [pick.scan for pick in picks] == sorted(entropies, key=lambda scan: (-round(entropies[scan], 6), scan))
    assert {pick.scan: pick.score for pick in picks} == pytest.approx(entropies, rel=1e-5)


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
    assert all(it.numbers["difficulty"] == it.foreground == 0 for it in found.values())
    assert "NO FOREGROUND IS PREDICTED in any of 2 scans" in caplog.text
    assert sorted(ActiveSourceFree().choose(candidates(found, 2))) == ["a", "b"]


@pytest.mark.parametrize("bias", [-2.0, -1e4])
@pytest.mark.parametrize("name", STRATEGIES)
def test_identical_scans_can_be_chosen_from(name, bias, tmp_path, caplog):
    scans, query = [scan_of(scan, 0) for scan in "bca"], strategy(name, rounds=False)
    with caplog.at_level(logging.WARNING):
        found = pool_of(tmp_path, network=Threshold(bias), scans=scans, query=query).run()
    looked = name != "random"
    assert ("ALL 3 SCANS ARE ALIKE to the model" in caplog.text) == looked
    assert ("NO FOREGROUND IS PREDICTED" in caplog.text) == (looked and bias < -2)
    picks = query.choose(candidates(found, 2))
    if name in ("assft", "lc", "he", "her", "coreset"):
        assert picks == ["a", "b"]
    assert len(set(picks)) == 2
    assert [rating.scan for rating in query.rate(candidates(found, 2))] == ["a", "b", "c"]


def test_different_scans_are_not_called_alike(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        for name in STRATEGIES:
            pool_of(tmp_path, query=strategy(name, rounds=False)).run()
        pool_of(tmp_path, scans=[scan_of("a", 0)]).run()
    assert not caplog.text


def rows(path):
    with path.open() as file:
        return list(csv.reader(file))


def test_the_table(tmp_path):
    path = tmp_path / "query.csv"
    names = ("divergence", "novelty", "difficulty")
    picks = [Rating("b", 0.75, dict(zip(names, (0.1, 1.0, 0.2), strict=True)))]
    others = [Rating("a", 0.5, dict(zip(names, (0.01, 0.5, 1 / 3), strict=True)))]
    write_ratings(path, picks, others)
    assert rows(path) == [
        ["scan", "score", "divergence", "novelty", "difficulty", "chosen"],
        ["b", "0.75", "0.1", "1", "0.2", "1"],
        ["a", "0.5", "0.01", "0.5", "0.333333", "0"],
    ]
    write_ratings(path, [Rating("c", 0.25)], [])
    assert rows(path) == [["scan", "score", "chosen"], ["c", "0.25", "1"]]


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
