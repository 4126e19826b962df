"""MONAI's handlers for MLflow and TensorBoard follow each bundle's training and evaluation."""

import pytest
from ignite.engine import Events

from common.files import read_json
from common.handlers import read_log, read_sessions
from tests.bundles.test_configs import BUNDLES, config
from tests.bundles.tiny import tiny_settings
from tests.bundles.workflows import ROOT, Stop, let_go, run, stop, workflow

EACH_LOSS = {"train#log#every": 1}


@pytest.fixture(scope="module")
def settings(cohort_dir, pretrained):
    return tiny_settings(cohort_dir, pretrained)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An MLflow store that all runs share; to make one takes seconds."""
    pytest.importorskip("mlflow", reason="needs MLflow: pip install label-efficient-bundles[tracking]")
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy: pip install label-efficient-bundles[tracking]")
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/store.db"


def tracked(store, experiment):
    """The runs of an experiment, the latest first, and a function that gives the history of one's metric."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store)
    runs = client.search_runs(client.get_experiment_by_name(experiment).experiment_id)

    def history(one, name):
        return {point.step: point.value for point in client.get_metric_history(one.info.run_id, name)}

    return runs, history


def evaluation(settings, folder):
    names = (
        "dataset_dir",
        "device",
        "precision",
        "roi_size",
        "stride",
        "network_def",
        "network_def#width",
        "image_size",
    )
    return {name: settings[name] for name in names if name in settings} | {"output_dir": str(folder)}


@pytest.mark.slow
@pytest.mark.parametrize("bundle", BUNDLES)
def test_mlflow(bundle, settings, store, tmp_path):
    tracking = {"tracking": "mlflow", "tracking_uri": store, "experiment_name": bundle, "save_execute_config": False}
    run(bundle, "train", settings[bundle] | EACH_LOSS | tracking | {"output_dir": str(tmp_path)})
    log = read_log(tmp_path / "log.jsonl")
    (training,), history = tracked(store, bundle)
    assert training.info.status == "FINISHED"
    losses = {line["iteration"]: line["loss"] for line in log if line["kind"] == "train"}
    assert history(training, "train_loss") == pytest.approx(losses) and len(losses) == 4
    (validation,) = (line for line in log if line["kind"] == "validation")
    assert history(training, "val_mean_dice") == pytest.approx({1: validation["val_mean_dice"]})

    run(bundle, "evaluate", evaluation(settings[bundle], tmp_path) | tracking)
    runs, history = tracked(store, bundle)
    assert len(runs) == 2
    means = read_json(tmp_path / "evaluation" / "metrics.json")["mean"]
    assert history(runs[0], "dice") == pytest.approx({1: means["dice"]["mean"]})


@pytest.mark.slow
@pytest.mark.parametrize("bundle", BUNDLES)
def test_tensorboard(bundle, settings, tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="needs TensorBoard: pip install label-efficient-bundles[tracking]",
    )
    tracking = {"tracking": str(ROOT / "bundles" / bundle / "configs" / "tensorboard.json")}
    run(bundle, "train", settings[bundle] | EACH_LOSS | tracking | {"output_dir": str(tmp_path)})
    run(bundle, "evaluate", evaluation(settings[bundle], tmp_path) | tracking)
    lines = read_log(tmp_path / "log.jsonl")
    numbers = {}
    for file in sorted((tmp_path / "tensorboard").iterdir()):
        events = accumulator.EventAccumulator(str(file))
        events.Reload()
        for name in events.Tags()["scalars"]:
            numbers.setdefault(name, {}).update({event.step: event.value for event in events.Scalars(name)})
    training = [line for line in lines if line["kind"] == "train"]
    for name in set().union(*training) - {"kind", "iteration"}:
        expected = {line["iteration"]: line[name] for line in training if name in line}
        assert numbers[name] == pytest.approx(expected), name
    (validation,) = (line for line in lines if line["kind"] == "validation")
    assert numbers["val_mean_dice"] == pytest.approx({1: validation["val_mean_dice"]})
    dice = read_json(tmp_path / "evaluation" / "metrics.json")["mean"]["dice"]["mean"]
    assert numbers["dice"] == pytest.approx({1: dice})


def test_a_stopped_run_resumes_in_the_same_run_of_mlflow(settings, store, tmp_path):
    """Also with another tracking than before, which is no change of the training."""
    tracking = {"tracking": "mlflow", "tracking_uri": store, "experiment_name": "resumed", "save_execute_config": False}
    settings = settings["fmabs_la"] | EACH_LOSS | {"checkpoint_interval": 1, "output_dir": str(tmp_path)}
    flow = workflow("fmabs_la", "train", settings | tracking)
    flow.initialize()
    trainer = flow.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.ITERATION_STARTED(once=3), stop)
    with pytest.raises((Stop, RuntimeError)):
        flow.run()
    let_go()
    run("fmabs_la", "train", settings | tracking)
    (only,), history = tracked(store, "resumed")
    assert only.info.status == "FINISHED"
    losses = {line["iteration"]: line["loss"] for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "train"}
    assert history(only, "train_loss") == pytest.approx(losses) and sorted(losses) == [1, 2, 3, 4]
    assert [one["complete"] for one in read_sessions(tmp_path / "provenance.json")] == [False, True]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_settings_of_tensorboard_are_those_of_all_bundles(bundle):
    assert config(bundle, "tensorboard") == config(BUNDLES[0], "tensorboard")
    assert {"trainer", "handlers"} <= config(bundle, "train")["train"].keys()
    assert {"evaluator", "handlers"} <= config(bundle, "train")["validate"].keys()
