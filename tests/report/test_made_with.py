"""How a run was made: its sessions, commands, settings, versions and hardware."""

from __future__ import annotations

from dataclasses import replace

from common.report import RunRecord, Story, page
from common.report.results_sections import cost
from tests.report.pages import Text, entry, section

TITLE = "How it was made"
SESSION = {
    "stage": "training",
    "command": "python -m monai.bundle run training --seed 3",
    "folder": "/home/somebody",
    "seed": 3,
    "config": {"max_iterations": 2000, "network_def#width": 8},
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "hardware": {"processor": "AMD EPYC", "memory": 24 * 2**30, "gpu": None},
    "processes": 2,
    "started": "2026-01-02T03:04:05+00:00",
    "complete": False,
    "seconds": 3725.4,
    "iterations": [0, 1500],
    "peak_memory": 1_230_000_000,
    "peak_gpu_memory": None,
}
RESUMED = SESSION | {
    "started": "2026-01-03T00:00:00+00:00",
    "complete": True,
    "seconds": 61,
    "iterations": [1500, 2000],
    "versions": {"python": "3.11.7", "torch": "2.14.0"},
    "peak_gpu_memory": 8_000_000_000,
}
RUN = RunRecord("run", "Run", sessions=(SESSION, RESUMED))


def test_sessions() -> None:
    rows = Text(section(RUN, TITLE)).rows
    time = ["training", "2026-01-02 03:04:05", "1 h 02 min", "0 to 1,500", "1.23 GB", "–", "2", "stopped"]
    assert time in rows
    assert ["training", "2026-01-03 00:00:00", "1 min 01 s", "1,500 to 2,000", "1.23 GB", "8.00 GB", "2", ""] in rows


def test_the_command_is_there_once_with_seed_and_settings() -> None:
    shown = Text(section(RUN, TITLE))
    assert shown.text.count("python -m monai.bundle run training --seed 3") == 1
    assert "cd /home/somebody" in shown.text and "Seed 3." in shown.text
    assert ["max_iterations", "2,000"] in shown.rows and ["network_def#width", "8"] in shown.rows


def test_versions_that_differ_are_beside_each_other() -> None:
    text = Text(section(RUN, TITLE)).text
    assert "python 3.11.7 " in text and "torch 2.13.0; 2.14.0" in text
    assert "memory 24 GiB" in text and "gpu" not in text


def test_runs_are_named_where_there_are_several() -> None:
    text = Text(page(Story("Title", (RUN, replace(RUN, title="Other", sessions=(SESSION,)))))).text
    assert "Command of the training: Run" in text and "Command of the training: Other" in text


def test_no_record_and_little_of_one() -> None:
    assert section(replace(RUN, sessions=()), TITLE) == ""
    assert ["training", "–", "–", "– to –", "–", "–", "–", "stopped"] in Text(
        section(replace(RUN, sessions=({"stage": "training"},)), TITLE)
    ).rows


def test_the_cost_of_annotation() -> None:
    dense = replace(entry("case_3", 1), slices=None, voxels=4000)
    run = replace(RUN, ledger=(entry("case_1", 0), entry("case_2", 0), dense))
    assert cost(run) == {"scans": 3, "dense": 1, "slices": 6, "voxels": 2 * 1234 + 4000}
    assert cost(RUN) == {}
