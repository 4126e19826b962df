"""How a model of the SAM family expects its input and prompts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """How a model expects its input and prompts, by its authors' own code.

    Attributes:
        stretch: Whether slices are stretched to the square input; if not, they keep their aspect ratio and are padded.
        interpolation: How slices are scaled: `bilinear` or `bicubic`, both smooth when they shrink a slice, or `area`,
            by which a pixel becomes the mean of the part of the slice that it covers.
        unit_range: Whether intensities are scaled to 0..1; if not, the model's pixel mean and deviation are used.
        points: Whether points are used besides the box.
        whole_corners: Whether coordinates are scaled by one factor for rows and columns and rounded towards 0, to whole
            pixels; if not, they are scaled by the factors of rows and of columns, which differ a little by rounding.
        best_of_three: Whether the one with the highest predicted IoU of the decoder's three masks is used; if not, its
            single mask is.
    """

    stretch: bool = False
    interpolation: str = "bilinear"
    unit_range: bool = False
    points: bool = True
    whole_corners: bool = False
    best_of_three: bool = True


SAM = Usage()
"""SAM and MobileSAM (`segment_anything.SamPredictor`)."""

MEDSAM = Usage(stretch=True, interpolation="bicubic", unit_range=True, points=False, best_of_three=False)
"""MedSAM (`MedSAM_Inference.py`)."""

LITE_MEDSAM = Usage(interpolation="area", unit_range=True, points=False, whole_corners=True, best_of_three=False)
"""LiteMedSAM (`CVPR24_LiteMedSAM_infer.py`)."""
