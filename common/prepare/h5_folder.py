"""Turns folders of h5 files, as the semi-supervised literature has them, into cohorts."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.cohort.cohort import Cohort
from common.prepare.classes import Classes
from common.prepare.convert import Conversion, Source, make_cohort
from common.prepare.find import joined, without_ending
from common.prepare.h5_files import H5Volume
from common.prepare.splits import divide

logger = logging.getLogger(__name__)


def prepare_h5(
    source: str | Path,
    target: str | Path,
    voxel: float | Sequence[float],
    spacing: float | Sequence[float] | None = None,
    validation: int | None = None,
    test: int | None = None,
    *,
    ending: str | None = None,
    split: Sequence[int] | None = None,
    lists: Sequence[str | Path] | None = None,
    seed: int = 0,
    classes: Classes | Mapping[int, str] | Sequence[str] | str = "foreground",
    name: str | None = None,
    skip_bad: bool = False,
    progress: bool = True,
) -> Cohort:
    """Turns h5 files with the arrays ``image`` and ``label`` ``[H, W, D]`` into a cohort.

    A scan is named after its file and the folders above it, see :func:`common.prepare.find.find_volumes`. A second call
    changes nothing, and resumes one that was interrupted.

    Args:
        source: Folder of the files, which may lie in folders within it.
        target: Folder of the new cohort.
        voxel: Distance between the voxels in the files, in millimetres, which they do not say: one number, or one per
            axis. The axes are taken for those of RAS.
        spacing: Distance between voxels to resample to, in millimetres, or three (RAS); by default that of the files.
        validation: Number of scans for validation, the last ones by name.
        test: Number of scans for testing, those before them.
        ending: Ending of the files' names after that of the scan, such as ``norm`` in ``image0001_norm.h5``; other
            files are left alone.
        split: Numbers of scans for training, validation and testing that are drawn at random instead.
        lists: Files for training, validation and, if there is one, testing that name the scans instead.
        seed: Seed of the random draw.
        classes: The classes by the values in the labels, see :meth:`common.prepare.classes.Classes.named`.
        name: Name of the study; by default the target folder's.
        skip_bad: Whether to leave out scans with problems, with a warning, rather than to write nothing.
        progress: Whether to show progress bars.

    Raises:
        FileNotFoundError: If the folder does not exist or has no such file in it.
        CohortError: If names occur twice, or files are not as expected; it names everything, scan by scan, and nothing
            has been written.
        ValueError: If the voxel size, the classes or the division make no sense, or the target holds other files.
        ImportError: If h5py is not installed.
    """
    classes = classes if isinstance(classes, Classes) else Classes.named(classes)
    sizes = [float(voxel)] * 3 if isinstance(voxel, int | float) else [float(size) for size in voxel]
    if len(sizes) != 3 or not all(0 < size < float("inf") for size in sizes):
        raise ValueError(f"voxel must be one or three positive numbers in millimetres, got {voxel}.")
    folder = Path(source)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder.")
    sources: dict[str, Source] = {}
    problems: dict[str, list[str]] = {}
    files = (Path(place, file) for place, _, files in os.walk(folder, followlinks=True) for file in files)
    for path in sorted(path for path in files if path.suffix == ".h5" and path.name[0] != "."):
        whole = joined((*path.relative_to(folder).parts[:-1], path.stem))
        scan = without_ending(whole, ending) if ending else whole
        if scan is None:
            logger.warning("%s: left alone, its name does not end in %s.", path, ending)
            continue
        if scan in sources:
            problems[scan] = [f"{path}: expected a name of its own, found {sources[scan].images[0]} too; rename one."]
        image, label = (H5Volume(path, key, sizes) for key in ("image", "label"))
        sources[scan] = Source(scan, (image,), label)
    if not sources:
        expected = "h5 files" + (f" whose names end in {ending}" if ending else "")
        raise FileNotFoundError(f"{folder}: expected {expected}, found none.")
    names = sorted(sources)
    splits = divide(names, validation=validation, test=test, split=split, lists=lists, seed=seed)
    return make_cohort(
        list(sources.values()),
        splits,
        target,
        Conversion(classes, spacing),
        {"made by": "prepare h5", "voxel": sizes, "name": name},
        name=name or Path(target).name,
        problems=problems,
        skip_bad=skip_bad,
        progress=progress,
    )
