"""The benchmark of generalists, with generalists whose answers can be worked out by hand."""

import json

import generalist_quality
import numpy as np
import pytest
import torch
from generalist_quality import dice, fused, main, measured, parsed_widening, teachers
from scan_results import ScanResult, append_result, markdown_table, read_results
from scans import LabelledScan

from tests.benchmarks.test_scans import LPS
from tests.generalists.stand_ins import BoxGeneralist
from tests.samples import save

BLOCK = slice(6, 18)


class DoubtfulGeneralist:
    """Answers with a quarter of certainty inside the box."""

    def segment(self, images, prompts, spacing):
        return BoxGeneralist().segment(images, prompts, spacing) / 4


@pytest.fixture
def stand_ins(monkeypatch):
    opened = []
    known = {"box": BoxGeneralist(), "doubtful": DoubtfulGeneralist(), "embedded": BoxGeneralist()}

    def open_generalist(name, device, **settings):
        opened.append((name, settings))
        return known[name]

    monkeypatch.setattr(generalist_quality, "open_generalist", open_generalist)
    return opened


def block_scan(classes=1):
    label = np.zeros((24, 24, 24), np.uint8)
    label[BLOCK, BLOCK, BLOCK] = 1
    label[12:18, BLOCK, BLOCK] = classes
    return LabelledScan("block", label.astype(np.float32), label, (1.0, 1.0, 1.0))


def cohort(folder, scans=2):
    items = []
    for number in range(scans):
        scan = block_scan(classes=2)
        save(folder / f"image_{number}.nii.gz", scan.image, LPS)
        save(folder / f"label_{number}.nii.gz", scan.label, LPS)
        items.append({"image": f"image_{number}.nii.gz", "label": f"label_{number}.nii.gz"})
    (folder / "datalist.json").write_text(json.dumps({"training": [], "validation": items}))
    return str(folder)


def by_key(rows):
    return {tuple(key): number for *key, number in rows}


def test_two_generalists_and_their_joint_vote_by_hand():
    """The box is the block itself; where three views of one are sure and three doubt, the higher mean (0.625) wins."""
    models = {"box": BoxGeneralist(), "doubtful": DoubtfulGeneralist()}
    found = by_key(measured(block_scan(classes=2), models, (0.0, 0.0), seed=0, propagate=False))
    for label in ("axial", "coronal", "sagittal", "majority", "unanimous", "mean", "where views agree"):
        assert found["true", "box", label] == 1
    for label in ("axial", "coronal", "sagittal", "majority", "unanimous", "mean"):
        assert found["true", "doubtful", label] == 0
    joint = {label: found["true", "box+doubtful", label] for label in ("majority", "mean", "unanimous")}
    assert joint == {"majority": 1, "mean": 1, "unanimous": 0}
    assert found["true", "none", "prompting mask itself"] == 1
    # Voxels farther than 2.5 mm from the outside: the inner 8 of 12 along each axis.
    assert found["eroded", "none", "prompting mask itself"] == pytest.approx(2 * 8**3 / (8**3 + 12**3))
    assert found["eroded", "box", "majority"] == pytest.approx(2 * 8**3 / (8**3 + 12**3))


def test_boxes_widened_by_a_fixed_distance_by_hand():
    """Two millimetres more on each side in the plane: 16 of 24 along both axes, on the 12 slices of the block."""
    found = by_key(measured(block_scan(), {"box": BoxGeneralist()}, (2.0, 2.0), seed=0, propagate=False))
    assert found["true", "box", "axial"] == pytest.approx(2 * 12**3 / (12**3 + 16 * 16 * 12))


def test_the_vote_of_six_views_by_hand():
    """One voxel of truth. Four of six views choose it: majority and mean (0.6), but no unanimity."""
    foreground = torch.tensor([0.9, 0.9, 0.9, 0.9, 0.0, 0.0]).view(6, 1, 1, 1, 1)
    views = torch.cat([1 - foreground, foreground], dim=1)
    truth = np.ones((1, 1, 1), bool)
    assert fused(views, truth) == {"majority": 1, "unanimous": 0, "mean": 1, "where views agree": 1}


def test_dice_by_hand():
    assert dice(np.array([True, True, False]), np.array([True, False, False])) == pytest.approx(2 / 3)
    assert dice(np.zeros(3, bool), np.zeros(3, bool)) == 1


