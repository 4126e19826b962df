"""Tests on phantoms whether each of ASSFT's two measures finds the kind of scan that it is made to find.

    python benchmarks/planted.py --seeds 0,1,2 [--norm instance]

For each seed a small U-Net is trained on ``source`` phantoms. Further patients are assessed as they look in four
domains (``common.prepare.phantom.DOMAINS``): ``source``, ``unlike_source`` (black blood instead of bright),
``hard_organ`` (the atrium's border fades) and ``hard_background`` (noise far from the atrium). Diversified knowledge
divergence (DKD) should prefer the second, anatomical difficulty (ASD) the third, and ASD should ignore the fourth,
which raises the mean entropy of the whole scan.

The network, its training and how much the groups differ were chosen on seeds 0 and 1; the measures and their settings
are those of ``bundles/assft_adapt/configs/query.json``. If normalisation has no running statistics, as with ``--norm
instance`` and in a Swin UNETR, adapting to a scan changes little, and the divergence tells less.

The groups share patients; to compare them as if they did not (Mann-Whitney U) is conservative.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeAlias

import fire
import numpy as np
import torch
from monai.networks.nets import UNet
from monai.transforms import NormalizeIntensity
from scipy.stats import binomtest, combine_pvalues, mannwhitneyu, wilcoxon
from torch import Tensor, nn

from common.engines import BottleneckInferer
from common.files import read_json
from common.losses import PartialDiceCELoss
from common.prepare import phantom_volume
from common.query import ActiveSourceFree, Candidates, Prediction, adapt_normalisation
from common.schedules import PolynomialDecay

GROUPS = ("source", "unlike_source", "hard_organ", "hard_background")
SIZE = 32
MARGIN = 1 / 3
"""ASD ignores the background if a hard background raises it by less than this share of what a hard organ does."""
QUERY = read_json(Path(__file__).parents[1] / "bundles/assft_adapt/configs/query.json")


@dataclass(frozen=True)
class Measured:
    """The prediction's Dice for a scan, the query's two measures, the voxels' mean entropy in bits, the features."""

    dice: float
    divergence: float
    difficulty: float
    entropy: float
    features: Tensor


Groups: TypeAlias = Mapping[str, Sequence[Measured]]


def main(seeds: Sequence[int] | int = (0, 1, 2), scans: int = 8, iterations: int = 400, norm: str = "batch") -> None:
    """Prints medians by seed and group, then the results of the tests.

    Args:
        seeds: Seeds of networks and patients.
        scans: Number of scans of each group.
        iterations: Number of iterations of pre-training.
        norm: Normalisation of the network, batch or instance.
    """
    torch.set_num_threads(1)
    found = []
    print(f"U-Net with {norm} normalisation, {iterations} iterations, {scans} patients in each group; medians")
    print(f"seed {'group':15}  Dice divergence difficulty entropy  DKD's first {scans}")
    for seed in [seeds] if isinstance(seeds, int) else seeds:
        network = pretrained(seed, iterations=iterations, norm=norm)
        groups = assess(network, seed, scans)
        found.append(groups)
        picks = picked(groups, scans)
        for group, of in groups.items():
            dice, divergence, difficulty, entropy = (
                median(getattr(it, name) for it in of) for name in ("dice", "divergence", "difficulty", "entropy")
            )
            row = f"{dice:5.3f} {divergence:10.1e} {difficulty:10.3f} {entropy:7.4f} {picks[group]:14}"
            print(f"{seed:4} {group:15} {row}")
    for line in summary(found):
        print(line)


def scan(seed: Sequence[int], domain: str) -> tuple[Tensor, Tensor]:
    """Makes a phantom: its normalised image and its label, each ``[1, H, W, D]``."""
    image, label = phantom_volume(SIZE, seed, domain)
    return torch.as_tensor(NormalizeIntensity()(image))[None], torch.from_numpy(label)[None]


def pretrained(seed: int, *, iterations: int = 400, scans: int = 48, norm: str = "batch") -> nn.Module:
    """Trains a small U-Net on source phantoms with random gain and offset of the image."""
    torch.manual_seed(seed)
    kind = ("instance", {"affine": True}) if norm == "instance" else norm
    network = UNet(3, 1, 2, channels=(16, 32, 64), strides=(2, 2), num_res_units=1, norm=kind)
    images, labels = (torch.stack(it) for it in zip(*(scan([seed, 0, n], "source") for n in range(scans)), strict=True))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, PolynomialDecay(iterations, power=0.9, warm_up=20))
    chance = np.random.default_rng(seed)
    for _ in range(iterations):
        batch = chance.choice(scans, 4, replace=False)
        gain, offset = (torch.from_numpy(chance.normal(mean, 0.2, (4, 1, 1, 1, 1))).float() for mean in (1, 0))
        PartialDiceCELoss()(network(images[batch] * gain + offset), labels[batch].long()).backward()
        optimizer.step()
        optimizer.zero_grad()
        decay.step()
    return network.eval()


def assess(network: nn.Module, seed: int, scans: int = 8) -> Groups:
    """Measures the same patients, none of whom was trained on, in every group."""
    return {group: [measure(network, *scan([seed, 1, number], group)) for number in range(scans)] for group in GROUPS}


