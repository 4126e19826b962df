"""The device that a training will run on, and its memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from common.cohort.memory import memory_at_hand

GB = 10**9


@dataclass(frozen=True)
class Machine:
    """Where a training will run.

    Attributes:
        device: Kind of PyTorch device, such as ``cuda`` or ``cpu``.
        memory: Bytes of the device's memory.
        images: Bytes of main memory of which half may hold images.
    """

    device: str
    memory: int
    images: int

    @property
    def slow(self) -> bool:
        """Whether it is a CPU."""
        return self.device == "cpu"


def find_machine(device: str | None = None, memory_gb: float | None = None) -> Machine:
    """This computer's device, or another computer's that is named.

    Args:
        device: Name of a PyTorch device; by default a GPU if there is one here, else the CPU.
        memory_gb: Its memory in GB of 10^9 bytes; by default that of the device here.

    Raises:
        ValueError: If there is no device of this name, or it is not here and no memory is given.
    """
    here = torch.cuda.is_available()
    try:
        chosen = torch.device(device or ("cuda" if here else "cpu"))
    except RuntimeError:
        raise ValueError(f"device must be a PyTorch device such as cpu or cuda, got {device!r}.") from None
    at_hand = memory_at_hand()
    if memory_gb is not None:
        memory = int(memory_gb * GB)
    elif chosen.type == "cuda":
        if not here or (chosen.index or 0) >= torch.cuda.device_count():
            raise ValueError(
                f"memory_gb must be given for the device {chosen}, which is not in this computer, as in --memory_gb 24."
            )
        memory = torch.cuda.get_device_properties(chosen).total_memory
    else:
        memory = at_hand
    return Machine(chosen.type, memory, at_hand)
