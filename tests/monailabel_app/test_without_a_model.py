"""A bundle without weights: it can be trained, and until then says what is missing."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from label_server import Server

from tests.bundles.workflows import ROOT


@pytest.fixture(scope="module")
def server(study, tmp_path_factory):
    """A server whose bundle has no model."""
    here = tmp_path_factory.mktemp("here")  # bundles are looked for in the working directory first
    without = shutil.ignore_patterns("model.pt", "model.json")
    shutil.copytree(ROOT / "bundles" / "fmabs_la", here / "bundles" / "fmabs_la", ignore=without)
    started = Server(study.folder, here / "server.log", models="fmabs_la", max_iterations=2)
    try:
        yield started.start()
    finally:
        started.stop()


def test_it_says_what_is_missing_and_learns(server, study):
    assert "fmabs_la" in server.info()["models"]
    assert "expected the weights of a trained model" in server.tell("fmabs_la", "phantom_000", expect=404)["detail"]
    status = server.run("/scoring/", "/scoring/all_strategies")
    assert "expected the weights of a trained model" in " ".join(status["details"])
    sample = server.next_scan("her")
    assert sample["query"]["strategy"] == "random"
    assert "no model yet" in sample["query"]["reason"]
    scan = sample["id"]
    assert "weights" in server.tell("cross_label", scan)["note"]
    predrawn = server.infer("cross_label", scan)
    assert set(np.unique(predrawn)) == {0, 2}
    reference, affine = study.reference(scan)
    drawn = np.where(predrawn > 0, np.where(reference > 0, 1, 2), 0)
    server.save(scan, drawn, affine, ["left atrium", "annotated background"])
    settings = {"roi_size": [16, 16, 16], "network_def#width": 4, "pseudo_label_rounds": 0}
    assert server.run("/train/", "/train/fmabs_la", **settings)["status"] == "DONE"
    assert server.infer("fmabs_la", scan).shape == reference.shape
