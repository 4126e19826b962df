"""What a resumed run must agree on, and ids that are added to a config."""

import pytest

from tests.bundles.workflows import refused, workflow

PLACE = {"output_dir": "nowhere", "device": "cpu"}


def agreed(bundle="fmabs_la", stage="train", **given):
    return workflow(bundle, stage, PLACE | given).parser.get_parsed_content("resume_settings")


def check(bundle="fmabs_la", stage="train", **given):
    flow = workflow(bundle, stage, PLACE | given)
    flow.parser.parse(True)
    flow.parser.get_parsed_content("initialize#0")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"per_round": 1}, "per_round"),
        ({"generalist": "mobile_sam"}, "generalist"),
        ({"learning_rate": 0.1}, "learning_rate"),
        ({"fusion": "mean"}, "fusion"),
        ({"augmentation": "false"}, "augmentation"),
        ({"precision": "fp16"}, "precision"),
        ({"val_interval": 7}, "val_interval"),
        ({"initial_weights": "a.pt"}, "initial_weights"),
    ],
)
def test_a_setting_that_changes_the_training(given, name):
    usual, other = agreed(), agreed(**given)
    assert [key for key in usual if usual[key] != other[key]] == [name]


def test_none_on_the_command_line(monkeypatch):
    """MONAI drops it, so that the default would stay in force; where that is None itself, nothing is lost."""
    for words in (["--prompted_views", "None"], ["--prompted_views=None"]):
        monkeypatch.setattr("sys.argv", ["/python/monai/bundle/__main__.py", "run", "training", *words])
        with refused(ValueError, "write --prompted_views '$None' instead"):
            check()
    monkeypatch.setattr("sys.argv", ["/python/monai/bundle/__main__.py", "run", "training", "--window", "None"])
    check()
    monkeypatch.setattr("sys.argv", ["/python/common/__main__.py", "sfr", "--prompted_views", "None"])
    check()


def test_none_as_an_expression():
    assert agreed(largest_volumes="$None") == agreed()


@pytest.mark.parametrize(
    "given",
    [
        {"num_workers": 2},
        {"checkpoint_interval": 5},
        {"output_dir": "elsewhere"},
        {"annotator": "folder"},
        {"train#dataloader#num_workers": 3},
        {"train#trainer#max_epochs": 9},
        {"augmentation": "True"},
    ],
)
def test_what_may_change(given):
    assert agreed() == agreed(**given)


def test_what_is_deeper_in_the_config():
    changes = agreed(**{"network_def#width": 8, "train#terms#1#weight": 1.0})["changes"]
    assert changes == {"network_def#width": 8, "train#terms#1#weight": 1.0}
    assert agreed()["changes"] == {}


def test_a_file_may_be_another_one_but_not_none():
    one, other, none = (agreed(initial_weights=file)["initial_weights"] for file in ("a.pt", "b.pt", None))
    assert one == other and one != none


@pytest.mark.parametrize(
    "given",
    [
        {"network_def#width": 4},
        {"train#trainer#max_epochs": 1},
        {"train#terms#0#loss": {"_target_": "common.losses.PartialDiceCELoss"}},
        {"network_def": {"_target_": "UNet", "spatial_dims": 3, "in_channels": "@channels", "norm": "batch"}},
        {"timeout_minutes": 3},
        {"own_number": 3, "num_workers": "$@own_number"},
        {"train#perturb#0#noise_std": 0.2},
    ],
)
def test_ids_that_something_reads(given):
    check(**given)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"max_iteration": 3}, "max_iteration (did you mean max_iterations"),
        ({"own_number": 3}, "own_number."),
        ({"views": 3}, "views"),
        ({"network_def#widht": 3}, "network_def#widht (did you mean width?)"),
        ({"train#trainr": 1}, "train#trainr (did you mean trainer?)"),
        ({"train#terms#1#weigth": 1}, "train#terms#1#weigth (did you mean weight?)"),
        ({"train#terms#0#loss": {"_target_": "common.losses.PartialCrossEntropyLoss", "per_scans": 1}}, "per_scan?)"),
        ({"network_def": {"_target_": "UNet", "spatial_dim": 3}}, "network_def#spatial_dim (did you mean spatial_dims"),
    ],
)
def test_ids_that_nothing_reads(given, hint):
    with refused(ValueError, "has no setting for"):
        check(**given)
    with refused(ValueError, hint):
        check(**given)


def test_settings_for_another_stage():
    """`train.json` of the adaptation hands them on."""
    check("assft_adapt", **{"pretrain_settings#warm_up": 1, "query_settings#shortlist": 0.5})
    with refused(ValueError, "pretrain_settings#warmup (did you mean warm_up"):
        check("assft_adapt", **{"pretrain_settings#warmup": 1})
