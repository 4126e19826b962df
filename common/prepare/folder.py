"""Turns folders of a user's own scans into a cohort."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.cohort.cohort import Cohort
from common.prepare.classes import Classes
from common.prepare.convert import Conversion, Source, Where, make_cohort
from common.prepare.find import FORMATS, SEPARATORS, Volumes, find_volumes, without_ending
from common.prepare.splits import divide

logger = logging.getLogger(__name__)


def prepare_folder(
    images: str | Path,
    target: str | Path,
    labels: str | Path | None = None,
    spacing: float | Sequence[float] | None = None,
    validation: int | None = None,
    test: int | None = None,
    *,
    channels: Sequence[str] = (),
    label_ending: str | None = None,
    split: Sequence[int] | None = None,
    lists: Sequence[str | Path] | None = None,
    seed: int = 0,
    classes: Classes | Mapping[int, str] | Sequence[str] | str = "foreground",
    name: str | None = None,
    skip_bad: bool = False,
    progress: bool = True,
) -> Cohort:
    """Turns a folder of images, and a folder of labels with the same names, into a cohort.

    Images and labels are NIfTI, NRRD or MHA/MHD files, or DICOM series, also in folders further down; see
    :func:`common.prepare.find.find_volumes` for their names. A second call changes nothing, and resumes one that was
    interrupted.

    Args:
        images: Folder of the images.
        target: Folder of the new cohort.
        labels: Folder of the labels, if there are any.
        spacing: Distance between voxels to resample to, in millimetres, or three (RAS); by default the scans' own.
        validation: Number of labelled scans for validation, the last ones by name.
        test: Number of scans for testing: the labelled ones before the validation scans, then any others; it may be
            all.
        channels: Endings that tell the files of one scan apart, such as ``flair`` and ``t1``, in the order of the
            channels; by default every file or series is a scan.
        label_ending: Ending of the labels' names after that of the scan, such as ``seg``, by which they are also found
            among the images.
        split: Numbers of scans for training, validation and testing that are drawn at random instead.
        lists: Files for training, validation and, if there is one, testing that name the scans instead.
        seed: Seed of the random draw.
        classes: The classes by the values in the labels, see :meth:`common.prepare.classes.Classes.named`.
        name: Name of the study; by default the target folder's.
        skip_bad: Whether to leave out scans with problems, with a warning, rather than to write nothing.
        progress: Whether to show progress bars.

    Raises:
        FileNotFoundError: If a folder does not exist or has no image in it.
        CohortError: If labels have no image, channels are missing, names occur twice, or files are not as expected; it
            names everything, scan by scan, and nothing has been written.
        ValueError: If scans are divided in more than one way, or in one that does not work out; if classes make no
            sense; or if the target holds other files.
    """
    channels = [ending.lstrip(SEPARATORS) for ending in channels]
    classes = classes if isinstance(classes, Classes) else Classes.named(classes)
    found = _Scans()
    others = [Path(place) for place in (images, labels, target) if place is not None]
    found.add_images(
        find_volumes(Path(images), without=others, progress=progress), Path(images), channels, label_ending
    )
    if labels is not None:
        found.add_labels(find_volumes(Path(labels), without=others, progress=progress), label_ending)
    found.check_labels()
    for note in found.notes:
        logger.warning("%s", note)
    labelled = [key for key in found.names if key in found.labels]
    splits = divide(
        found.names, labelled=labelled, validation=validation, test=test, split=split, lists=lists, seed=seed
    )
    return make_cohort(
        found.sources(),
        splits,
        target,
        Conversion(classes, spacing),
        {"made by": "prepare folder", "name": name},
        name=name or Path(target).name,
        channels=channels,
        problems=found.problems,
        skip_bad=skip_bad,
        progress=progress,
    )


@dataclass
class _Scans:
    """What two folders hold, by the names of the scans."""

    images: dict[str, tuple[Where, ...]] = field(default_factory=dict)
    labels: dict[str, Where] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Names of all scans, sorted; of those with problems too."""
        return sorted(self.images)

    def sources(self) -> list[Source]:
        """The scans that nothing is known against yet."""
        return [
            Source(name, self.images[name], self.labels.get(name)) for name in self.names if name not in self.problems
        ]

    def add_images(self, volumes: Volumes, folder: Path, channels: Sequence[str], label_ending: str | None) -> None:
        self.notes += volumes.notes
        parts: dict[str, dict[str, Where]] = defaultdict(dict)
        others = []
        for name, places in volumes.by_name.items():
            if label_ending and (scan := without_ending(name, label_ending)):
                self._keep_one(scan, places)
                self.labels[scan] = places[0]
                continue
            match = next(((scan, ending) for ending in channels if (scan := without_ending(name, ending))), None)
            if channels and match is None:
                others.append(name)
                continue
            scan, ending = match or (name, "")
            self._keep_one(scan, places)
            parts[scan][ending] = places[0]
        if others:
            self.notes.append(
                f"{folder}: {len(others)} files or series, such as {others[0]}, end in none of {', '.join(channels)} "
                "and are left alone."
            )
        if not parts:
            expected = f"images ({FORMATS})" + (f" that end in {', '.join(channels)}" if channels else "")
            raise FileNotFoundError(f"{folder}: expected {expected}, found none.")
        for path, problem in volumes.unreadable.items():
            self.problems[path].append(problem)
        for scan, found in parts.items():
            self.images[scan] = tuple(found.values())
            if missing := [ending for ending in channels if ending not in found]:
                self.problems[scan].append(
                    f"{folder}: expected the channels {', '.join(channels)}, found none that ends in "
                    f"{', '.join(missing)}; add it."
                )
            else:
                self.images[scan] = tuple(found[ending] for ending in channels or ("",))

    def check_labels(self) -> None:
        for scan in sorted(self.labels.keys() - self.images.keys()):
            self.problems[scan].append(
                f"{self.labels[scan]}: expected an image of this name, found none; rename the label or remove it."
            )

    def add_labels(self, volumes: Volumes, label_ending: str | None) -> None:
        self.notes += volumes.notes
        for path, problem in volumes.unreadable.items():
            self.problems[path].append(problem)
        for name, places in volumes.by_name.items():
            scan = without_ending(name, label_ending) if label_ending else name
            if scan is None:
                continue
            self._keep_one(scan, places)
            self.labels[scan] = places[0]

    def _keep_one(self, scan: str, places: Sequence[Where]) -> None:
        if len(places) > 1:
            self.problems[scan].append(
                f"{places[1]}: expected a name of its own, found {places[0]} too; rename or remove one."
            )
