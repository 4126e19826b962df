import numpy as np
import pytest
import torch

from common.transforms import SwapBoxes

SIZE = (6, 9, 12)


@pytest.fixture
def batch():
    """Two annotated patches, then three others; every voxel of the batch has a number of its own."""
    images = torch.arange(5 * 2 * 6 * 9 * 12, dtype=torch.float32).reshape(5, 2, *SIZE)
    annotation = torch.full((5, 1, *SIZE), 255, dtype=torch.uint8)
    pseudo_label = annotation.clone()
    annotation[:2], pseudo_label[2:] = 1, 2
    return {"image": images, "annotation": annotation, "pseudo_label": pseudo_label, "scan": list("abcde")}


def test_each_voxel_by_a_plain_loop(batch):
    swap = SwapBoxes(["image", "annotation", "pseudo_label"], batch_labelled=2, share=0.5, seed=3)
    mixed = swap(batch, 11)
    boxes = swap.boxes(11, number=2, size=SIZE)
    partner = {0: 2, 2: 0, 1: 3, 3: 1}
    for key in ("image", "annotation", "pseudo_label"):
        for patch in range(5):
            box = boxes[patch % 2]
            for place in np.ndindex(SIZE):
                inside = patch in partner and all(
                    side.start <= at < side.stop for side, at in zip(box, place, strict=True)
                )
                source = partner[patch] if inside else patch
                at = (slice(None), *place)
                assert torch.equal(mixed[key][(patch, *at)], batch[key][(source, *at)])
    assert mixed["scan"] == list("abcde")


def test_annotations_and_pseudo_labels_move_with_their_voxels_and_share_none(batch):
    mixed = SwapBoxes(["image", "annotation", "pseudo_label"], batch_labelled=2)(batch, 0)
    annotated, taught = mixed["annotation"] != 255, mixed["pseudo_label"] != 255
    assert torch.equal(annotated, ~taught)
    # 2/3 of (6, 9, 12) is (4, 6, 8).
    assert annotated.flatten(1).sum(dim=1).tolist() == [648 - 192] * 2 + [192] * 2 + [0]


def test_twice_is_as_before_and_nothing_given_is_written_to(batch):
    before = {key: batch[key].clone() for key in ("image", "annotation")}
    swap = SwapBoxes(["image", "annotation"], batch_labelled=2, seed=1)
    back = swap(swap(batch, 5), 5)
    for key, image in before.items():
        assert torch.equal(batch[key], image)
        assert torch.equal(back[key], image)
        assert not torch.equal(swap(batch, 5)[key], image)


def test_places_depend_on_seed_and_iteration_alone_and_reach_every_corner():
    swap = SwapBoxes(["image"], batch_labelled=1, share=0.5, seed=1)
    boxes = [swap.boxes(iteration, number=1, size=(4, 4, 4))[0] for iteration in range(400)]
    assert boxes == [
        SwapBoxes([], batch_labelled=9, share=0.5, seed=1).boxes(it, number=1, size=(4, 4, 4))[0] for it in range(400)
    ]
    assert boxes != [
        SwapBoxes([], batch_labelled=1, share=0.5, seed=2).boxes(it, number=1, size=(4, 4, 4))[0] for it in range(400)
    ]
    assert {tuple(side.start for side in box) for box in boxes} == set(np.ndindex(3, 3, 3))
    assert all(side.stop - side.start == 2 for box in boxes for side in box)


@pytest.mark.parametrize(("patches", "labelled"), [(2, 2), (1, 2), (3, 0)])
def test_patches_without_a_partner_stay_as_they_are(patches, labelled):
    images = torch.rand(patches, 1, 4, 4, 4)
    assert torch.equal(SwapBoxes(["image"], batch_labelled=labelled)({"image": images}, 0)["image"], images)


def test_a_thin_patch_has_a_box_of_one_voxel():
    (box,) = SwapBoxes(["image"], batch_labelled=1, share=0.1).boxes(0, number=1, size=(8, 8, 2))
    assert [side.stop - side.start for side in box] == [1, 1, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_labelled": -1}, "batch_labelled must be 0 or more, got -1"),
        ({"batch_labelled": 1, "share": 0}, "share must lie between 0 and 1, got 0"),
        ({"batch_labelled": 1, "share": 1.0}, "share must lie between 0 and 1, got 1.0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        SwapBoxes(["image"], **settings)


def test_classes_that_were_annotated_move_with_their_annotations(batch):
    """Of class 1 nothing is known in the second patch, of class 2 nothing in the third, its partner's partner."""
    batch["annotation_classes"] = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 1, 0], [1, 1, 1], [1, 0, 1]])
    swap = SwapBoxes(["image", "annotation"], batch_labelled=2, share=0.5, seed=3)
    mixed = swap(batch, 4)["annotation_classes"]
    boxes = swap.boxes(4, number=2, size=SIZE)
    assert mixed.shape == (5, 3, *SIZE)
    for patch, partner in {0: 2, 2: 0, 1: 3, 3: 1, 4: 4}.items():
        expected = batch["annotation_classes"][patch][:, None, None, None].repeat(1, *SIZE)
        box = (slice(None), *boxes[patch % 2])
        if patch != partner:
            expected[box] = batch["annotation_classes"][partner][:, None, None, None]
        assert torch.equal(mixed[patch], expected)
    again = swap(swap(batch, 4), 4)["annotation_classes"]
    assert torch.equal(again[..., 0, 0, 0], batch["annotation_classes"])
