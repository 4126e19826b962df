"""Fusion of views."""

from collections import Counter

import pytest
import torch

from common.generalists import FUSIONS, fusion, majority_vote, mean, unanimous


def random_views(views=3, classes=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(views, classes, 3, 4, 5, generator=generator).softmax(dim=1)


def by_hand(views, name, abstain):
    """Fuses voxel by voxel, as the definitions say."""
    label = torch.zeros(views.shape[2:], dtype=torch.uint8)
    for voxel in torch.cartesian_prod(*(torch.arange(n) for n in views.shape[2:])).tolist():
        probabilities = views[(slice(None), slice(None), *voxel)]
        choices = [int(p.argmax()) for p in probabilities]
        average = probabilities.mean(dim=0)
        agreed = len(set(choices)) == 1
        if name == "majority":
            most = max(Counter(choices).values())
            tied = [c for c, votes in Counter(choices).items() if votes == most]
            value = max(tied, key=lambda c: average[c].item())
        elif name == "unanimous":
            value = choices[0] if agreed else 0
        else:
            value = int(average.argmax())
        label[tuple(voxel)] = 255 if abstain and not agreed else value
    return label


@pytest.mark.parametrize("name", list(FUSIONS))
@pytest.mark.parametrize("abstain", [False, True])
@pytest.mark.parametrize(("views", "classes"), [(3, 2), (3, 4), (2, 2), (1, 3)])
def test_equals_the_definition(name, abstain, views, classes):
    given = random_views(views, classes)
    found = fusion(name)(given, abstain=abstain)
    assert found.dtype == torch.uint8
    assert torch.equal(found, by_hand(given, name, abstain))


def test_two_views_against_one():
    # foreground probabilities 0.1, 0.6, 0.7: two views say foreground, their mean says background
    foreground = torch.tensor([0.1, 0.6, 0.7]).view(3, 1, 1, 1, 1)
    views = torch.cat([1 - foreground, foreground], dim=1)
    assert [f(views).item() for f in (majority_vote, unanimous, mean)] == [1, 0, 0]
    assert [f(views, abstain=True).item() for f in (majority_vote, unanimous, mean)] == [255, 255, 255]


def test_unanimous_foreground_is_part_of_majority():
    views = random_views()
    assert ((unanimous(views) == 1) <= (majority_vote(views) == 1)).all()


def test_unknown_name():
    with pytest.raises(ValueError, match="majority, unanimous, mean, got 'median'"):
        fusion("median")


def test_bad_shape():
    with pytest.raises(ValueError, match="views must be probabilities"):
        majority_vote(torch.zeros(2, 4, 4, 4))