def measure(network: nn.Module, image: Tensor, label: Tensor) -> Measured:
    """Measures a scan as the query does, with its settings; the whole scan is one window."""
    inferer = BottleneckInferer([SIZE] * 3)

    def predict(model: nn.Module) -> Prediction:
        return Prediction(*(found[0] for found in inferer.with_features(image[None], model)))

    plain = predict(network)
    steps, rate = QUERY["adaptation_steps"], QUERY["adaptation_rate"]
    adapted = predict(adapt_normalisation(network, image[None], steps=steps, learning_rate=rate))
    found = ActiveSourceFree(feature_weight=QUERY["feature_weight"]).assess(plain, adapted=adapted)
    overlap = (plain.foreground & (label[0] != 0)).sum()
    return Measured(
        dice=(2 * overlap / (plain.foreground.sum() + label.sum())).item(),
        divergence=found["divergence"],
        difficulty=found["difficulty"],
        entropy=torch.special.entr(plain.probabilities).sum(dim=0).mean().item() / math.log(2),
        features=plain.pooled,
    )


def picked(groups: Groups, number: int) -> dict[str, int]:
    """Number of scans of each group among the query's first picks, if DKD alone decides."""
    scans = {f"{group} {place}": it for group, members in groups.items() for place, it in enumerate(members)}
    measures = {scan: {"divergence": it.divergence, "difficulty": it.difficulty} for scan, it in scans.items()}
    features = {scan: it.features for scan, it in scans.items()}
    chosen = ActiveSourceFree(weight=1, shortlist=0).choose(Candidates(measures, number, features=features))
    return {group: sum(scan.split()[0] == group for scan in chosen) for group in groups}


def preference(groups: Groups, name: str, wanted: str) -> tuple[float, float]:
    """Tests how far a measure prefers one group to all others.

    Returns:
        The share of pairs in which a scan of the group exceeds one of the others (the area under the ROC curve), and
        the p-value of the one-sided Mann-Whitney U test.
    """
    inside = _values(groups, name, wanted)
    outside = np.concatenate([_values(groups, name, group) for group in GROUPS if group != wanted])
    test = mannwhitneyu(inside, outside, alternative="greater")
    return test.statistic / (len(inside) * len(outside)), test.pvalue


def rise(groups: Groups, name: str) -> tuple[float, float, float]:
    """Tests how far a hard background raises a measure, patient by patient.

    Returns:
        The median rise from ``source`` to ``hard_background`` as a share of that to ``hard_organ``, and the p-values of
        two one-sided Wilcoxon signed-rank tests: that it rises, and that it rises by less than ``MARGIN`` of the rise
        to ``hard_organ``.
    """
    usual = _values(groups, name, "source")
    background, organ = (_values(groups, name, group) - usual for group in ("hard_background", "hard_organ"))
    tests = (wilcoxon(it, alternative="greater").pvalue for it in (background, MARGIN * organ - background))
    return float(np.median(background) / np.median(organ)), *tests


def _values(groups: Groups, name: str, group: str) -> np.ndarray:
    return np.array([getattr(it, name) for it in groups[group]])


def combined(p_values: Sequence[float]) -> float:
    """Combines the seeds' p-values into one by Fisher's method."""
    return float(combine_pvalues(p_values).pvalue)


def pick_test(seeds: Sequence[Groups], number: int) -> tuple[list[int], float]:
    """Number of DKD's first picks that are unlike the source for each seed, and the binomial test against chance."""
    hits = [picked(groups, number)["unlike_source"] for groups in seeds]
    return hits, binomtest(sum(hits), number * len(hits), 1 / len(GROUPS), alternative="greater").pvalue


def summary(seeds: Sequence[Groups]) -> list[str]:
    """The results of the tests, one per line."""
    number = len(seeds[0]["source"])
    lines = ["Preferred to the other groups: area under the curve by seed (Mann-Whitney U, combined p)"]
    for name, wanted in (("divergence", "unlike_source"), ("difficulty", "hard_organ"), ("entropy", "hard_organ")):
        areas, p = zip(*(preference(groups, name, wanted) for groups in seeds), strict=True)
        lines.append(f"  {wanted} by {name}: {_spelled(areas)} (p = {combined(p):.1e})")
    hits, p_hits = pick_test(seeds, number)
    lines.append(f"  unlike_source among DKD's first {number}: {' '.join(map(str, hits))} (binomial p = {p_hits:.1e})")
    lines.append("Rise by hard_background as a share of that by hard_organ, by seed (signed rank, combined p)")
    for name in ("difficulty", "entropy"):
        shares, rises, ignored = zip(*(rise(groups, name) for groups in seeds), strict=True)
        found = f"rises p = {combined(rises):.1e}, less than {MARGIN:.0%} p = {combined(ignored):.1e}"
        lines.append(f"  {name}: {_spelled(shares)} ({found})")
    return lines


def _spelled(numbers: Sequence[float]) -> str:
    return " ".join(f"{it:.2f}" for it in numbers)


if __name__ == "__main__":
    fire.Fire(main)
