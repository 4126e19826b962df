"""What the random turns and mirrorings of a config do to a patch, against every outcome of the published way."""

from collections import Counter

import numpy as np
import torch
from monai.transforms import Compose


def assert_turned_and_mirrored(transforms, *, square=True):
    """Patches come out as after 0 to 3 quarter turns, then a mirroring along the first or second axis, all alike often.

    Args:
        transforms: Transforms of dictionaries with an image, an annotation and a pseudo-label.
        square: Whether the patch is square in its plane; otherwise only half turns are expected.
    """
    patch = np.arange(8 if square else 12).reshape(2, 2 if square else 3, 2)
    turns = range(4) if square else (0, 2)
    expected = Counter(np.flip(np.rot90(patch, k), axis).tobytes() for k in turns for axis in (0, 1))
    chain = Compose(transforms).set_random_state(0)
    found = Counter()
    for _ in range(400):
        item = chain({key: torch.from_numpy(patch)[None].clone() for key in ("image", "annotation", "pseudo_label")})
        assert torch.equal(item["image"], item["annotation"]) and torch.equal(item["image"], item["pseudo_label"])
        found[np.ascontiguousarray(item["image"][0]).tobytes()] += 1
    assert found.keys() == expected.keys()
    assert all(abs(number - 400 / len(expected)) < 50 for number in found.values())
