"""``python -m common plan``: its file, its words, and what it refuses."""

import numpy as np
import pytest

from common.__main__ import main
from common.files import read_json, write_json
from common.prepare import write_phantom
from tests.plan.made_up import write_cohort
from tests.samples import save, states


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantom(folder, 4, 32)
    return folder


def test_it_names_its_file_and_the_next_command(phantoms, capsys):
    main(["plan", "--dataset_dir", str(phantoms), "--device", "cpu"])
    said = " ".join(capsys.readouterr().out.split())
    file = phantoms / "plan.json"
    assert "phantom for fmabs_la on cpu, 2 of 2 training scans read" in said
    assert f"['bundles/fmabs_la/configs/train.json','{file}']\" --dataset_dir {phantoms}" in said
    assert read_json(file)["roi_size"] == [32, 32, 32]
    assert read_json(file)["budget"] == 2


def test_other_bundles_have_files_of_their_own(phantoms):
    for bundle in ("sfr_retrain", "sfr_stitch_finetune", "assft_adapt"):
        main(["plan", "--dataset_dir", str(phantoms), "--bundle", bundle, "--device", "cuda", "--memory_gb", "24"])
        assert read_json(phantoms / f"plan_{bundle}.json")["roi_size"]
    assert read_json(phantoms / "plan_assft_adapt.json")["roi_size"] == [64, 32, 32]
    assert read_json(phantoms / "plan_sfr_retrain.json")["ramp_up"] == 6000


def test_the_commands_of_several_stages_take_a_plan(phantoms, tmp_path):
    """Until they look for their data, which come after the settings."""
    main(["plan", "--dataset_dir", str(phantoms), "--bundle", "sfr_retrain", "--device", "cpu"])
    words = ["sfr", "--output_dir", str(tmp_path / "run"), "--dataset_dir", str(tmp_path / "nowhere")]
    with pytest.raises(SystemExit, match="nowhere: expected a cohort's folder"):
        main([*words, "--retrain", str(phantoms / "plan_sfr_retrain.json")])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset_dir", "nowhere"], "nowhere: expected a cohort's folder, found none"),
        (["--bundle", "fmabs_heart"], "bundles/fmabs_heart: expected below"),
        (["--device", "abacus"], "device must be a PyTorch device such as cpu or cuda, got 'abacus'"),
        (["--device", "cuda:77"], "memory_gb must be given for the device cuda:77"),
        (["--device", "cuda", "--memory_gb", "0.01"], "memory_gb must be at least"),
        (["--target", "nowhere/plan.json"], "nowhere: expected the folder that the plan is written to"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(words, message, phantoms, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = states(phantoms)
    given = words if words[0] == "--dataset_dir" else ["--dataset_dir", str(phantoms), *words]
    with pytest.raises(SystemExit) as caught:
        main(["plan", *given])
    assert message in str(caught.value.code) and str(caught.value.code).startswith("Error: ")
    assert states(phantoms) == before and states(tmp_path) == {}


def test_several_channels_for_a_bundle_of_one(tmp_path):
    image = np.ones((16, 16, 16, 2), np.float32)
    folder = write_cohort(tmp_path, [(image, None)])
    with pytest.raises(SystemExit, match="sfr_stitch_finetune takes images of one channel, found 2"):
        main(["plan", "--dataset_dir", str(folder), "--bundle", "sfr_stitch_finetune", "--device", "cpu"])
    main(["plan", "--dataset_dir", str(folder), "--device", "cpu"])
    assert read_json(folder / "plan.json")["annotator"] == "folder"


def test_what_a_person_changed_is_kept_until_it_may_be_replaced(phantoms, tmp_path):
    words = ["plan", "--dataset_dir", str(phantoms), "--device", "cpu", "--target", str(tmp_path / "mine.json")]
    main(words)
    (tmp_path / "mine.json").write_text('{"seed": 3}')
    with pytest.raises(SystemExit, match="changed by hand"):
        main(words)
    main([*words, "--overwrite", "true"])
    assert read_json(tmp_path / "mine.json")["budget"] == 2


def test_scans_of_several_spacings_are_to_be_resampled_first(tmp_path, capsys):
    folder = write_cohort(tmp_path / "cohort", [(np.ones((20, 20, 20), np.float32), None)] * 3)
    save(folder / "images/scan_1.nii.gz", np.ones((20, 20, 20), np.float32), np.diag([1, 1, 1.5, 1]))
    main(["plan", "--dataset_dir", str(folder), "--device", "cpu"])
    said = capsys.readouterr().out
    assert "1 of 3 training scans have another" in " ".join(said.split())
    assert said.endswith(f"prepare folder --images {folder}/images … --target {folder}_1 --spacing 1\n")
    write_json(folder / "prepared.json", {"made by": "prepare brats"})
    main(["plan", "--dataset_dir", str(folder), "--device", "cpu"])
    assert capsys.readouterr().out.endswith(f"python -m common prepare brats … --target {folder}_1 --spacing 1\n")
