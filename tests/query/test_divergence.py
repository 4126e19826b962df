import copy
import itertools
import math
from collections import Counter

import pytest
import torch
from monai.networks.nets import UNet
from torch import nn

from common.networks import VNet
from common.query import (
    ActiveSourceFree,
    Candidates,
    adapt_normalisation,
    adaptable,
    cosine_similarity,
    jensen_shannon,
    knowledge_divergence,
    novelty,
    pooled_features,
)


def scan(*foreground):
    """Two-class probabilities ``[2, 1, 1, n]``."""
    p = torch.tensor(foreground)
    return torch.stack([1 - p, p]).reshape(2, 1, 1, -1)


def entropy(*probabilities):
    return -sum(p * math.log2(p) for p in probabilities if p > 0)


def divergence_of(p, q):
    """Of two foreground probabilities."""
    mixed = (p + q) / 2
    return entropy(mixed, 1 - mixed) - (entropy(p, 1 - p) + entropy(q, 1 - q)) / 2


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- Jensen-Shannon ---


def test_jensen_shannon_by_hand():
    found = jensen_shannon(scan(0.0, 0.3, 0.5, 0.9), scan(1.0, 0.3, 1.0, 0.2)).flatten()
    assert found.tolist() == pytest.approx([1.0, 0.0, divergence_of(0.5, 1.0), divergence_of(0.9, 0.2)], abs=1e-6)


def test_jensen_shannon_is_symmetric_and_bounded():
    p, q = (noise(3, 5, 4, 6, seed=seed).mul(4).softmax(0) for seed in (0, 1))
    found = jensen_shannon(p, q)
    assert found.shape == (5, 4, 6) and found.dtype == torch.float32
    assert torch.equal(found, jensen_shannon(q, p)) and found.min() >= 0 and found.max() <= 1
    for place in itertools.product(range(5), range(4), range(6)):
        one, other = p[(slice(None), *place)].tolist(), q[(slice(None), *place)].tolist()
        mixed = [(a + b) / 2 for a, b in zip(one, other, strict=True)]
        expected = entropy(*mixed) - (entropy(*one) + entropy(*other)) / 2
        assert found[place].item() == pytest.approx(expected, abs=1e-5)


def test_jensen_shannon_of_other_shapes():
    with pytest.raises(ValueError, match=r"same shape, got \(2, 1, 1, 2\) and \(2, 1, 1, 3\)"):
        jensen_shannon(scan(0.1, 0.2), scan(0.1, 0.2, 0.3))


# --- knowledge divergence ---


def test_knowledge_divergence_by_hand():
    before, after = scan(0.9, 0.4, 0.2, 0.1), scan(0.8, 0.7, 0.4, 0.1)
    union = (divergence_of(0.9, 0.8) + divergence_of(0.4, 0.7)) / 2
    assert knowledge_divergence(before, after) == pytest.approx(union, abs=1e-6)
    assert knowledge_divergence(before, after, 0.2) == pytest.approx(union + 0.1, abs=1e-6)
    assert knowledge_divergence(before, after, 0.2, feature_weight=2) == pytest.approx(union + 0.4, abs=1e-6)


def test_without_foreground_only_the_features_count():
    before, after = scan(0.1, 0.4), scan(0.3, 0.0)
    assert knowledge_divergence(before, after) == 0
    assert knowledge_divergence(before, after, 0.5, feature_weight=0.4) == pytest.approx(0.2)


def test_knowledge_divergence_of_other_shapes():
    with pytest.raises(ValueError, match=r"same shape, got \(2, 1, 1, 1\), \(2, 1, 1, 2\)"):
        knowledge_divergence(scan(0.1), scan(0.1, 0.2))


