"""A run folder that `monai.bundle run` and the app share."""

from __future__ import annotations

import numpy as np
import torch

from common.annotations import AnnotationStore, Ledger
from common.commands.bundles import run_workflow
from tests.bundles.workflows import ROOT

BUNDLE = ROOT / "bundles" / "fmabs_la"
SMALL = {"max_iterations": 3, "roi_size": [32, 32, 32], "pseudo_label_rounds": 0}


def test_a_run_goes_on_in_monai_label_and_back(server, study, tmp_path):
    # The cohort's own labels annotate two scans by `monai.bundle run`, in the folder that the app uses.
    cohort = next(iter(study.labels.values())).parents[1]
    paths = {"dataset_dir": str(cohort), "output_dir": str(study.run), "device": torch.device("cpu")}
    own = {"budget": 2, "initial_share": 0.5, "per_round": 1, "network_def#width": 8, "val_interval": 3}
    run_workflow(BUNDLE, ["train"], SMALL | paths | own)
    begun = Ledger(study.run).entries
    assert [(entry.round, entry.annotator) for entry in begun] == [(0, "oracle"), (1, "oracle")]

    # The app takes both as annotated, uses the model, and adds a scan of its own in the next round.
    assert server.tell("fmabs_la", "phantom_000")["model_file"] == str(study.run / "model.pt")
    scan = server.next_scan("her")["id"]
    assert scan not in [entry.scan for entry in begun]
    reference, affine = study.reference(scan)
    drawn = np.where(server.infer("cross_label", scan) > 0, np.where(reference > 0, 1, 2), 0)
    server.save(scan, drawn, affine, ["left atrium", "annotated background"])
    entries = Ledger(study.run).entries
    assert entries[:2] == begun
    assert (entries[2].scan, entries[2].round, entries[2].annotator) == (scan, 2, "monai_label")
    assert server.run("/train/", "/train/fmabs_la", **SMALL)["status"] == "DONE"
    assert server.info()["train_stats"]["fmabs_la"]["annotated"] == 3

    # A run of one's own goes on with all three, in a folder that has no training of another kind.
    (study.run / "checkpoint.pt").unlink()
    run_workflow(BUNDLE, ["train"], SMALL | paths | {"annotator": "ledger", "network_def#width": 8, "val_interval": 3})
    assert Ledger(study.run).entries == entries
    assert AnnotationStore(study.run).read("annotation", scan) is not None
