"""Which precision is taken where."""

import pytest
import torch

from common.engines import autocast, best_precision


def test_patches_for_which_the_cpu_has_no_right_bf16_gradients():
    assert best_precision("cpu", [32, 48, 64]) == "fp32"
    assert best_precision("cpu", [16, 48, 64]) == "fp32"
    assert best_precision("cpu", [48, 32, 32]) == best_precision("cpu")


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast(precision, dtype):
    with autocast("cpu", precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_unknown_precision():
    with pytest.raises(ValueError, match="fp32, bf16, fp16, got 'half'"):
        autocast("cpu", "half")
