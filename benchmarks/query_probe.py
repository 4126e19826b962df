"""Estimates how much a few chosen scans teach, by a small probe on a frozen network's features.

A small perceptron on the pre-trained network's decoder features learns from the chosen scans of the pool and segments
the others. This is no fine-tuning, but tells choices apart in seconds instead of minutes, and needs no scans outside
the pool. It starts from the networks and the queries' assessments of ``assft_half.py``.

    python benchmarks/query_probe.py --dataset_dir COHORT --runs runs/assft_half --table FILE

The tables of FILE are pasted into ``docs/results.md``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import fire
import numpy as np
import torch
from monai.data import Dataset
from monai.networks.nets import SwinUNETR
from monai.transforms import (
    Compose,
    DivisiblePadd,
    EnsureTyped,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
)
from tables import words
from torch import Tensor, nn

from common.cohort import Cohort
from common.files import read_checkpoint
from common.networks import load_pretrained
from common.query import ActiveSourceFree, Candidates, Strategy, strategy
from common.query.one_shot import Assessment

BUDGET = 4
POOL = 48
"""Number of scans of the pool to choose from, which are drawn for each repetition."""
VOXELS = 12000
"""Number of voxels per scan, at random places."""
FOREGROUND = 1500
"""Number of further voxels per scan, from its foreground, that a probe learns from."""
LAYERS = ("decoder1", "decoder2", "decoder3", "decoder4")
STRATEGIES: dict[str, Strategy] = {
    "random": strategy("random"),
    "highest scores of ASSFT (shortlist 0)": ActiveSourceFree(shortlist=0),
    "highest difficulty alone": ActiveSourceFree(0, shortlist=0),
    "highest divergence x novelty alone": ActiveSourceFree(1, shortlist=0),
    "ASSFT (shortlist 0.75)": ActiveSourceFree(),
    "coreset": strategy("coreset"),
    "typicality": strategy("typicality"),
}
ABOUT = (
    f"Left-atrium scans at half resolution, {BUDGET} chosen of {POOL} (drawn {{repeats}} times from the pool's 64 for "
    "each network); a perceptron on the frozen decoder features of the networks of `assft_half.py` learns from "
    "them and segments the pool's others. Mean Dice [%]. The shortlist of ASSFT's query was introduced, and its share "
    "and the pick from it chosen, by such probes; no scan outside the pool was used."
)


def main(
    dataset_dir: str,
    runs: str = "runs/assft_half",
    seeds: str = "0,1,2",
    repeats: int = 6,
    table: str | None = None,
) -> None:
    """Prints the probes' mean Dice by strategy and network, and writes it to a Markdown file.

    Args:
        dataset_dir: Folder of the cohort.
        runs: Output folder of ``assft_half.py``.
        seeds: Seeds of its networks, comma-separated.
        repeats: Number of draws of scans to choose from, for each network and strategy.
        table: Markdown file to write; by default none.
    """
    torch.set_num_threads(1)
    cohort, folder = Cohort.open(dataset_dir), Path(runs)
    scores: dict[str, list[float]] = {name: [] for name in STRATEGIES}
    for seed in map(int, words(seeds)):
        probe = Probe(cohort, folder / f"pretrained_{seed}" / "pretrained.pt")
        assessed = {scan: _assessment(folder / f"assft_query_{seed}" / f"{scan}.pt") for scan in probe.scans}
        for name, query in STRATEGIES.items():
            dice = [_one(probe, assessed, query, repeat) for repeat in range(repeats)]
            scores[name].append(float(np.mean(dice)))
    text = _table(scores, seeds, repeats)
    print(text)
    if table:
        Path(table).write_text(text)


class Probe:
    """Features and labels of some voxels of every scan of the pool, standardised over the pool."""

    def __init__(self, cohort: Cohort, weights: Path) -> None:
        network = SwinUNETR(in_channels=1, out_channels=2, window_size=4, feature_size=12).eval()
        load_pretrained(network, weights)
        keys = ["image", "label"]
        data = Dataset(
            [scan.item() for scan in cohort.training],
            Compose(
                [
                    LoadImaged(keys, ensure_channel_first=True),
                    Orientationd(keys, axcodes="RAS", labels=None),
                    NormalizeIntensityd("image", channel_wise=True),
                    EnsureTyped(keys, track_meta=False),
                ]
            ),
        )
        self.scans = [scan.id for scan in cohort.training]
        generator = torch.Generator().manual_seed(0)
        found = [_voxels(network, item["image"].float(), item["label"][0] == 1, generator) for item in data]
        features, self.truth, foreground = (torch.stack(it) for it in zip(*found, strict=True))
        mean, std = features.flatten(0, 1).mean(dim=0), features.flatten(0, 1).std(dim=0) + 1e-6
        self.features, self.foreground = (features - mean) / std, (foreground - mean) / std

    def dice(self, chosen: list[str]) -> float:
        """Trains a probe on the chosen scans; its mean Dice in per cent on the others."""
        torch.manual_seed(0)
        own = [self.scans.index(scan) for scan in chosen]
        others = [index for index in range(len(self.scans)) if index not in own]
        inputs = torch.cat([self.features[own].flatten(0, 1), self.foreground[own].flatten(0, 1)])
        targets = torch.cat([self.truth[own].flatten().long(), torch.ones(len(own) * FOREGROUND, dtype=torch.long)])
        probe = nn.Sequential(nn.Linear(inputs.shape[1], 32), nn.GELU(), nn.Dropout(0.2), nn.Linear(32, 2))
        optimizer = torch.optim.AdamW(probe.parameters(), lr=3e-3)
        for _ in range(250):
            batch = torch.randint(len(inputs), (2048,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(probe(inputs[batch]), targets[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            found = probe.eval()(self.features[others]).argmax(dim=-1) == 1
        truth = self.truth[others]
        return 100 * (2 * (found & truth).sum(1) / (found.sum(1) + truth.sum(1)).clamp(min=1)).mean().item()


@torch.no_grad()
def _voxels(
    network: nn.Module, image: Tensor, truth: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Features ``[VOXELS, F]`` at random places, whether those are foreground, and features of the foreground."""
    padded = DivisiblePadd("image", 32, method="end")({"image": image})["image"].as_tensor()[None]
    maps: list[Tensor] = [padded[0]]
    hooks = [getattr(network, name).register_forward_hook(lambda *call: maps.append(call[-1][0])) for name in LAYERS]
    network(padded)
    for hook in hooks:
        hook.remove()
    anywhere = torch.stack([torch.randint(size, (VOXELS,), generator=generator) for size in truth.shape], dim=1)
    inside = truth.nonzero()
    inside = inside[torch.randint(len(inside), (FOREGROUND,), generator=generator)]

    def features(places: Tensor) -> Tensor:
        rows = []
        for found in maps:
            steps = torch.tensor([whole // size for whole, size in zip(padded.shape[2:], found.shape[1:], strict=True)])
            rows.append(found[(slice(None), *(places // steps).T)].T)
        return torch.cat(rows, dim=1).float()

    return features(anywhere), truth[tuple(anywhere.T)], features(inside)


def _assessment(path: Path) -> Assessment:
    content = read_checkpoint(path, expected="an assessment", found="a damaged file")
    return Assessment(**{name: it for name, it in content.items() if name != "made_by"})


def _one(probe: Probe, assessed: Mapping[str, Assessment], query: Strategy, repeat: int) -> float:
    scans = sorted(np.random.default_rng(repeat).permutation(sorted(assessed))[:POOL].tolist())
    # What other strategies would measure is not needed: those here go by features, or by chance.
    measures = {scan: {"score": 0.0} | assessed[scan].numbers for scan in scans}
    features = {scan: assessed[scan].features for scan in scans}
    return probe.dice(query.choose(Candidates(measures, BUDGET, seed=repeat, features=features)))


def _table(scores: Mapping[str, list[float]], seeds: str, repeats: int) -> str:
    names = words(seeds)
    lines = [
        "# What a few scans teach, by a probe",
        "",
        "    python benchmarks/query_probe.py --dataset_dir COHORT --runs runs/assft_half "
        f"--seeds {','.join(names)} --repeats {repeats}",
        "",
        textwrap.fill(f"{date.today().isoformat()}, CPU, one thread. {ABOUT.format(repeats=repeats)}", 120),
        "",
        "| strategy | " + " | ".join(f"network {name}" for name in names) + " | mean |",
        "|---" * (len(names) + 2) + "|",
    ]
    for name, dice in scores.items():
        lines.append(f"| {name} | " + " | ".join(f"{it:.1f}" for it in (*dice, float(np.mean(dice)))) + " |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    fire.Fire(main)