@pytest.mark.parametrize("bad", [{"feature_distance": -0.1}, {"feature_distance": math.nan}, {"feature_weight": -1.0}])
def test_bad_numbers_of_the_knowledge_divergence(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be finite and not negative"):
        knowledge_divergence(scan(0.1), scan(0.2), **bad)


# --- pooled features ---


def test_pooled_features_by_hand():
    features = torch.tensor([[1.0, 2, 3, 6], [0, 1, 0, 1]]).reshape(2, 1, 1, 4)
    mask = torch.tensor([False, True, False, True]).reshape(1, 1, 4)
    assert pooled_features(features, mask).tolist() == pytest.approx([4, 1, 3, 0.5])
    probability = torch.tensor([0.0, 0.75, 0, 0.25]).reshape(1, 1, 4)
    assert pooled_features(features, probability).tolist() == pytest.approx([3, 1, 3, 0.5])


def test_foreground_comes_to_the_grid_of_the_features():
    features = torch.tensor([1.0, 5.0]).reshape(1, 1, 1, 2)
    mask = torch.zeros(2, 2, 4)
    mask[0, 0, 0] = mask[0, 0, 2] = mask[0, 0, 3] = 1
    assert pooled_features(features, mask).tolist() == pytest.approx([(1 * 1 + 2 * 5) / 3, 3])


def test_without_foreground_the_whole_scan_is_pooled():
    features = noise(3, 2, 3, 4)
    found = pooled_features(features, torch.zeros(4, 6, 8, dtype=torch.bool))
    assert torch.equal(found[:3], found[3:])
    assert torch.allclose(found[:3], features.flatten(1).mean(1))


def test_bad_pooling():
    with pytest.raises(ValueError, match=r"got \(1, 3, 2, 3, 4\) and \(2, 3, 4\)"):
        pooled_features(noise(1, 3, 2, 3, 4), torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match="foreground must not be negative, got -1"):
        pooled_features(noise(3, 2, 3, 4), -torch.ones(2, 3, 4))


# --- novelty and choice ---


def at(*degrees):
    return {
        name: torch.tensor([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
        for name, angle in zip("abcdefgh", degrees, strict=False)
    }


def test_novelty_by_hand():
    vectors = at(0, 60, 90, 180)
    assert novelty(vectors["a"], []) == 1
    assert novelty(vectors["a"], [vectors["c"], vectors["b"]]) == pytest.approx(0.5, abs=1e-6)
    assert novelty(vectors["a"], [vectors["d"]]) == pytest.approx(2)
    assert novelty(vectors["b"], [3 * vectors["b"]]) == 0
    assert cosine_similarity(vectors["a"], torch.zeros(2)) == 0


def test_bad_features():
    with pytest.raises(ValueError, match=r"one length, got \(2,\) and \(3,\)"):
        cosine_similarity(torch.ones(2), torch.ones(3))
    with pytest.raises(ValueError, match="must be finite"):
        cosine_similarity(torch.ones(2), torch.tensor([1.0, math.nan]))


def diversified_choice(divergence, features, number, known=()):
    """The query's picks if divergence x novelty alone decides."""
    measures = {scan: {"divergence": moved, "difficulty": 0.0} for scan, moved in divergence.items()}
    candidates = Candidates(measures, number, features=features, known=known)
    return ActiveSourceFree(weight=1, shortlist=0).choose(candidates)


def test_novelty_is_computed_again_after_each_pick():
    divergence = {"a": 1.0, "b": 0.9, "c": 0.3}
    # b lies close to a, so that c comes first although it moved less
    assert diversified_choice(divergence, at(0, 10, 90), 3) == ["a", "c", "b"]
    # what is labelled counts from the start
    assert diversified_choice(divergence, at(0, 10, 90), 1, known=[torch.tensor([1.0, 0.0])]) == ["c"]


@pytest.mark.parametrize("seed", range(5))
def test_choice_equals_a_loop(seed):
    names = [f"s{index}" for index in range(7)]
    divergence = dict(zip(names, noise(7, seed=seed).abs().tolist(), strict=True))
    features = dict(zip(names, noise(7, 4, seed=seed + 50).abs(), strict=True))
    known = list(noise(2, 4, seed=seed + 99).abs())
    chosen = []
    while len(chosen) < 5:
        best, most = "", -1.0
        for name in names:
            if name not in chosen:
                others = known + [features[other] for other in chosen]
                closest = max(torch.nn.functional.cosine_similarity(features[name], x, dim=0).item() for x in others)
                if divergence[name] * (1 - closest) > most:
                    best, most = name, divergence[name] * (1 - closest)
        chosen.append(best)
    assert diversified_choice(divergence, features, 5, known) == chosen


def test_identical_scans_come_by_name():
    features = dict.fromkeys("dbca", torch.tensor([0.1, 0.7, 0.3]))
    assert diversified_choice(dict.fromkeys("dbca", 0.3), features, 4) == ["a", "b", "c", "d"]
    again = {name: vector * (1 + index) for index, (name, vector) in enumerate(features.items())}
    assert diversified_choice(dict.fromkeys("dbca", 0.3), again, 4) == ["a", "b", "c", "d"]


def test_bad_choices():
    with pytest.raises(ValueError, match=r"must lie in 0\.\.2 .* got 3"):
        diversified_choice({"a": 1.0, "b": 1.0}, at(0, 10), 3)


# --- test-time adaptation ---


class Tokens(nn.Module):
    """Layer norm over the channels, as in a transformer."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x):
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


NORMS = {
    "batch": nn.BatchNorm3d,
    "instance": lambda channels: nn.InstanceNorm3d(channels, affine=True),
    "group": lambda channels: nn.GroupNorm(2, channels),
    "layer": Tokens,
}


def network_of(norm, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), norm(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv3d(4, 2, 1))


def mean_entropy(network, windows):
    with torch.no_grad():
        return torch.special.entr(network(windows).softmax(1)).sum(1).mean().item()


@pytest.mark.parametrize("kind", NORMS)
def test_only_the_copys_normalisation_changes(kind):
    network = network_of(NORMS[kind]).train()
    network[0].weight.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    windows = noise(2, 1, 8, 8, 8) * 3 + 1
    kept = windows.clone()
    with torch.no_grad():
        adapted = adapt_normalisation(network, windows, steps=5, learning_rate=0.01)
    assert torch.equal(windows, kept)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.training and network[1].training and network[4].weight.requires_grad
    assert not network[0].weight.requires_grad and all(p.grad is None for p in network.parameters())
    changed = {name for name, tensor in adapted.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and all(name.startswith("1.") for name in changed)
    assert {name.split(".")[-1] for name in changed} >= {"weight", "bias"}
    assert not any(module.training for module in adapted.modules())
    assert not any(parameter.requires_grad for parameter in adapted.parameters())
    still = adapt_normalisation(network, windows, steps=0) if kind == "batch" else network.eval()
    assert mean_entropy(adapted, windows) < mean_entropy(still, windows)
    again = adapt_normalisation(network, windows, steps=5, learning_rate=0.01)
    assert all(torch.equal(tensor, adapted.state_dict()[name]) for name, tensor in again.state_dict().items())


def test_batch_statistics_are_the_scans():
    network = nn.Sequential(nn.BatchNorm3d(1, momentum=0.2), nn.Conv3d(1, 2, 1))
    windows = noise(3, 1, 4, 4, 4) * 5 + 7
    adapted = adapt_normalisation(network, windows, steps=2)
    assert adapted[0].running_mean.item() == pytest.approx(windows.mean().item(), rel=1e-5)
    assert adapted[0].running_var.item() == pytest.approx(windows.var().item(), rel=1e-5)
    assert adapted[0].momentum == network[0].momentum == 0.2


def test_vnet_is_adapted():
    torch.manual_seed(0)
    network = VNet(1, 2, width=2).eval()
    windows = noise(2, 1, 16, 16, 16)
    with torch.no_grad():
        before, after = (it(windows).softmax(1)[0] for it in (network, adapt_normalisation(network, windows, steps=1)))
    assert knowledge_divergence(before, after) > 0


def test_networks_with_nothing_to_adapt():
    assert adaptable(nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2, affine=False)))
    assert adaptable(nn.Sequential(nn.Conv3d(1, 2, 1), nn.InstanceNorm3d(2, affine=True)))
    assert not adaptable(UNet(3, 1, 2, channels=[4, 8], strides=[2]))
    with pytest.raises(ValueError, match="found 0 normalisation layers and neither in Conv3d"):
        adapt_normalisation(nn.Conv3d(1, 2, 1), noise(1, 1, 4, 4, 4))
    with pytest.raises(ValueError, match="found 1 normalisation layers and neither in Sequential"):
        adapt_normalisation(nn.Sequential(nn.InstanceNorm3d(1), nn.Conv3d(1, 2, 1)), noise(1, 1, 4, 4, 4))


def test_bad_adaptation():
    network, windows = network_of(nn.BatchNorm3d), noise(1, 1, 4, 4, 4)
    with pytest.raises(ValueError, match=r"windows must be \[N, .* got \(1, 4, 4, 4\)"):
        adapt_normalisation(network, windows[0])
    with pytest.raises(ValueError, match="steps must be 0 or more, got -1"):
        adapt_normalisation(network, windows, steps=-1)
    with pytest.raises(ValueError, match="learning_rate must be above 0, got 0"):
        adapt_normalisation(network, windows, learning_rate=0)
    with pytest.raises(ValueError, match=r"at least 2 classes, got \(1, 1, 4, 4, 4\)"):
        adapt_normalisation(nn.Sequential(nn.BatchNorm3d(1), nn.Conv3d(1, 1, 1)), windows)


# --- planted structure ---


def phantom(seed, *, contrast=3.0, size=12):
    """A ball in noise, brighter by ``contrast`` standard deviations, and its mask."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(size) - size / 2 + 0.5] * 3, indexing="ij"))
    mask = (grid - noise(3, 1, 1, 1, seed=seed)).norm(dim=0) < 3.5
    return noise(1, size, size, size, seed=seed + 1000) + contrast * mask, mask.long()


def trained(norm, steps=60):
    """A network that finds the balls of the source."""
    torch.manual_seed(0)
    blocks = [nn.Conv3d(1, 4, 3, padding=1), norm(4), nn.ReLU(), nn.Conv3d(4, 4, 3, padding=1), norm(4), nn.ReLU()]
    network = nn.Sequential(*blocks, nn.Conv3d(4, 2, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.03)
    for step in range(steps):
        images, masks = (torch.stack(part) for part in zip(*(phantom(4 * step + it) for it in range(4)), strict=True))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), masks).backward()
        optimizer.step()
    return network.eval()


def moved(network, image):
    adapted = adapt_normalisation(network, image[None])
    with torch.no_grad():
        before, after = (it(image[None]).softmax(1)[0] for it in (network, adapted))
    return knowledge_divergence(before, after)


@pytest.mark.parametrize("kind", ["batch", "group"])
def test_scans_unlike_the_source_move_the_model_more(kind):
    network = trained(NORMS[kind])
    like = [moved(network, phantom(seed)[0]) for seed in range(5000, 5012)]
    unlike = [moved(network, phantom(seed, contrast=1.0)[0]) for seed in range(6000, 6012)]
    assert sum(far > near for near, far in itertools.product(like, unlike)) / 144 > 0.85


def test_scans_unlike_the_source_are_chosen():
    network = trained(NORMS["batch"])
    found = Counter()
    for trial in range(4):
        images = {f"like{it}": phantom(7000 + 10 * trial + it)[0] for it in range(6)}
        images |= {f"unlike{it}": phantom(8000 + 10 * trial + it, contrast=1.0)[0] for it in range(3)}
        divergence = {scan: moved(network, image) for scan, image in images.items()}
        features = dict(zip(images, noise(len(images), 16, seed=trial).abs(), strict=True))
        found.update(scan.rstrip("0123456789") for scan in diversified_choice(divergence, features, 3))
    assert found["unlike"] >= 11
