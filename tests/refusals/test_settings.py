"""Settings of bundles that are refused: what is given, what the message says, and that nothing has been written."""

import pytest

from tests.bundles.workflows import workflow

WHOLE = "must be a whole number"
FMABS = ("fmabs_la", "train")
BRATS = ("fmabs_brats", "train")
FINETUNE = ("sfr_stitch_finetune", "train")
LABEL = ("sfr_stitch_finetune", "pseudo_label")
RETRAIN = ("sfr_retrain", "train")
PRETRAIN = ("assft_adapt", "pretrain")
QUERY = ("assft_adapt", "query")
ADAPT = ("assft_adapt", "train")
EVALUATE = ("fmabs_la", "evaluate")
INFER = ("fmabs_la", "inference")
SHARE = "must be a number from 0 to 1"
POSITIVE = "must be a number above 0"
SWITCH = "must be True or False (or 1 or 0)"
SIZES = "must be three whole numbers of at least 16, divisible by 16"
STRIDE = "must be three whole numbers of at least 1"
SPACING = "must be three numbers above 0"
PATH = "must be a path"

CASES = [
    # of every bundle
    (FMABS, {"output_dir": ""}, PATH, "got ''"),
    (FMABS, {"output_dir": 7}, PATH, "got 7"),
    (FMABS, {"output_dir": "/dev/null"}, "must be a path of a folder", "got '/dev/null'"),
    (INFER, {"prediction_dir": "/dev/null/x"}, "must be a path of a folder", "got '/dev/null/x'"),
    (FMABS, {"output_dir": None}, PATH, "got None"),
    (FMABS, {"dataset_dir": ""}, PATH, "or None, got ''"),
    (FMABS, {"dataset_dir": 3}, PATH, "got 3"),
    (FMABS, {"device": "cuda:99"}, "PyTorch device of this computer", "give cpu"),
    (FMABS, {"device": "gpu"}, "PyTorch device of this computer", "the name of none"),
    (FMABS, {"device": None}, "PyTorch device", "got None"),
    (FMABS, {"seed": -1}, "from 0 to 4294967295", "got -1"),
    (FMABS, {"seed": 1.5}, WHOLE, "got 1.5"),
    (FMABS, {"seed": 2**32}, WHOLE, "got 4294967296"),
    (FMABS, {"seed": "one"}, WHOLE, "got 'one'"),
    (FMABS, {"channels": 0}, WHOLE, "got 0"),
    (FMABS, {"channels": 1.0}, WHOLE, "got 1.0"),
    (FMABS, {"num_workers": -1}, "of at least 0", "got -1"),
    (FMABS, {"precision": "fp64"}, "one of fp32, bf16, fp16", "got 'fp64'"),
    (FMABS, {"precision": 16}, "one of fp32, bf16, fp16", "got 16"),
    (FMABS, {"roi_size": 32}, SIZES, "got 32"),
    (FMABS, {"roi_size": [32, 32]}, SIZES, "got [32, 32]"),
    (FMABS, {"roi_size": [32, 32, 40]}, SIZES, "got [32, 32, 40]"),
    (FMABS, {"roi_size": [0, 16, 16]}, SIZES, "got [0, 16, 16]"),
    (FMABS, {"roi_size": [32.0, 32, 32]}, SIZES, "got [32.0, 32, 32]"),
    (FMABS, {"roi_size": "[32,32"}, SIZES, "got '[32,32'"),
    (FMABS, {"stride": 8}, STRIDE, "got 8"),
    (FMABS, {"stride": [0, 8, 8]}, STRIDE, "got [0, 8, 8]"),
    (FMABS, {"stride": [8, 8, -8]}, STRIDE, "got [8, 8, -8]"),
    (FMABS, {"stride": [200, 8, 8]}, "must be at most roi_size, [112, 112, 80]", "got [200, 8, 8]"),
    (FMABS, {"max_iterations": 0}, WHOLE, "got 0"),
    (FMABS, {"max_iterations": 1e3}, WHOLE, "got 1000.0"),
    (FMABS, {"max_iterations": "$10 / 4"}, WHOLE, "got 2.5"),
    (FMABS, {"val_interval": 0}, WHOLE, "got 0"),
    (FMABS, {"checkpoint_interval": 0}, WHOLE, "got 0"),
    (FMABS, {"learning_rate": 0}, POSITIVE, "got 0"),
    (FMABS, {"learning_rate": -0.1}, POSITIVE, "got -0.1"),
    (FMABS, {"learning_rate": float("nan")}, POSITIVE, "got nan"),
    (FMABS, {"learning_rate": "nan"}, POSITIVE, "got 'nan'"),
    (FMABS, {"learning_rate": float("inf")}, POSITIVE, "got inf"),
    (FMABS, {"initial_weights": ""}, PATH, "got ''"),
    # FM-ABS
    (FMABS, {"budget": 0}, WHOLE, "got 0"),
    (FMABS, {"budget": 2.5}, WHOLE, "got 2.5"),
    (FMABS, {"budget": None}, WHOLE, "got None"),
    (BRATS, {"budget": "many"}, WHOLE, "got 'many'"),
    (FMABS, {"initial_share": 0}, "above 0 and of at most 1", "got 0"),
    (FMABS, {"initial_share": -1}, "above 0 and of at most 1", "got -1"),
    (FMABS, {"initial_share": 1.2}, "above 0 and of at most 1", "got 1.2"),
    (FMABS, {"initial_share": "half"}, "above 0 and of at most 1", "got 'half'"),
    (FMABS, {"per_round": 0}, WHOLE, "got 0"),
    (FMABS, {"per_round": 1.5}, WHOLE, "got 1.5"),
    (FMABS, {"batch_labelled": 0}, WHOLE, "got 0"),
    (FMABS, {"batch_labelled": [2]}, WHOLE, "got [2]"),
    (FMABS, {"batch_unlabelled": -1}, WHOLE, "got -1"),
    (FMABS, {"alpha": 1}, "above 0 and below 1", "got 1"),
    (FMABS, {"query": "best"}, "one of her, he, lc", "got 'best'"),
    (FMABS, {"query": "assft"}, "one of her, he, lc", "got 'assft'"),
    (FMABS, {"query_network": "both"}, "one of student, teacher", "got 'both'"),
    (FMABS, {"annotator": "me"}, "one of oracle, folder, datalist, ledger", "got 'me'"),
    (FMABS, {"widen_mm": 5}, "must be two numbers of at least 0", "got 5"),
    (FMABS, {"widen_mm": [5.0, 1.0]}, "none smaller than the one before", "got [5.0, 1.0]"),
    (FMABS, {"widen_mm": [-1.0, 1.0]}, "two numbers of at least 0", "got [-1.0, 1.0]"),
    (FMABS, {"fusion": "vote"}, "one of majority, unanimous, mean", "got 'vote'"),
    (FMABS, {"augmentation": "no"}, SWITCH, "got 'no'"),
    (FMABS, {"denoise": "no"}, SWITCH, "got 'no'"),
    (FMABS, {"propagate": 2}, SWITCH, "got 2"),
    (FMABS, {"prototypes": None}, SWITCH, "got None"),
    (FMABS, {"abstain": ""}, SWITCH, "got ''"),
    (FMABS, {"query_span": [0.5, 0.1]}, "none smaller than the one before", "got [0.5, 0.1]"),
    (FMABS, {"query_span": [0.5, 1.1]}, "two numbers from 0 to 1", "got [0.5, 1.1]"),
    (FMABS, {"query_span": 0.5}, "two numbers from 0 to 1", "got 0.5"),
    (FMABS, {"pseudo_label_span": [0.1]}, "two numbers from 0 to 1", "got [0.1]"),
    (FMABS, {"pseudo_label_rounds": -1}, WHOLE, "got -1"),
    (FMABS, {"pseudo_label_rounds": 1.5}, WHOLE, "got 1.5"),
    (FMABS, {"generalist": "sam"}, "one of embedded, mobile_sam", "got 'sam'"),
    (FMABS, {"generalist_checkpoint": 1}, PATH, "got 1"),
    (FMABS, {"slices_per_pass": 5}, "one of 1, 4, 9, 16", "got 5"),
    (FMABS, {"embedding_cache": True}, PATH, "got True"),
    (FMABS, {"min_component_mm2": -4}, "a number of at least 0", "got -4"),
    (FMABS, {"largest_volumes": 0}, "of at least 1, or None", "got 0"),
    (FMABS, {"teacher_warm_up": -1}, "a number of at least 0", "got -1"),
    # SFR
    (FINETUNE, {"labelled": 0}, "of at least 1, or None", "got 0"),
    (FINETUNE, {"annotator": "folder"}, "one of oracle, datalist, ledger", "got 'folder'"),
    (FINETUNE, {"sam": "large"}, "one of small, mobile_sam", "got 'large'"),
    (FINETUNE, {"lora_rank": 0}, WHOLE, "got 0"),
    (FINETUNE, {"image_size": "256"}, WHOLE, "got '256'"),
    (FINETUNE, {"enlarge": 1.5}, WHOLE, "got 1.5"),
    (FINETUNE, {"save_memory": "maybe"}, SWITCH, "got 'maybe'"),
    (FINETUNE, {"turn": "off"}, SWITCH, "got 'off'"),
    (FINETUNE, {"rescale_curves": 3}, SWITCH, "got 3"),
    (FINETUNE, {"mirrored": 1.5}, SHARE, "got 1.5"),
    (FINETUNE, {"reversed_slices": -0.1}, SHARE, "got -0.1"),
    (FINETUNE, {"curves": 2}, SHARE, "got 2"),
    (FINETUNE, {"inverted_curves": "all"}, SHARE, "got 'all'"),
    (FINETUNE, {"share": 0}, "above 0 and of at most 1", "got 0"),
    (FINETUNE, {"share": 2}, "above 0 and of at most 1", "got 2"),
    (FINETUNE, {"threshold": 7}, SHARE, "got 7"),
    (FINETUNE, {"roi_size": [0, 16, 16]}, "three whole numbers", "got [0, 16, 16]"),
    (LABEL, {"views": 0}, "from 1 to 4", "got 0"),
    (LABEL, {"views": 5}, "from 1 to 4", "got 5"),
    (LABEL, {"refine": "no"}, SWITCH, "got 'no'"),
    (LABEL, {"pseudo_label_dir": ""}, PATH, "got ''"),
    (LABEL, {"largest_volumes": 1.5}, WHOLE, "got 1.5"),
    (RETRAIN, {"pseudo_labels": "none"}, "one of precomputed, online", "got 'none'"),
    (RETRAIN, {"semi_supervised": "uats"}, "one of mean_teacher, uamt, cps, ict, none", "got 'uats'"),
    (RETRAIN, {"missing_pseudo_labels": "ignore"}, "one of refuse, skip", "got 'ignore'"),
    (RETRAIN, {"evaluated": "both"}, "one of student, teacher", "got 'both'"),
    (RETRAIN, {"weigh_scans": "no"}, SWITCH, "got 'no'"),
    (RETRAIN, {"ramp_up": 0}, WHOLE, "got 0"),
    (RETRAIN, {"labelled": -2}, WHOLE, "got -2"),
    (RETRAIN, {"threshold": -0.5}, SHARE, "got -0.5"),
    # ASSFT
    (PRETRAIN, {"batch_size": 0}, WHOLE, "got 0"),
    (PRETRAIN, {"phantom_scans": 1}, WHOLE, "got 1"),
    (PRETRAIN, {"phantom_size": 8}, WHOLE, "got 8"),
    (PRETRAIN, {"warm_up": -1}, WHOLE, "got -1"),
    (PRETRAIN, {"encoder_weights": 1}, PATH, "got 1"),
    (QUERY, {"budget": -1}, WHOLE, "got -1"),
    (QUERY, {"weight": 2}, SHARE, "got 2"),
    (QUERY, {"shortlist": -1}, SHARE, "got -1"),
    (QUERY, {"feature_weight": "x"}, SHARE, "got 'x'"),
    (QUERY, {"adaptation_share": 0}, "above 0 and of at most 1", "got 0"),
    (QUERY, {"adaptation_steps": 0.5}, WHOLE, "got 0.5"),
    (QUERY, {"adaptation_rate": 0}, POSITIVE, "got 0"),
    (QUERY, {"annotator": "ledger"}, "one of oracle, folder", "got 'ledger'"),
    (QUERY, {"partial": "some"}, SWITCH, "got 'some'"),
    (QUERY, {"query": "none"}, "one of assft, her", "got 'none'"),
    (ADAPT, {"first_round": 0}, WHOLE, "got 0"),
    (ADAPT, {"round_interval": 1.5}, WHOLE, "got 1.5"),
    (ADAPT, {"round_interval": 0}, WHOLE, "got 0"),
    (ADAPT, {"confidence_quantile": 1.5}, SHARE, "got 1.5"),
    (ADAPT, {"distance_quantile": -1}, SHARE, "got -1"),
    (ADAPT, {"voxel_threshold": 70}, SHARE, "got 70"),
    (ADAPT, {"copy_paste": 1}, "of at least 0 and below 1", "got 1"),
    (ADAPT, {"consistency": -1}, "a number of at least 0", "got -1"),
    (ADAPT, {"encoder_decay": 0}, "above 0 and of at most 1", "got 0"),
    (ADAPT, {"encoder": ""}, "a text, or None", "got ''"),
    (ADAPT, {"freeze_encoder": "yes"}, SWITCH, "got 'yes'"),
    (ADAPT, {"intensity_augmentation": "x"}, SWITCH, "got 'x'"),
    (ADAPT, {"largest_volumes": True}, WHOLE, "got True"),
    # evaluation and inference
    (EVALUATE, {"split": "all"}, "one of training, validation, test", "got 'all'"),
    (EVALUATE, {"checkpoint": ""}, PATH, "got ''"),
    (EVALUATE, {"evaluation_dir": 1}, PATH, "got 1"),
    (EVALUATE, {"stride": [18, 18]}, STRIDE, "got [18, 18]"),
    (INFER, {"spacing": [0, 1, 1]}, SPACING, "got [0, 1, 1]"),
    (INFER, {"spacing": [1, 1]}, SPACING, "got [1, 1]"),
    (INFER, {"spacing": [-1, 1, 1]}, SPACING, "got [-1, 1, 1]"),
    (INFER, {"spacing": 1.0}, SPACING, "got 1.0"),
    (INFER, {"num_classes": 1}, "from 2 to 255", "got 1"),
    (INFER, {"dataset_dir": None}, PATH, "got None"),
    (INFER, {"prediction_dir": ""}, PATH, "got ''"),
    (INFER, {"stride": [400, 4, 4]}, "must be at most roi_size", "got [400, 4, 4]"),
    (("assft_adapt", "inference"), {"largest_volumes": 0}, "of at least 1, or None", "got 0"),
    (("sfr_stitch_finetune", "inference"), {"sam": "tiny"}, "one of small, mobile_sam", "got 'tiny'"),
    # names
    (FMABS, {"round_interval": 9}, "has no setting for round_interval", "train.json"),
    (FMABS, {"max_iteration": 9}, "max_iteration (did you mean max_iterations", "train.json"),
    (FMABS, {"network_def#widht": 9}, "network_def#widht (did you mean width?)", "train.json"),
    (INFER, {"network_def#channel": 9}, "has no setting for network_def#channel", "inference.json"),
    (FMABS, {"train#terms#1#wieght": 9}, "train#terms#1#wieght (did you mean weight?)", "train.json"),
    (RETRAIN, {"train#perturb#noise": 9}, "train#perturb#noise (did you mean noise_std", "train.json"),
    (ADAPT, {"validate#evaluatorr": 9}, "validate#evaluatorr (did you mean evaluator?)", "train.json"),
    # settings that fit each other
    (FMABS, {"budget": 100}, "budget must lie in 1..", "got 100"),
    (FMABS, {"max_iterations": 8}, "must be at least 9 for 8 query rounds, got 8", "or set fewer query rounds"),
    (RETRAIN, {"semi_supervised": "ict", "batch_unlabelled": 1}, "batch_unlabelled must be at least 2", "got 1"),
    (RETRAIN, {"pseudo_labels": "online"}, "online_network must be a network", "got None"),
]  # fmt: skip


