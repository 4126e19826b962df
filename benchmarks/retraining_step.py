"""Times SFR's re-training with pseudo-labels made in advance, without any, and with pseudo-labels made online.

    python benchmarks/retraining_step.py

Weights and patches are random, which does not affect the times. "Online" is what the published code of SFR does: a SAM
ViT-B labels every unlabelled crop in every iteration.
"""

from __future__ import annotations

import copy
import itertools
import statistics
import time

import fire
import torch
from ignite.engine import Events

from common.engines import SemiSupervisedTrainer, best_precision, mean_teacher
from common.generalists.sam import StitchedSam
from common.generalists.sam.models import KINDS
from common.losses import AnnotationTerm, ConsistencyLoss, ConsistencyTerm, LossTerm, OnlinePseudoLabelTerm
from common.losses import PartialDiceCELoss as Loss
from common.networks import VNet
from common.transforms import Perturb


def main(
    device: str = "cpu",
    roi_size: tuple[int, int, int] = (48, 48, 32),
    steps: int = 6,
    repeats: int = 3,
    sam: str = "sam_vit_b",
    threads: int = 1,
) -> None:
    """Prints seconds per iteration, without waiting for data, and ratios.

    Args:
        device: Device to train on.
        roi_size: Size of the patches in voxels.
        steps: Number of timed iterations per loop and repetition; online labelling is timed for one.
        repeats: Repetitions of the loops with and without pseudo-labels, which take turns; the median ratio counts.
        sam: Kind of SAM that labels online.
        threads: Number of CPU threads.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    annotation = torch.randint(0, 2, (4, 1, *roi_size), dtype=torch.uint8)
    pseudo_label = annotation.clone()
    annotation[2:], pseudo_label[:2] = 255, 255
    batch = {"image": torch.randn(4, 1, *roi_size), "annotation": annotation, "pseudo_label": pseudo_label}
    network = VNet(1, 2).to(device)
    supervised = AnnotationTerm(Loss(), key="annotation")
    companion = ConsistencyTerm(ConsistencyLoss(kind="mse"), weight=0.1)
    precomputed = AnnotationTerm(Loss(), key="pseudo_label")
    seconds: dict[str, list[float]] = {"mean teacher": [], "precomputed": []}
    for _ in range(repeats):
        for name, terms in zip(seconds, ([], [precomputed]), strict=True):
            seconds[name].append(_seconds(network, batch, [supervised, *terms, companion], steps))
    generalist = StitchedSam(KINDS[sam].build())
    online = _seconds(
        network, batch, [supervised, OnlinePseudoLabelTerm(generalist, Loss(), batch_labelled=2), companion], 1
    )
    before = statistics.median(seconds["precomputed"])
    ratio = statistics.median(a / b for a, b in zip(seconds["precomputed"], seconds["mean teacher"], strict=True))
    print(f"mean teacher                 {statistics.median(seconds['mean teacher']):8.3f} s")
    print(f"with precomputed labels      {before:8.3f} s   {ratio:.3f} of the mean teacher's")
    print(f"with labels made online      {online:8.3f} s   {online / before:.1f} times as much")


def _seconds(network: torch.nn.Module, batch: dict[str, torch.Tensor], terms: list[LossTerm], steps: int) -> float:
    """Seconds per iteration after one to warm up; on the CPU of processor time, which other load hardly changes."""
    student = copy.deepcopy(network)
    device = next(student.parameters()).device
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    marks: list[float] = []
    trainer = SemiSupervisedTrainer(
        device=device,
        max_iterations=steps + 1,
        train_data_loader=itertools.repeat(batch, steps + 1),
        network=student,
        optimizer=torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4),
        terms=terms,
        teacher=mean_teacher(student, alpha=0.99),
        perturb=Perturb(seed=0),
        epoch_length=steps + 1,
        precision=best_precision(device),
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: marks.append(clock()))
    trainer.run()
    return (marks[-1] - marks[0]) / steps


if __name__ == "__main__":
    fire.Fire(main)
