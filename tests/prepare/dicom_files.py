"""Writes DICOM files byte by byte (explicit VR, little endian), to check what reads them by something else."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

MR, SECONDARY = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.7"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def element(group, number, kind, value):
    """One data element."""
    if isinstance(value, str):
        value = value.encode()
    elif isinstance(value, int):
        value = struct.pack("<H", value)
    if len(value) % 2:
        value += b"\0" if kind == "UI" else b" "
    long = kind in ("OB", "OW")
    size = struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value))
    return struct.pack("<HH", group, number) + kind.encode() + size + value


def write_slice(
    path: Path,
    pixels: np.ndarray,
    *,
    position: tuple[float, ...] | None,
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    spacing: tuple[float, float] = (1.0, 1.0),
    series: str = "1.2.3",
    number: int = 1,
    image_type: str = "ORIGINAL\\PRIMARY",
    sop_class: str = MR,
    slope: float | None = None,
    intercept: float = 0,
) -> Path:
    """Writes a slice.

    Args:
        path: The file.
        pixels: Stored values ``[rows, columns]``, int16.
        position: Place of the first pixel in mm towards left, posterior and superior; None to leave the tag out.
        orientation: Direction in which the column's number grows, then that of the row's.
        spacing: Distance between rows, then between columns, in mm.
        series: SeriesInstanceUID.
        number: SeriesNumber.
        image_type: ImageType.
        sop_class: SOPClassUID.
        slope, intercept: Rescaling of the stored values; None to leave the tags out.
    """
    meta = element(2, 0x10, "UI", EXPLICIT_LITTLE_ENDIAN)
    uid = f"{series}.{abs(hash(str(path))) % 10**9}"
    data = [
        element(8, 0x08, "CS", image_type),
        element(8, 0x16, "UI", sop_class),
        element(8, 0x18, "UI", uid),
        element(8, 0x60, "CS", "MR"),
        element(0x20, 0x0D, "UI", "1.2"),
        element(0x20, 0x0E, "UI", series),
        element(0x20, 0x11, "IS", str(number)),
    ]
    if position is not None:
        data.append(element(0x20, 0x32, "DS", "\\".join(f"{value:.10g}" for value in position)))
        data.append(element(0x20, 0x37, "DS", "\\".join(f"{value:.10g}" for value in orientation)))
    data += [
        element(0x28, 0x02, "US", 1),
        element(0x28, 0x04, "CS", "MONOCHROME2"),
        element(0x28, 0x10, "US", pixels.shape[0]),
        element(0x28, 0x11, "US", pixels.shape[1]),
        element(0x28, 0x30, "DS", "\\".join(map(str, spacing))),
        element(0x28, 0x100, "US", 16),
        element(0x28, 0x101, "US", 16),
        element(0x28, 0x102, "US", 15),
        element(0x28, 0x103, "US", 1),
    ]
    if slope is not None:
        data += [element(0x28, 0x1052, "DS", str(intercept)), element(0x28, 0x1053, "DS", str(slope))]
    data.append(element(0x7FE0, 0x10, "OW", pixels.astype("<i2").tobytes()))
    path.parent.mkdir(parents=True, exist_ok=True)
    length = element(2, 0, "UL", struct.pack("<I", len(meta)))
    path.write_bytes(b"\0" * 128 + b"DICM" + length + meta + b"".join(data))
    return path


def write_stack(folder: Path, count: int = 4, *, distance: float = 2.0, **options) -> np.ndarray:
    """Writes axial slices of 3 rows and 5 columns whose names are not in their order; returns the stored values."""
    pixels = np.arange(count * 15, dtype=np.int16).reshape(count, 3, 5)
    for place in range(count):
        name = f"{options.get('series', '1.2.3')}_{(place * 7) % 11}.dcm"
        write_slice(folder / name, pixels[place], position=(0, 0, place * distance), **options)
    return pixels