def names(value):
    return "-".join(value) if isinstance(value, tuple) else None


def first_cause(error):
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@pytest.mark.parametrize(("stage", "given", "expected", "found"), CASES, ids=names)
def test_a_setting_is_refused_by_name_before_anything_is_written(stage, given, expected, found, cohort_dir, tmp_path):
    usual = {"dataset_dir": str(cohort_dir), "output_dir": str(tmp_path / "run"), "device": "cpu"}
    flow = workflow(*stage, usual | given)
    with pytest.raises(RuntimeError, match="Failed to") as caught:
        flow.initialize()
    error = first_cause(caught.value)
    assert isinstance(error, ValueError)
    assert all(words in str(error) for words in (next(reversed(given)).split("#")[0], expected, found))
    assert not list(tmp_path.iterdir())


def test_there_are_many():
    assert len(CASES) >= 150


def test_several_wrong_settings_come_at_once_with_the_page(tmp_path):
    given = {"output_dir": str(tmp_path / "run"), "seed": -1, "budget": 0, "denoise": "no"}
    with pytest.raises(RuntimeError, match="Failed to") as caught:
        workflow(*FMABS, given).initialize()
    lines = str(first_cause(caught.value)).splitlines()
    assert lines[0] == "3 settings are not what they may be:" and len(lines) == 5
    assert lines[-1].startswith("All settings are explained in ") and lines[-1].endswith("fmabs_la/docs/README.md.")


