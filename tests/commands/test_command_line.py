from __future__ import annotations

import subprocess
import sys

import nibabel as nib
import pytest

from common.__main__ import main
from common.cohort import Cohort


def test_phantom(tmp_path, capsys):
    arguments = ["phantom", "--target", str(tmp_path / "p"), "--scans", "3", "--size", "16", "--seed", "4"]
    main(arguments)
    main(arguments)
    assert "1 training, 1 validation, 1 test scans" in capsys.readouterr().out
    assert len(Cohort.open(tmp_path / "p").scans) == 3


def test_a_phantom_of_another_domain(tmp_path):
    arguments = ["phantom", "--scans", "3", "--size", "16", "--target"]
    main([*arguments, str(tmp_path / "usual")])
    main([*arguments, str(tmp_path / "other"), "--domain", "source"])
    usual, other = (Cohort.open(tmp_path / name).training[0].label for name in ("usual", "other"))
    assert (nib.load(usual).get_fdata() != nib.load(other).get_fdata()).any()
    with pytest.raises(SystemExit, match=r"Error: domain must be one of .*, got 'mars'"):
        main([*arguments, str(tmp_path / "mars"), "--domain", "mars"])


def test_an_unknown_argument_stops_a_command_before_it_runs(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["phantom", "--target", str(tmp_path / "p"), "--scan", "3"])
    assert caught.value.code == 2
    assert "--scan" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_bad_input_is_a_message_not_a_traceback(tmp_path):
    with pytest.raises(SystemExit, match=r"Error: .*train\.list: no such file"):
        main(["prepare", "la", "--source", str(tmp_path), "--target", str(tmp_path / "t")])
    with pytest.raises(SystemExit, match="Error: scans must leave one for training"):
        main(["phantom", "--target", str(tmp_path / "p"), "--scans", "3", "--test", "3"])


def test_settings_of_a_stage_are_a_json_file(tmp_path):
    with pytest.raises(SystemExit, match=r"Error: .*nowhere\.json"):
        main(["assft", "--output_dir", str(tmp_path / "run"), "--train", str(tmp_path / "nowhere.json")])
    assert not (tmp_path / "run").exists()


def test_settings_that_are_no_settings(tmp_path):
    (tmp_path / "train.json").write_text("[1]")
    with pytest.raises(SystemExit, match=r"Error: .*train\.json: expected settings by name, found list"):
        main(["assft", "--output_dir", str(tmp_path / "run"), "--train", str(tmp_path / "train.json")])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("word", "selective"), [("false", False), ("False", False), ("true", True), ("True", True), (None, True)]
)
def test_words_are_of_the_kind_that_an_argument_is(word, selective, monkeypatch):
    calls = []
    monkeypatch.setattr("common.commands.assft.assft", lambda *given, **named: calls.append((given, named)))
    main(["assft", "--output_dir", "7", "--budget", "3", *(["--selective", word] if word else [])])
    (((cohort, folder), named),) = calls
    assert cohort is None and folder == "7"
    assert named["selective"] is selective and named["budget"] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["assft", "--output_dir", "x", "--selective", "nope"], '--selective: unable to convert "nope" into bool'),
        (
            ["assft", "--output_dir", "x", "--budget", "two"],
            "--budget: must be a whole number of at least 1, got 'two'",
        ),
        (["assft", "--output_dir", "x", "--budget", "2.5"], "--budget: must be a whole number of at least 1, got 2.5"),
        (
            ["sfr", "--output_dir", "x", "--seed", "True"],
            "--seed: must be a whole number from 0 to 4294967295, got True",
        ),
        (
            ["sfr", "--output_dir", "x", "--share", "half"],
            "--share: must be a number above 0 and of at most 1, got 'half'",
        ),
        (
            ["phantom", "--target", "x", "--size", "[64,a]"],
            "--size: must be one whole number of at least 16, or three as in [64,",
        ),
        (["assft"], "--output_dir requires an argument"),
        (["sfr", "x", "--labeled", "2"], "Unknown option: --labeled. Did you mean --labelled?"),
    ],
)
def test_words_of_another_kind(words, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    printed = " ".join(capsys.readouterr().err.split())
    assert caught.value.code == 2 and printed.startswith("Error: ") and message in printed


@pytest.mark.parametrize("words", [["x", "--plus"], ["--output_dir=x", "--plus=true"], ["--plus", "True", "x"]])
def test_a_flag_with_and_without_a_word(words, monkeypatch):
    calls = []
    monkeypatch.setattr("common.commands.sfr.sfr", lambda *given, **named: calls.append((given, named)))
    main(["sfr", *words, "--labelled", "2"])
    ((given, named),) = calls
    assert given == (None, "x") and named["plus"] is True and named["labelled"] == 2


def test_sides_of_a_phantom(tmp_path):
    main(["phantom", str(tmp_path / "p"), "--scans", "3", "--size", "[16,20,24]"])
    assert nib.load(Cohort.open(tmp_path / "p").training[0].image).shape == (16, 20, 24)


@pytest.mark.parametrize("words", [[], ["--help"], ["prepare"], ["weights", "--help"], ["sfr", "--help"]])
def test_help_explains(words, capsys):
    main(words)
    printed = " ".join(capsys.readouterr().out.split())
    expected = {"prepare": "nnunet", "weights": "Download weights", "sfr": "SFR+: fine-tune once more"}
    assert expected.get(words[0] if words else "", "Choose the scans worth labelling") in printed


def test_a_command_that_is_interrupted_says_so(monkeypatch, capsys):
    def interrupted(*given, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("common.commands.assft.assft", interrupted)
    with pytest.raises(SystemExit) as caught:
        main(["assft", "--output_dir", "x"])
    assert caught.value.code == 130 and "the same command resumes" in capsys.readouterr().err


def test_classes_are_separated_by_commas(tmp_path, capsys):
    main(["phantom", "--target", str(tmp_path / "p"), "--scans", "3", "--size", "16"])
    images, labels = str(tmp_path / "p/images"), str(tmp_path / "p/labels")
    arguments = ["--images", images, "--labels", labels, "--target", str(tmp_path / "n"), "--validation", "1"]
    main(["prepare", "folder", *arguments, "--classes", "left atrium,something else"])
    assert Cohort.open(tmp_path / "n").labels == {1: "left atrium", 2: "something else"}
    assert "2 training, 1 validation" in capsys.readouterr().out


def test_help_needs_no_torch():
    code = "import sys; from common.__main__ import main; main([]); assert not {'torch', 'monai'} & set(sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(f" {name} " in shown for name in ("assft", "demo", "phantom", "prepare", "report", "sfr", "weights"))
