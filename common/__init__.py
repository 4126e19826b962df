"""Label-efficient 3D medical image segmentation with foundation models: the package shared by the bundles."""

IGNORE_INDEX = 255
"""Value of a voxel that is not annotated, in every annotation and pseudo-label."""

__version__ = "0.2.0"
