"""Both stages of SFR by one command, at the size of seconds."""

import json

import nibabel as nib
import numpy as np
import pytest

from common.annotations import Ledger
from common.cohort import Cohort
from common.commands.sfr import sfr
from common.prepare import write_phantom

SIZES = {"max_iterations": 2, "val_interval": 2, "precision": "fp32"}
FINETUNE = SIZES | {"roi_size": [32, 32, 16], "image_size": 128}
RETRAIN = SIZES | {"roi_size": [32, 32, 32], "network_def#width": 2}


@pytest.mark.slow
def test_all_stages_and_again_nothing(tmp_path, capsys):
    write_phantom(tmp_path / "cohort", scans=5, size=32, seed=0, validation=1, test=1)
    label = Cohort.open(tmp_path / "cohort").training[0].label
    drawn = nib.load(label)
    voxels = np.asarray(drawn.dataobj).astype(np.uint8)
    voxels[:, :, ::2] = 255
    nib.save(nib.Nifti1Image(voxels, drawn.affine), label)
    settings = {"labelled": 1, "annotator": "datalist", "plus": True, "threshold": 0.1}
    settings |= {"finetune": FINETUNE, "retrain": RETRAIN}
    first = sfr(tmp_path / "cohort", tmp_path / "run", **settings)
    assert first["scans"] == 1
    taken = json.loads((tmp_path / "run" / "finetune_selected" / "train_settings.json").read_text())
    assert taken["pseudo_label_dir"] == str(tmp_path / "run" / "finetune" / "pseudo_labels")
    assert taken["initial_checkpoint"] == str(tmp_path / "run" / "finetune" / "model.pt")
    retrained = json.loads((tmp_path / "run" / "retrain" / "train_settings.json").read_text())
    assert retrained["pseudo_label_dir"] == str(tmp_path / "run" / "finetune_selected" / "pseudo_labels")
    assert retrained["weigh_scans"] is True
    for stage in ("finetune", "finetune_selected", "retrain"):
        (entry,) = Ledger(tmp_path / "run" / stage).entries
        assert (entry.annotator, entry.voxels) == ("datalist", int((voxels != 255).sum()))

    capsys.readouterr()
    assert sfr(tmp_path / "cohort", tmp_path / "run", **settings) == first
    assert capsys.readouterr().out.count("done before") == 6

    with pytest.raises(ValueError, match="prepared before with labelled 1, not 2"):
        sfr(tmp_path / "cohort", tmp_path / "run", **settings | {"labelled": 2})


def test_a_stage_that_fails_says_why(tmp_path):
    write_phantom(tmp_path / "cohort", scans=3, size=32, seed=0, validation=1, test=0)
    run, large = tmp_path / "it's, here", FINETUNE | {"roi_size": [160, 32, 16]}
    with pytest.raises(RuntimeError, match="size must be at least 160") as caught:
        sfr(tmp_path / "cohort", run, labelled=1, finetune=large)
    first, *_, last = str(caught.value).splitlines()
    assert first.startswith("sfr_stitch_finetune, train.json: ValueError: ") and "Traceback" not in str(caught.value)
    assert last == f"(All that it printed is in {run / 'finetune' / 'output.txt'}.)"
    with pytest.raises(ValueError, match="output_dir must have no # in its path"):
        sfr(tmp_path / "cohort", tmp_path / "a#b", labelled=1, finetune=FINETUNE)


def test_without_unlabelled_scans_nothing_is_started(tmp_path):
    write_phantom(tmp_path / "cohort", scans=3, size=32, seed=0, validation=1, test=0)
    with pytest.raises(ValueError, match="expected unlabelled training scans, found labels of all 2"):
        sfr(tmp_path / "cohort", tmp_path / "run", finetune=FINETUNE)
    assert not (tmp_path / "run" / "finetune").exists()


@pytest.mark.parametrize("stage", ["finetune", "pseudo_label", "retrain"])
def test_a_setting_that_a_later_stage_does_not_know_starts_nothing(stage, tmp_path):
    with pytest.raises(ValueError, match=r"sfr_.* has no setting for roi_sise \(did you mean roi_size"):
        sfr(None, tmp_path / "run", **{stage: {"roi_sise": [32, 32, 32]}})
    with pytest.raises(ValueError, match=r"json must not have seed, which the command itself sets"):
        sfr(None, tmp_path / "run", **{stage: {"seed": 2}})
    assert not (tmp_path / "run").exists()