def test_degraded_masks_depend_on_the_seed_alone():
    truth = block_scan().label > 0
    first, again, other = (teachers(truth, (1.0, 1.0, 1.0), seed)["ragged"] for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def test_milder_degradation_by_hand():
    """Eroded by 1 mm: voxels farther than that from the outside, the inner 10 of 12 along each axis."""
    truth = block_scan().label > 0
    assert teachers(truth, (1.0, 1.0, 1.0), seed=0, degradation=0.4)["eroded"].sum() == 10**3
    # By 2.5 mm and with voxels of 2 mm: the inner 10 too, since the second voxel is 4 mm inside.
    assert teachers(truth, (2.0, 2.0, 2.0), seed=0)["eroded"].sum() == 10**3


def test_classes_are_merged_for_the_propagation():
    """From three annotated slices of two classes, the walks with the box itself find the whole block."""
    found = by_key(measured(block_scan(classes=2), {"box": BoxGeneralist()}, (0.0, 0.0), seed=0))
    assert found["cross-label", "box", "propagated"] > 0.8


@pytest.mark.parametrize(
    ("given", "expected"),
    [("tight", (0.0, 0.0)), ([0.0, 6.25], (0.0, 6.25)), ((0, 0), (0.0, 0.0)), (["1", "2"], (1.0, 2.0))],
)
def test_widening(given, expected):
    assert parsed_widening(given) == expected


@pytest.mark.parametrize("given", ["loose", [1], [2, 1], [-1, 1], 3, None, [float("nan"), 1]])
def test_bad_widening(given):
    with pytest.raises(ValueError, match="widen_mm must be tight, or two distances in mm"):
        parsed_widening(given)


def test_an_interrupted_run_resumes(tmp_path, stand_ins, monkeypatch, capsys):
    """Scans that are not RAS, of two classes: the second run measures the second scan alone."""
    data, results, table = cohort(tmp_path), tmp_path / "out" / "results.jsonl", tmp_path / "table.md"
    settings = {"generalist": "box+doubtful", "widen_mm": "tight", "results": str(results), "seed": 5}
    main(data, number=1, **settings)
    assert len(read_results(results)) == 1

    seeds = []
    unspied = generalist_quality.measured
    monkeypatch.setattr(generalist_quality, "measured", lambda *given: seeds.append(given[3]) or unspied(*given))
    capsys.readouterr()
    main(data, table=str(table), **settings)
    assert seeds == [6]
    assert [each.scan for each in read_results(results)] == ["image_0.nii.gz", "image_1.nii.gz"]
    printed = capsys.readouterr().out
    assert printed == table.read_text()
    today = read_results(results)[0].date
    assert printed.splitlines()[0] == (
        f"2 validation scans of {data}, box+doubtful, boxes widened by 0 to 0 mm, slices_per_pass 1, "
        f"degradation 1, seed 5, {today}"
    )
    assert "| true | box+doubtful | majority | 1.000 | 0.000 | 1.000 |" in printed

    main(data, **settings | {"widen_mm": [0, 1]})
    assert seeds == [6, 5, 6]
    assert len(read_results(results)) == 4


def test_settings_of_sams_encoder_are_not_for_the_embedded_one(tmp_path, stand_ins):
    main(cohort(tmp_path, 1), generalist="embedded+box", slices_per_pass=16, propagate="false")
    assert stand_ins == [
        ("embedded", {"checkpoint": None}),
        ("box", {"checkpoint": None, "slices_per_pass": 16, "embedding_cache": None}),
    ]


@pytest.mark.parametrize(
    "settings", [{"generalist": "box+box"}, {"generalist": "box+doubtful", "checkpoint": "mine.pt"}]
)
def test_generalists_that_make_no_sense(tmp_path, stand_ins, settings):
    with pytest.raises(ValueError, match=r"generalist must be names joined by \+, each once"):
        main(str(tmp_path), **settings)


def test_a_table_by_hand():
    rows = [[["true", "box", "mean", number]] for number in (0.5, 0.9)]
    results = [ScanResult({}, str(number), "2026-01-31", row) for number, row in enumerate(rows)]
    assert markdown_table(results).splitlines()[2:] == ["| true | box | mean | 0.700 | 0.200 | 0.500 |"]


def test_results_as_they_were_written(tmp_path):
    result = ScanResult({"seed": 0}, "a", "2026-01-31", [["true", "box", "mean", 0.1]])
    append_result(tmp_path / "results.jsonl", result)
    append_result(tmp_path / "results.jsonl", result)
    assert read_results(tmp_path / "results.jsonl") == [result, result]
    with open(tmp_path / "results.jsonl", "a") as file:
        file.write('{"settings": {"see')
    with pytest.raises(ValueError, match=r"results\.jsonl: expected a scan's results in line 3, found .*Delete that"):
        read_results(tmp_path / "results.jsonl")
    assert read_results(tmp_path / "none.jsonl") == []
