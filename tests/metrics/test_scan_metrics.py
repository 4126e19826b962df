import csv
import json

import ignite.distributed as idist
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.transforms import AsDiscreted

from common.metrics import ScanMetrics

LABELS = {"1": "atrium", "2": "ventricle"}


class Echo(torch.nn.Module):
    """Predicts the classes that the image spells out."""

    def forward(self, image):
        return torch.cat([(image == index).float() for index in range(3)], dim=1)


def scan(name, prediction, label, spacing=(0.5, 0.5, 2.0)):
    meta = {"filename_or_obj": f"/data/{name}.nii.gz"}
    affine = np.diag([*spacing, 1.0])
    image = MetaTensor(torch.tensor(prediction)[None].float(), affine=affine, meta=meta)
    return {"image": image, "label": MetaTensor(torch.tensor(label)[None], affine=affine, meta=meta)}


@pytest.fixture
def scans():
    label = np.zeros((6, 6, 6), np.uint8)
    label[1:3, 2, 2] = 1
    label[4, 4, 1:5] = 2
    shifted = np.roll(label, 1, axis=2)
    return [scan("one", shifted, label), scan("two", np.where(label == 2, 0, label), label)]


def evaluate(scans, handler):
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(scans), batch_size=1),
        network=Echo(),
        postprocessing=AsDiscreted(keys="pred", argmax=True),
        val_handlers=[handler],
    )
    evaluator.run()
    return evaluator


def test_a_monai_evaluator(scans, tmp_path):
    evaluator = evaluate(scans, ScanMetrics(tmp_path / "new", LABELS))

    with open(tmp_path / "new" / "metrics.csv", newline="") as file:
        rows = {(row["scan"], row["class"]): row for row in csv.DictReader(file)}
    assert list(rows) == [(name, label) for name in ("one", "two") for label in ("atrium", "ventricle")]
    assert rows["one", "atrium"] == {
        "scan": "one",
        "class": "atrium",
        "dice": "0",
        "jaccard": "0",
        "hd95_voxel": "1",
        "asd_voxel": "1",
        "hd95_mm": "2",
        "asd_mm": "2",
        "missing": "0",
    }
    assert rows["one", "ventricle"]["dice"] == "0.75"
    assert rows["two", "atrium"]["dice"] == "1"
    assert rows["two", "ventricle"]["missing"] == "1"
    assert rows["two", "ventricle"]["hd95_mm"] == ""

    summary = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert summary["scans"] == 2
    assert summary["classes"]["ventricle"]["missing"] == 1
    assert summary["mean"]["dice"]["mean"] == pytest.approx((0.375 + 0.5) / 2)
    assert evaluator.state.metrics["dice"] == pytest.approx((0.375 + 0.5) / 2)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["metrics.csv", "metrics.json"]


def evaluate_own_scans(rank, scans, folder):
    """The first process has one scan, the second has both, as a sampler that pads gives them."""
    evaluator = evaluate(scans[1 - rank :], ScanMetrics(folder, LABELS))
    (folder / f"{rank}.json").write_text(json.dumps(evaluator.state.metrics))


@pytest.mark.slow
def test_processes_put_their_scans_together(scans, tmp_path):
    evaluate(scans, ScanMetrics(tmp_path / "alone", LABELS))
    (tmp_path / "together").mkdir()
    idist.spawn("gloo", evaluate_own_scans, (scans, tmp_path / "together"), nproc_per_node=2)
    for name in ("metrics.csv", "metrics.json"):
        assert (tmp_path / "together" / name).read_text() == (tmp_path / "alone" / name).read_text()
    means = [json.loads((tmp_path / "together" / f"{rank}.json").read_text()) for rank in range(2)]
    assert means[0] == means[1]
    assert means[0]["dice"] == pytest.approx((0.375 + 0.5) / 2)


def test_a_second_run_forgets_the_first(scans, tmp_path):
    handler = ScanMetrics(tmp_path, LABELS)
    evaluate(scans, handler)
    evaluate(scans[:1], handler)
    assert json.loads((tmp_path / "metrics.json").read_text())["scans"] == 1


def test_one_hot_input_ids_and_spacing_of_ones_own(tmp_path):
    label = torch.zeros(1, 4, 4, 4)
    label[0, 1, 1, 1:3] = 1
    one_hot = torch.cat([1 - label, label])
    engine = Engine(lambda engine, batch: batch)
    handler = ScanMetrics(
        tmp_path,
        {1: "atrium"},
        output_transform=lambda output: [(output, one_hot)],
        scan_transform=lambda batch: ["mine"],
        spacing=(1.0, 1.0, 3.0),
    )
    handler.attach(engine)
    engine.run([one_hot.roll(1, dims=3)])
    assert handler.scores["mine"]["atrium"]["hd95_mm"] == pytest.approx(3.0)


def test_the_scan_entry_names_the_scan(scans, tmp_path):
    handler = ScanMetrics(tmp_path, LABELS)
    evaluate([item | {"scan": f"patient {number}"} for number, item in enumerate(scans)], handler)
    assert list(handler.scores) == ["patient 0", "patient 1"]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2))], "no affine"),
        (
            [(MetaTensor(torch.zeros(1, 2, 2, 3)), MetaTensor(torch.zeros(1, 2, 2, 2)))],
            "expected a prediction of shape",
        ),
        ([(MetaTensor(torch.zeros(1, 2, 2, 2)),) * 2] * 2, "came twice"),
    ],
)
def test_bad_volumes(tmp_path, pairs, message):
    engine = Engine(lambda engine, batch: batch)
    handler = ScanMetrics(
        tmp_path, LABELS, output_transform=lambda output: output, scan_transform=lambda batch: ["a"] * len(batch)
    )
    handler.attach(engine)
    with pytest.raises(ValueError, match=message):
        engine.run([pairs])
    assert not list(tmp_path.iterdir())


def test_no_labels(tmp_path):
    with pytest.raises(ValueError, match="at least one class"):
        ScanMetrics(tmp_path, {"0": "background"})
