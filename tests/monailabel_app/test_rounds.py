"""Two rounds over REST: score, next scan, save three slices as Slicer does, train, infer; and what interrupts them."""

from __future__ import annotations

import time

import numpy as np
import psutil
import pytest
from label_server import voxels

from common.annotations import Ledger
from common.cohort.volumes import read_voxels
from common.files import read_json
from common.handlers.log import read_log
from tests.monailabel_app.conftest import dice

SMALL = {
    "roi_size": [32, 32, 32],
    "max_iterations": 60,
    "checkpoint_interval": 5,
    "pseudo_label_rounds": 2,
    "learning_rate": 0.02,
}
NAMES = ["left atrium", "annotated background"]


def held_out(server, study):
    """Mean Dice over the scans that are not in the study."""
    found = []
    for image, label in study.held_out:
        reply = server.ask(
            "POST",
            "/infer/fmabs_la?output=image",
            files={"file": (image.name, image.read_bytes())},
            data={"params": "{}"},
        )
        found.append(dice(voxels(reply.content), np.asarray(read_voxels(label)[0])))
    return float(np.mean(found))


def annotate(server, study, scans=2):
    """Annotates the next scans: corrects what is pre-drawn on the requested slices."""
    for _ in range(scans):
        scan = server.next_scan("her")["id"]
        reference, affine = study.reference(scan)
        predrawn = server.infer("cross_label", scan)
        drawn = np.where(predrawn > 0, np.where(reference > 0, 1, 2), 0)
        assert server.save(scan, drawn, affine, NAMES)["annotation"] == "added"


def stats(server):
    return server.info()["train_stats"]["fmabs_la"]


def train_until(server, iteration, **params):
    """Begins a training, and waits until it has come so far."""
    server.ask("POST", "/train/fmabs_la", json=SMALL | params)
    while stats(server).get("epoch", 0) < iteration or "total_time" in stats(server):
        status = server.ask("GET", "/train/").json()
        assert status["status"] in ("SUBMITTED", "RUNNING"), status
        time.sleep(0.2)


def trainings_going_on(study):
    """Processes that train in this study."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(study.run) in word for word in process.info["cmdline"] or ()):
            found.append(process.pid)
    return found


def files(folder):
    """Content of the files of a run that people have made."""
    return {path: path.read_bytes() for path in sorted(folder.glob("annotation/*.nii"))} | {
        folder / "ledger.json": (folder / "ledger.json").read_bytes()
    }


def test_two_rounds_and_what_interrupts_them(server, study):
    # Nothing to learn from yet.
    status = server.run("/train/", "/train/fmabs_la", **SMALL)
    assert status["status"] == "ERROR"
    assert "no annotated scan of this study yet" in " ".join(status["details"])

    # The first round. The server is killed in the middle of the training, and started again.
    annotate(server, study)
    made = files(study.run)
    shipped = server.infer("fmabs_la", "phantom_000")
    train_until(server, 10, start="anew")
    assert set(stats(server)["losses"]) >= {"annotation", "pseudo_label", "consistency", "loss"}
    np.testing.assert_array_equal(server.infer("fmabs_la", "phantom_000"), shipped)  # answered meanwhile
    server.kill()
    for _ in range(300):
        if not trainings_going_on(study):
            break
        time.sleep(0.1)
    assert not trainings_going_on(study)
    assert not (study.run / "model.pt").exists()
    server.start()
    assert files(study.run) == made
    assert server.run("/train/", "/train/fmabs_la", start="anew", **SMALL)["status"] == "DONE"
    first = stats(server)
    assert (first["training"], first["epoch"], first["annotated"], first["images"]) == ("001", 60, 2, 8)
    log = (study.run / "trainings" / "001" / "train.log").read_text()
    assert "resuming after iteration" in log
    lines = [it["iteration"] for it in read_log(study.run / "trainings/001/log.jsonl") if it["kind"] == "train"]
    assert lines == [10, 20, 30, 40, 50, 60]
    own = (study.run / "trainings" / "001" / "model.pt").read_bytes()
    assert (study.run / "model.pt").read_bytes() == own
    dices = [held_out(server, study)]
    assert (server.infer("fmabs_la", "phantom_000") != shipped).any()  # the new model, without a restart

    # The second round goes on with that model. It is stopped by its user, and goes on again.
    annotate(server, study)
    assert [entry.round for entry in Ledger(study.run).entries] == [0, 0, 1, 1]
    train_until(server, 10)
    assert server.ask("DELETE", "/train/").json()["status"] == "STOPPED"
    assert (study.run / "model.pt").read_bytes() == own
    assert server.run("/train/", "/train/fmabs_la", **SMALL)["status"] == "DONE"
    assert (stats(server)["training"], stats(server)["annotated"]) == ("002", 4)
    settings = read_json(study.run / "trainings" / "002" / "settings.json")
    assert settings["initial_weights"] is not None
    assert (study.run / "trainings" / "002" / "initial.pt").read_bytes() == own
    assert (study.run / "model.pt").read_bytes() == (study.run / "trainings" / "002" / "model.pt").read_bytes()
    dices.append(held_out(server, study))
    print("Dice on held-out scans after each round:", dices)
    assert dices[1] > dices[0]
    assert dices[1] > 0.4

    # Weights of another network are refused, by inference and by training.
    (study.run / "model.pt").write_bytes((study.run.parents[1] / "phantom_000.nii.gz").read_bytes())
    assert "model.pt" in server.tell("fmabs_la", "phantom_000", expect=400)["detail"]
    status = server.run("/train/", "/train/fmabs_la", **SMALL)
    assert status["status"] == "ERROR"
    assert "initial.pt" in " ".join(status["details"])
    assert "the model cannot be used" in server.next_scan("her")["query"]["reason"]


@pytest.mark.parametrize("name", ["unknown"])
def test_a_training_of_another_name_is_refused(server, name):
    server.ask("POST", f"/train/{name}", json={})
    assert server.wait("/train/")["status"] == "ERROR"
