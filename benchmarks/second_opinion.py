"""What a generalist adds to a trained network: how often each is wrong, and both together where they are confident.

    python benchmarks/second_opinion.py --dataset_dir COHORT --run RUN [--part tuning]

RUN is a finished run of ``fmabs_la`` on COHORT. Its network predicts scans of which it had no label; the prediction
prompts the generalist in three views, as in the training. Nothing is trained here.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import fire
import numpy as np
import torch
from monai.transforms import Compose, LoadImaged, Orientationd
from numpy.typing import NDArray
from study_file import PARTS
from tqdm import tqdm

from common.checks import check_one_of
from common.cohort import Cohort, read_labels_ras
from common.cohort.volumes import scan_spacing
from common.engines import ProbabilityInferer
from common.files import read_checkpoint, read_json
from common.generalists import MultiViewLabeler, open_generalist
from common.networks import VNet
from common.transforms import NormalizeScand

CONFIDENCES = (0.0, 0.7, 0.8, 0.9)
Row = tuple[str, float]


def main(
    dataset_dir: str,
    run: str,
    part: str = "tuning",
    generalist: str = "embedded",
    specialist_views: int = 3,
    widen_mm: tuple[float, float] = (0.0, 6.25),
    slices_per_pass: int = 1,
    embedding_cache: str | None = None,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Prints a table: mean over the scans of Dice, of the share of the object that counts, and of wrong voxels.

    Args:
        dataset_dir: Folder of the cohort.
        run: Folder of the run.
        part: Part of the cohort, `tuning` or `report`.
        generalist: Name of the generalist.
        specialist_views: Number of views that the network's own probabilities count for.
        widen_mm: Least and greatest distance in mm by which a side of a box is moved outwards.
        slices_per_pass: Slices that share a pass of a SAM's encoder.
        embedding_cache: Folder in which a SAM keeps its image embeddings; by default none are kept.
        seed: Seed of the prompts.
        threads: Number of CPU threads.
    """
    check_one_of("part", part, PARTS)
    torch.set_num_threads(threads)
    known = read_json(Path(run) / "model.json")
    network = VNet(known["channels"], known["num_classes"], width=known["width"])
    network.load_state_dict(read_checkpoint(Path(run) / "model.pt", expected="weights", found="something else"))
    network.eval()
    size = known["roi_size"]
    inferer = ProbabilityInferer(roi_size=size, stride=[side // 2 for side in size])
    model = open_generalist(generalist, slices_per_pass=slices_per_pass, embedding_cache=embedding_cache)
    labeler = MultiViewLabeler(model, widen_mm=widen_mm, largest_volumes=1, num_classes=known["num_classes"])
    load = Compose(
        [
            LoadImaged(keys="image", ensure_channel_first=True),
            Orientationd(keys="image", axcodes="RAS", labels=None),
            NormalizeScand(keys="image", window=known["window"], nonzero=known["nonzero"]),
        ]
    )
    numbers: dict[Row, list[tuple[float, float, float]]] = defaultdict(list)
    scans = getattr(Cohort.open(dataset_dir), PARTS[part])
    for scan in tqdm(scans, disable=None):
        image = load({"image": scan.image})["image"]
        truth = read_labels_ras(scan.label)[0]
        with torch.no_grad():
            own = inferer(image[None].as_tensor().float(), network)[0]
        views = labeler.view_probabilities(
            image[0], own.argmax(dim=0).numpy(), scan_spacing(image.affine.numpy()), seed
        )
        opinions = {
            "the network": own,
            "the generalist's three views": views.mean(dim=0),
            f"both, the network as {specialist_views} views": (views.sum(dim=0) + specialist_views * own)
            / (len(views) + specialist_views),
        }
        for name, opinion in opinions.items():
            for confidence in CONFIDENCES:
                numbers[name, confidence].append(measured(opinion.numpy(), truth, confidence))
    print(f"{len(scans)} scans of the {part} part of {dataset_dir}, {run}, {generalist}, seed {seed}\n")
    print("| label by | confidence of at least | Dice [%] | of the object [%] | wrong voxels [%] |")
    print("|---|---|---|---|---|")
    for (name, confidence), found in numbers.items():
        dice, share, wrong = 100 * np.mean(found, axis=0)
        print(f"| {name} | {confidence or 'any'} | {dice:.1f} | {share:.0f} | {wrong:.2f} |")


def measured(
    probabilities: NDArray[np.floating], truth: NDArray[np.integer], confidence: float
) -> tuple[float, float, float]:
    """Of the voxels on which an opinion is confident: mean Dice of the classes, share of the object, and of errors.

    Args:
        probabilities: Of each class, `[C, H, W, D]`.
        truth: The true label, `[H, W, D]`.
        confidence: Least probability of the likeliest class.
    """
    sure = probabilities.max(axis=0) >= confidence
    label, known = probabilities.argmax(axis=0)[sure], truth[sure]
    dice = []
    for value in range(1, len(probabilities)):
        size = int((label == value).sum() + (known == value).sum())
        dice.append(2 * int(((label == value) & (known == value)).sum()) / size if size else 1.0)
    return float(np.mean(dice)), float(sure[truth > 0].mean()), float((label != known).mean())


if __name__ == "__main__":
    fire.Fire(main)
