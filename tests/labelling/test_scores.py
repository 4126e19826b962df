"""Scores of a study's scans: all strategies in one pass, kept until the model or the image changes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from common.annotations import middle_slices
from common.cohort.volumes import to_ras
from common.labelling import Scores, score_scans
from common.labelling.specialist import PredictedScan
from common.query import STRATEGIES, Prediction
from tests.samples import save

LPS = np.diag([-1.0, -1.0, 2.0, 1.0])


class Model:
    """A specialist whose predictions are drawn by the image's name."""

    channels = 1

    def __init__(self, identity="first", features=True):
        self.identity = identity
        self.features = features
        self.seen = []

    def predict(self, image):
        self.seen.append(Path(image).name)
        if "broken" in Path(image).name:
            raise ValueError("it is broken")
        generator = torch.Generator().manual_seed(len(Path(image).name))
        probabilities = torch.rand((2, 6, 7, 8), generator=generator).softmax(dim=0)
        if "infinite" in Path(image).name:
            probabilities[0, 0, 0, 0] = torch.nan
        features = torch.rand((3, 6, 7, 8), generator=generator) if self.features else None
        label = probabilities.argmax(dim=0).numpy().astype(np.uint8)
        return PredictedScan(label, LPS, Prediction(probabilities, features))


@pytest.fixture
def images(tmp_path):
    names = ("a", "bb", "ccc")
    return {name: save(tmp_path / f"{name}.nii.gz", np.ones((6, 7, 8), np.float32), LPS) for name in names}


def test_every_strategy_in_one_pass(images, tmp_path):
    model = Model()
    scores = score_scans(model, images, tmp_path / "scores.json", progress=0.25)
    assert model.seen == ["a.nii.gz", "bb.nii.gz", "ccc.nii.gz"]
    assert scores.progress == 0.25
    for scan, image in images.items():
        predicted = Model().predict(image)
        for name, kind in STRATEGIES.items():
            if not kind.needs_adaptation:
                expected = kind().assess(predicted.prediction, progress=0.25)
                assert scores.scans[scan].measures[name] == pytest.approx(expected)
        assert scores.scans[scan].features == pytest.approx(predicted.prediction.pooled.tolist())
        assert scores.scans[scan].slices == middle_slices(to_ras(predicted.label, LPS)[0])


def test_kept_until_the_model_or_an_image_changes(images, tmp_path):
    first = score_scans(Model(), images, tmp_path / "scores.json", progress=0.25)
    again = Model()
    assert score_scans(again, images, tmp_path / "scores.json", progress=0.5) == first
    assert again.seen == []
    save(images["bb"], np.zeros((6, 7, 8), np.float32), LPS)
    score_scans(again, images, tmp_path / "scores.json")
    assert again.seen == ["bb.nii.gz"]
    other = Model("second")
    assert score_scans(other, images, tmp_path / "scores.json", progress=0.5).progress == 0.5
    assert len(other.seen) == 3


def test_an_interrupted_pass_goes_on_where_it_was(images, tmp_path):
    class Interrupted(Model):
        def predict(self, image):
            if len(self.seen) == 2:
                raise KeyboardInterrupt
            return super().predict(image)

    with pytest.raises(KeyboardInterrupt):
        score_scans(Interrupted(), images, tmp_path / "scores.json")
    model = Model()
    score_scans(model, images, tmp_path / "scores.json")
    assert model.seen == ["ccc.nii.gz"]


def test_broken_scans_are_named_and_the_rest_goes_on(images, tmp_path):
    images["broken"] = save(tmp_path / "broken.nii.gz", np.ones((6, 7, 8), np.float32))
    images["infinite"] = save(tmp_path / "infinite.nii.gz", np.ones((6, 7, 8), np.float32))
    images["nan"] = save(tmp_path / "nan.nii.gz", np.full((6, 7, 8), np.nan, np.float32))
    images["text"] = tmp_path / "text.nii.gz"
    images["text"].write_text("no image")
    images["gone"] = tmp_path / "gone.nii.gz"
    scores = score_scans(Model(), images, tmp_path / "scores.json")
    assert set(scores.problems) == {"broken", "infinite", "nan", "text", "gone"}
    for scan, problem in scores.problems.items():
        assert f"{scan}.nii.gz" in problem
    assert "finite" in scores.problems["infinite"]
    assert Scores.read(tmp_path / "scores.json") == scores


def test_a_network_without_features_does_without_those_strategies(images, tmp_path):
    scores = score_scans(Model(features=False), images, tmp_path / "scores.json")
    assert "her" in scores.scans["a"].measures
    assert "coreset" not in scores.scans["a"].measures


def test_a_damaged_cache_is_made_again(images, tmp_path):
    score_scans(Model(), images, tmp_path / "scores.json")
    (tmp_path / "scores.json").write_text('{"model": "first", "scans": [1]}')
    model = Model()
    score_scans(model, images, tmp_path / "scores.json")
    assert len(model.seen) == 3
