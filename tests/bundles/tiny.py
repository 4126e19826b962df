"""Settings with which each bundle trains within seconds."""

from tests.bundles.adaptation import NAME, NETWORK

WHOLE_SCANS = {
    "device": "cpu",
    "roi_size": [32, 32, 32],
    "stride": [32, 32, 32],
    "augmentation": False,
    "max_iterations": 4,
    "val_interval": 4,
    "precision": "fp32",
}
"""Four iterations on whole phantoms of 32 x 32 x 32 voxels, which are neither cropped nor turned."""


def tiny_settings(cohort_dir, pretrained):
    """Four iterations of each bundle, at a learning rate at which a wrong gradient shows."""
    common = {
        "dataset_dir": str(cohort_dir),
        "device": "cpu",
        "precision": "fp32",
        "roi_size": [32, 32, 32],
        "stride": [32, 32, 32],
        "max_iterations": 4,
        "val_interval": 4,
        "learning_rate": 0.01,
    }
    narrow = {"network_def#width": 2}
    rounds = {
        "query_span": [0.5, 0.75],
        "pseudo_label_span": [0.5, 0.5],
        "pseudo_label_rounds": 1,
        "budget": 3,
        "initial_share": 0.34,
        "per_round": 1,
    }
    adapted = {"network_def": NETWORK, "encoder": "model.0", "pretrained": pretrained}
    return {
        "fmabs_la": common | narrow | rounds,
        "fmabs_brats": common | narrow | rounds,
        "sfr_retrain": common | narrow | {"labelled": 1, "ramp_up": 4, "train#ramp#every": 1},
        "sfr_stitch_finetune": common
        | {"labelled": 1, "image_size": 128, "roi_size": [32, 32, 16], "stride": [32, 32, 16]},
        NAME: common | adapted | {"budget": 2, "first_round": 2, "round_interval": 2, "warm_up": 2},
    }