@pytest.mark.parametrize("value", [0.5, "$1 / 2"])
def test_what_is_computed_from_a_bad_setting_does_not_hide_its_message(value, tmp_path):
    """`round(@budget * @initial_share)` and the like are computed later."""
    flow = workflow(*FMABS, {"output_dir": str(tmp_path / "run"), "device": "cpu", "budget": value})
    with pytest.raises(RuntimeError, match="Failed to") as caught:
        flow.initialize()
    assert str(first_cause(caught.value)).startswith("budget must be a whole number of at least 1, got 0.5.")


@pytest.mark.parametrize(
    ("stage", "given", "expected"),
    [
        (FMABS, {"budget": 1, "generalist": "mobile_sam"}, "python -m common weights fetch mobile_sam"),
        (FMABS, {"budget": 1, "generalist": "mobile_sam", "generalist_checkpoint": "missing.pt"}, "missing.pt"),
        (FINETUNE, {"sam": "mobile_sam"}, "python -m common weights fetch mobile_sam"),
        (FINETUNE, {"image_size": 64}, "size must be at least 112, the slices' longer side in pixels, got 64"),
    ],
)
def test_a_model_that_cannot_be_made_is_refused_before_anything_is_written(
    stage, given, expected, cohort_dir, tmp_path, monkeypatch
):
    monkeypatch.setenv("LABEL_EFFICIENT_WEIGHTS", str(tmp_path))
    run = tmp_path / "run"
    flow = workflow(*stage, {"dataset_dir": str(cohort_dir), "output_dir": str(run), "device": "cpu"} | given)
    with pytest.raises(RuntimeError, match="Failed to") as caught:
        flow.initialize()
    assert expected in str(first_cause(caught.value))
    assert not run.exists()
