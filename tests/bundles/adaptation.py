"""What the tests of the adaptation bundle share: small networks, settings, tables and changed cohorts."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np

from common.cohort import Cohort, write_datalist

NAME = "assft_adapt"
NETWORK = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": "@channels",
    "out_channels": "@num_classes",
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}
SWIN = {"_target_": "SwinUNETR", "in_channels": 1, "out_channels": 2, "window_size": 4, "feature_size": 12}
SMALL_SOURCE = {"max_iterations": 4, "val_interval": 2, "warm_up": 1, "phantom_scans": 3, "phantom_size": 32}


def table(settings):
    with (Path(settings["output_dir"]) / "query.csv").open() as file:
        return list(csv.DictReader(file))


def copies(cohort_dir, folder, change, sources):
    """A cohort of changed copies of training scans, all of them labelled and to train on."""
    cohort, items = Cohort.open(cohort_dir), []
    folder.mkdir()
    for place, source in enumerate(sources):
        scan = cohort.training[source]
        image = nib.load(scan.image)
        nib.save(nib.Nifti1Image(change(image.get_fdata(dtype=np.float32)), image.affine), folder / f"{place}.nii.gz")
        items.append({"image": f"{place}.nii.gz", "label": str(scan.label)})
    write_datalist(folder, name="copies", labels=cohort.labels, splits={"training": items})
    return str(folder)
