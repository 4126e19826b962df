"""Compares the trainer's step with the bare forward pass, backward pass and update of the same network and batch.

    python benchmarks/training_step.py --device cpu --roi_size 48,48,32

Prints the seconds per step of both, their ratio, and the share of a step that was spent waiting for data, on a phantom
cohort or, with ``--dataset_dir``, on one of yours (all of its training scans are held in memory). Both loops take turns
on the same machine; the median over ``repeats`` counts.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from pathlib import Path

import fire
import torch
from ignite.engine import Events
from monai.data import DataLoader
from monai.transforms import (
    Compose,
    EnsureTyped,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    RandAxisFlipd,
    RandSpatialCropd,
    SpatialPadd,
)

from common.annotations import (
    AnnotationStore,
    Ledger,
    LedgerEntry,
    LoadAnnotationsd,
    OracleAnnotator,
    ScanDataset,
    TwoStreamSampler,
)
from common.engines import SemiSupervisedTrainer, autocast, best_precision
from common.losses import AnnotationTerm, PartialCrossEntropyLoss
from common.networks import VNet
from common.prepare import open_cohort

KEYS = ["image", "annotation", "pseudo_label"]


def main(
    device: str = "cpu",
    roi_size: str | tuple[int, ...] = (48, 48, 32),
    dataset_dir: str | None = None,
    steps: int = 10,
    repeats: int = 5,
    precision: str | None = None,
    threads: int = 1,
) -> None:
    """Times the trainer's steps and the bare loop.

    Args:
        device: Device to train on.
        roi_size: Size of the patches in voxels.
        dataset_dir: Folder of a cohort; a phantom cohort by default.
        steps: Number of timed steps per loop and repetition.
        repeats: Number of repetitions of each loop.
        precision: ``fp32`` or ``bf16``; by default the best one for the device.
        threads: Number of CPU threads.
    """
    torch.set_num_threads(threads)
    roi = [int(size) for size in (roi_size.split(",") if isinstance(roi_size, str) else roi_size)]
    precision = precision or best_precision(device)
    with tempfile.TemporaryDirectory() as folder:
        loader = _loader(dataset_dir, Path(folder), roi)
        ours, bare, waiting = [], [], []
        network = VNet(1, 2).to(device)
        for _ in range(repeats):
            seconds, waited = _trainer_steps(copy.deepcopy(network), loader, device, precision, steps)
            ours.append(seconds)
            waiting.append(waited / seconds)
            bare.append(_bare_steps(copy.deepcopy(network), next(iter(loader)), device, precision, steps))
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    print(f"trainer      {statistics.median(ours):.4f} s per step (without waiting for data)")
    print(f"bare loop    {statistics.median(bare):.4f} s per step")
    print(f"ratio        {ratio:.3f}")
    print(f"data waiting {100 * statistics.median(waiting):.1f} % of a step")


def _loader(dataset_dir: str | None, folder: Path, roi: list[int]) -> DataLoader:
    cohort = open_cohort(dataset_dir, phantom_dir=str(folder / "phantom"))
    store, ledger = AnnotationStore(folder), Ledger(folder)
    for scan, annotation in OracleAnnotator().annotate(cohort.training[:4], round=0).items():
        store.write("annotation", scan, annotation.array, annotation.affine)
        ledger.add(LedgerEntry(scan, 0, 0, "random", None, annotation.slices, annotation.voxels, annotation.annotator))
    transform = Compose(
        [
            LoadImaged("image", ensure_channel_first=True),
            Orientationd("image", axcodes="RAS", labels=None),
            NormalizeIntensityd("image", channel_wise=True),
            LoadAnnotationsd(store),
            EnsureTyped(KEYS, track_meta=False),
            SpatialPadd("image", roi),
            SpatialPadd(KEYS[1:], roi, value=255),
            RandSpatialCropd(KEYS, roi, random_size=False),
            RandAxisFlipd(KEYS, prob=0.67),
        ]
    )
    dataset = ScanDataset([scan.item() for scan in cohort.training], transform=transform)
    return DataLoader(dataset, batch_sampler=TwoStreamSampler([scan.id for scan in cohort.training], ledger))


def _term() -> AnnotationTerm:
    return AnnotationTerm(PartialCrossEntropyLoss(), key="annotation")


def _optimizer(network: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)


def _trainer_steps(
    network: torch.nn.Module, loader: DataLoader, device: str, precision: str, steps: int
) -> tuple[float, float]:
    """Seconds per step without waiting for data, and seconds of waiting per step."""
    trainer = SemiSupervisedTrainer(
        device=device,
        max_iterations=steps + 2,
        train_data_loader=loader,
        network=network,
        optimizer=_optimizer(network),
        terms=[_term()],
        precision=precision,
    )
    marks: list[tuple[float, float]] = []
    begun = {"batch": 0.0}

    def wait(_: object) -> None:
        _synchronize(device)
        begun["batch"] = time.perf_counter()

    trainer.add_event_handler(Events.GET_BATCH_STARTED, wait)
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda _: marks.append((begun["batch"], time.perf_counter())))
    ends: list[float] = []

    def end(_: object) -> None:
        _synchronize(device)
        ends.append(time.perf_counter())

    trainer.add_event_handler(Events.ITERATION_COMPLETED, end)
    trainer.run()
    work = [end - ready for (_, ready), end in zip(marks[2:], ends[2:], strict=True)]
    waited = [ready - asked for asked, ready in marks[2:]]
    return statistics.mean(work), statistics.mean(waited)


def _bare_steps(network: torch.nn.Module, batch: dict, device: str, precision: str, steps: int) -> float:
    """Seconds per step of the loop that one would write by hand."""
    network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimizer = _optimizer(network)
    loss_function = PartialCrossEntropyLoss()
    image, annotation = batch["image"].to(device), batch["annotation"].to(device)
    network.train()
    times = []
    for _ in range(steps + 2):
        _synchronize(device)
        start = time.perf_counter()
        with autocast(device, precision):
            logits = network(image)
        loss = loss_function(logits, annotation)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        _synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.mean(times[2:])


def _synchronize(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    fire.Fire(main)
