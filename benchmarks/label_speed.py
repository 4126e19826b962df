"""Computing time of what an annotator waits for: the next scan, a pre-drawn scan, the mask of a point or box.

    python benchmarks/label_speed.py [--generalists embedded,lite_medsam]

Everything runs on phantoms, with the model that comes with ``fmabs_la``. Times are CPU seconds of this process, so that
other processes of the computer hardly matter; with one thread they are what an annotator waits on an idle computer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import fire
import torch

from common.cohort.volumes import read_voxels, spacing
from common.commands.bundles import find_bundle
from common.generalists import open_generalist
from common.labelling import Specialist, next_scan, prompted_mask, score_scans
from common.labelling.prompted import Plane
from common.labelling.specialist import class_names
from common.prepare import write_phantom


def main(
    scans: int = 20,
    size: int = 64,
    generalists: str = "embedded",
    threads: int = 1,
    output_dir: str = "runs/label_speed",
) -> None:
    """Prints the times as a Markdown table.

    Args:
        scans: Number of phantoms in the study.
        size: Their number of voxels along each axis.
        generalists: Generalists to point with, separated by commas.
        threads: Number of CPU threads.
        output_dir: Folder that gets the phantoms.
    """
    torch.set_num_threads(threads)
    folder = Path(output_dir)
    cohort = write_phantom(folder / "cohort", scans=scans + 2, size=size, validation=1, test=1)
    images = {scan.id: scan.image for scan in cohort.training}
    bundle, scores = find_bundle("fmabs_la"), folder / "scores.json"
    specialist = Specialist(bundle, folder, labels=class_names(bundle))
    scores.unlink(missing_ok=True)
    rows = []

    def timed(what: str, action: Callable[[], object]) -> None:
        begin = time.process_time()
        action()
        rows.append(f"| {what} | {time.process_time() - begin:.2f} |")

    def choose() -> None:
        known = score_scans(specialist, images, scores)
        for strategy in ("her", "coreset", "clasp_pe"):
            next_scan(strategy, list(images), labelled=(), scores=known)

    timed(f"scoring of {scans} phantoms of {size}³ voxels for all strategies", choose)
    timed("the next scan by three strategies, once there are scores", choose)
    image = cohort.training[0].image
    timed("whole scan", lambda: specialist.predict(image))
    voxels, opened = read_voxels(image)
    middle = size // 2
    for name in generalists.split(",") if isinstance(generalists, str) else generalists:
        cache = None if name == "embedded" else folder / "embeddings"
        generalist = open_generalist(name, embedding_cache=cache)
        box = [size // 4, size // 4, 3 * size // 4, 3 * size // 4, size // 4, 3 * size // 4]
        one, three = [Plane(2, middle)], [Plane(axis, middle) for axis in range(3)]
        for state in ("first", "again"):
            for what, planes, prompt in (
                ("point on one slice", one, {"foreground": [(middle,) * 3]}),
                ("point on three slices", three, {"foreground": [(middle,) * 3]}),
                ("box on three slices", three, {"box": box}),
            ):
                point = partial(prompted_mask, generalist, voxels, spacing(opened.affine).tolist(), planes, **prompt)
                timed(f"{name}: {what}, {state}", point)
    print("\n".join(["| | CPU [s] |", "|---|---|", *rows, "", f"{threads} thread(s), {date.today().isoformat()}"]))


if __name__ == "__main__":
    fire.Fire(main)
