"""What a result was made with: command, versions, hardware and memory."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import common

PACKAGES = ("torch", "monai", "pytorch-ignite", "numpy", "scipy", "nibabel")


def command() -> str:
    """The command that started this process, in the form that a shell takes."""
    return shlex.join(sys.orig_argv)


def versions() -> dict[str, str]:
    """Versions of Python, of this project (with the commit, where it lies in a Git checkout) and of its libraries."""
    found = {"python": platform.python_version(), "project": common.__version__}
    if (found_commit := commit(Path(common.__file__).resolve().parents[1])) is not None:
        found["commit"] = found_commit
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit(folder: Path) -> str | None:
    """The Git commit that is checked out in a folder, with ``-dirty`` behind it if files were changed since.

    Returns:
        Abbreviated hash; None if the folder is no checkout of its own, or Git does not answer.
    """
    if not (folder / ".git").exists():
        return None
    try:
        words = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude", "*", "--abbrev=12"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def hardware(device: torch.device | str) -> dict[str, Any]:
    """The machine: operating system, processor, cores this process may use, threads, memory in bytes, and the GPU.

    Args:
        device: The device on which the result is made; a GPU is named if it is one.
    """
    device = torch.device(device)
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory": _memory(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


def peak_memory() -> int | None:
    """The most memory that this process has had at once, in bytes; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file() and (found := re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), re.MULTILINE)):
        return 1024 * int(found[1])
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def peak_gpu_memory(device: torch.device | str) -> int | None:
    """The most memory that tensors have had at once on a GPU, in bytes; None for another device."""
    device = torch.device(device)
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file() and (
        found := re.search(r"^model name\s*:\s*(.+)$", information.read_text(), re.MULTILINE)
    ):
        return found[1].strip()
    return platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
