"""Two processes train, evaluate, fail and resume as one process does, for each bundle."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ignite.engine import Events

from common.annotations import Ledger
from common.cohort import Cohort
from common.files import read_checkpoint
from common.handlers import read_log
from tests.bundles.adaptation import NAME
from tests.bundles.run_workflows import run_job
from tests.bundles.test_configs import BUNDLES
from tests.bundles.tiny import tiny_settings
from tests.bundles.workflows import ROOT, Stop, let_go, refused, stop, workflow

EACH_LOSS = {"train#log#every": 1}
"""The log has every iteration's loss."""

FIRST_ROUND = 2
"""Iteration after which rounding errors decide on single voxels, at the latest."""


@pytest.fixture(scope="module")
def settings(cohort_dir, pretrained):
    return tiny_settings(cohort_dir, pretrained)


def train(bundle, settings, folder, *, processes, **others):
    configs = ["train", "multi_gpu_train"] if processes > 1 else ["train"]
    return {
        "bundle": bundle,
        "configs": configs,
        "settings": settings | EACH_LOSS | {"output_dir": str(folder)},
    } | others


def evaluate(bundle, settings, run, folder, *, processes):
    known = (
        "dataset_dir",
        "device",
        "precision",
        "roi_size",
        "stride",
        "image_size",
        "network_def#width",
        "network_def",
    )
    kept = {key: settings[key] for key in known if key in settings}
    return {
        "bundle": bundle,
        "configs": ["train", "evaluate", *(["multi_gpu_evaluate"] if processes > 1 else [])],
        "settings": kept | {"output_dir": str(run), "evaluation_dir": str(folder), "split": "training"},
    }


def in_two_processes(jobs, folder):
    """Runs jobs in two processes; a run that hangs is an error."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    return subprocess.run(
        [*launch, "-m", "tests.bundles.run_workflows", str(folder / "jobs.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def begin(bundle, settings, folder):
    """Lets one process stop after the second iteration."""
    job = train(bundle, settings, folder, processes=1)
    flow = workflow(bundle, "train", job["settings"])
    flow.initialize()
    flow.parser.get_parsed_content("train#trainer").add_event_handler(Events.ITERATION_STARTED(once=3), stop)
    with refused(Stop):
        flow.run()
    let_go()


@pytest.fixture(scope="module")
def runs(settings, tmp_path_factory):
    """Folders `BUNDLE/1`, trained and evaluated by one process, `BUNDLE/2`, by two, and `resumed`, by one, then two."""
    root = tmp_path_factory.mktemp("several")
    query = {key: value for key, value in settings[NAME].items() if key in ("dataset_dir", "device", "pretrained")}
    query |= {key: settings[NAME][key] for key in ("roi_size", "stride", "precision", "network_def", "budget")}
    run_job(bundle=NAME, configs=["query"], settings=query | {"output_dir": str(root / NAME / "1")})
    shutil.copytree(root / NAME / "1", root / NAME / "2")
    for bundle in BUNDLES:
        run_job(**train(bundle, settings[bundle], root / bundle / "1", processes=1))
        run_job(**evaluate(bundle, settings[bundle], root / bundle / "1", root / bundle / "1/evaluation", processes=1))
    begin("fmabs_la", settings["fmabs_la"], root / "resumed")
    jobs = [train(bundle, settings[bundle], root / bundle / "2", processes=2) for bundle in BUNDLES]
    jobs += [
        evaluate(bundle, settings[bundle], root / bundle / "1", root / bundle / "2/evaluation", processes=2)
        for bundle in BUNDLES
    ]
    jobs.append(train("fmabs_la", settings["fmabs_la"], root / "resumed", processes=2))
    finished = in_two_processes(jobs, root)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return root


def assert_same_training(first, second):
    """Both runs have the same ledger and losses; after a round, rounding shows in losses and metrics."""
    ledgers = [Ledger(folder) for folder in (first, second)]
    kept = [[(it.scan, it.round, it.iteration, it.slices) for it in ledger.entries] for ledger in ledgers]
    assert kept[0] == kept[1]
    assert [(it.round, it.selected) for it in ledgers[0].trust_entries] == [
        (it.round, it.selected) for it in ledgers[1].trust_entries
    ]
    for line, other in zip(*(read_log(folder / "log.jsonl") for folder in (first, second)), strict=True):
        tolerance = 0.05 if line["kind"] != "train" else 1e-4 if line["iteration"] <= FIRST_ROUND else 0.005
        assert line == pytest.approx(other, abs=tolerance)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_two_processes_train_as_one_does(bundle, runs):
    assert_same_training(runs / bundle / "1", runs / bundle / "2")
    losses = [line["loss"] for line in read_log(runs / bundle / "2/log.jsonl") if line["kind"] == "train"]
    assert len(losses) == 4 and len(set(losses)) == 4


@pytest.mark.parametrize("bundle", BUNDLES)
def test_two_processes_evaluate_as_one_does(bundle, runs, settings):
    for name in ("metrics.json", "metrics.csv"):
        assert (runs / bundle / "2/evaluation" / name).read_text() == (
            runs / bundle / "1/evaluation" / name
        ).read_text()
    scans = json.loads((runs / bundle / "2/evaluation/metrics.json").read_text())["scans"]
    assert scans == len(Cohort.open(settings[bundle]["dataset_dir"]).training) > 2


def test_two_processes_resume_what_one_began(runs):
    assert_same_training(runs / "fmabs_la/1", runs / "resumed")


def test_a_process_that_dies_ends_the_run_which_one_process_resumes(runs, settings, tmp_path):
    run = tmp_path / "run"
    job = train("fmabs_la", settings["fmabs_la"], run, processes=2, die=[1, 3])
    failed = in_two_processes([job], tmp_path)
    assert failed.returncode != 0
    assert "exitcode  : -9" in failed.stderr
    content = read_checkpoint(run / "checkpoint.pt", expected="a checkpoint", found="another file")
    assert content["iteration"] in (2, 3)
    assert not [name for name in content["objects"]["student"] if name.startswith("module.")]
    assert {path.name for path in run.glob(".*")} <= {".run.lock", ".run.json", ".ledger.lock"}
    run_job(**train("fmabs_la", settings["fmabs_la"], run, processes=1))
    assert_same_training(runs / "fmabs_la/1", run)


@pytest.mark.parametrize("configs", [["train", "multi_gpu_train"], ["train", "evaluate", "multi_gpu_evaluate"]])
def test_without_torchrun(configs, settings, tmp_path, monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    mine = {"dataset_dir": settings["fmabs_la"]["dataset_dir"], "output_dir": str(tmp_path)}
    with refused(ValueError, "expected a process that torchrun has started"):
        run_job(bundle="fmabs_la", configs=configs, settings=mine)


def test_the_examples_are_well_formed():
    yaml = pytest.importorskip("yaml")
    folder = ROOT / "docs" / "several_machines"
    subprocess.run(["bash", "-n", str(folder / "slurm.sh")], check=True)
    job = yaml.safe_load(Path(folder / "pytorchjob.yaml").read_text())
    assert job["kind"] == "PyTorchJob"
    replicas = job["spec"]["pytorchReplicaSpecs"]
    for replica in replicas.values():
        (container,) = replica["template"]["spec"]["containers"]
        assert container["name"] == "pytorch" and "torchrun" in " ".join(container["command"])
        assert container["resources"]["limits"]["nvidia.com/gpu"] == int(job["spec"]["nprocPerNode"]) == 4
