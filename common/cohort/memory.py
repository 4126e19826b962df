"""How much memory a cohort's images need, and how much there is."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from common.cohort.volumes import open_nifti

MEMINFO = Path("/proc/meminfo")
CONTROL_GROUP = Path("/sys/fs/cgroup")


def images_size(images: Iterable[str | Path]) -> int:
    """Bytes that images take as float32, from their headers alone."""
    return sum(4 * math.prod(open_nifti(image).shape) for image in images)


def memory_at_hand() -> int:
    """Bytes of memory that can still be used: of the machine, or of the container if that is less.

    Where the system does not tell what is free, this is half of the machine's memory; where it tells nothing, memory
    is taken to have no end.
    """
    found = [_available(), _left_in_container()]
    return min(bytes_ for bytes_ in found if bytes_ is not None)


def _available() -> int:
    if MEMINFO.is_file():
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return sys.maxsize


def _left_in_container() -> int | None:
    """What a control group of Linux leaves; None if it sets no limit."""
    limit, used = CONTROL_GROUP / "memory.max", CONTROL_GROUP / "memory.current"
    if not limit.is_file() or not used.is_file() or (text := limit.read_text().strip()) == "max":
        return None
    return max(0, int(text) - int(used.read_text()))
