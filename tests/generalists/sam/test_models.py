from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from common import weights
from common.generalists import EmbeddedGeneralist, Prompts, SamGeneralist, open_generalist
from common.generalists.embedded.generalist import load_prompt_unet
from common.generalists.sam.models import KINDS, SamKind, build_vit_sam, load_sam, recognise


def parameters(model: nn.Module) -> float:
    """Number of parameters in millions."""
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6


@pytest.fixture(scope="module")
def mobile_sam(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, str]:
    torch.manual_seed(0)
    model = KINDS["mobile_sam"].build()
    file = tmp_path_factory.mktemp("weights") / "mobile.pt"
    torch.save(model.state_dict(), file)
    return model, str(file)


@pytest.mark.parametrize(
    ("kind", "millions"),
    [("mobile_sam", 10.1), ("sam_vit_b", 93.7), ("sam_vit_l", 312.3), ("sam_vit_h", 641.1), ("lite_medsam", 9.8)],
)
def test_sizes_are_the_published_ones(kind: str, millions: float) -> None:
    with torch.device("meta"):
        model = KINDS[kind].build()
    assert parameters(model) == pytest.approx(millions, abs=0.1)
    assert recognise(model.state_dict()).startswith(kind)


def test_state_dict_is_segment_anythings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's own builder gives the same names and shapes."""
    from importlib import import_module, util
    from types import ModuleType

    package = ModuleType("segment_anything")
    package.__path__ = util.find_spec("segment_anything").submodule_search_locations
    monkeypatch.setitem(sys.modules, "segment_anything", package)
    with torch.device("meta"):
        theirs = import_module("segment_anything.build_sam").build_sam_vit_b().state_dict()
        ours = KINDS["sam_vit_b"].build().state_dict()
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}


def test_checkpoint_goes_in_and_comes_out(mobile_sam: tuple[nn.Module, str]) -> None:
    model, file = mobile_sam
    loaded = load_sam("mobile_sam", file)
    assert not loaded.training and not any(it.requires_grad for it in loaded.parameters())
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_a_checkpoint_of_several_processes(mobile_sam: tuple[nn.Module, str], tmp_path) -> None:
    sam, _ = mobile_sam
    torch.save({f"module.{name}": value for name, value in sam.state_dict().items()}, tmp_path / "sam.pt")
    loaded = load_sam("mobile_sam", tmp_path / "sam.pt").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in sam.state_dict().items())


def test_one_slice_through_mobile_sam(mobile_sam: tuple[nn.Module, str]) -> None:
    generalist = open_generalist("mobile_sam", checkpoint=mobile_sam[1], slices_per_pass=16)
    assert isinstance(generalist, SamGeneralist)
    prompts = Prompts(
        boxes=torch.tensor([[2.0, 3.0, 20.0, 30.0]]),
        points=torch.tensor([[[9.0, 9.0]]]),
        point_labels=torch.ones(1, 1, dtype=torch.long),
        slice_index=torch.tensor([1]),
        classes=torch.tensor([1]),
    )
    found = generalist.segment(torch.rand(2, 32, 24), prompts, (1.0, 1.0))
    assert found.shape == (1, 32, 24) and 0 <= found.min() <= found.max() <= 1


class TestWrongWeights:
    def test_of_another_kind(self, mobile_sam: tuple[nn.Module, str]) -> None:
        with pytest.raises(ValueError, match="expected the weights of sam_vit_b, found what looks like mobile_sam: "):
            load_sam("sam_vit_b", mobile_sam[1])

    def test_of_the_embedded_generalist(self, tmp_path) -> None:
        torch.save(load_prompt_unet().state_dict(), tmp_path / "unet.pt")
        with pytest.raises(ValueError, match="looks like the embedded generalist"):
            load_sam("mobile_sam", tmp_path / "unet.pt")

    def test_of_something_else(self, tmp_path) -> None:
        torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pt")
        with pytest.raises(ValueError, match=r"known kinds: \d+ tensors are missing .*2 tensors are unknown"):
            load_sam("mobile_sam", tmp_path / "linear.pt")

    def test_that_would_run_code(self, tmp_path) -> None:
        torch.save(nn.Linear(2, 2), tmp_path / "pickled.pt")
        with pytest.raises(ValueError, match="plain tensors, found one that does not load"):
            load_sam("mobile_sam", tmp_path / "pickled.pt")

    def test_truncated(self, mobile_sam: tuple[nn.Module, str], tmp_path) -> None:
        with open(mobile_sam[1], "rb") as file:
            (tmp_path / "half.pt").write_bytes(file.read(1_000_000))
        with pytest.raises(ValueError, match="does not load"):
            load_sam("mobile_sam", tmp_path / "half.pt")

    def test_no_file(self, tmp_path) -> None:
        with pytest.raises(FileNotFoundError, match="no such checkpoint; `python -m common weights fetch mobile_sam`"):
            load_sam("mobile_sam", tmp_path / "none.pt")

    def test_not_fetched(self, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(weights.WEIGHTS_DIR_VARIABLE, str(tmp_path))
        with pytest.raises(FileNotFoundError, match=r"weights fetch medsam.*put it at .*medsam_vit_b.pth"):
            open_generalist("medsam")


class TestOpening:
    def test_embedded_is_the_default(self) -> None:
        assert isinstance(open_generalist(), EmbeddedGeneralist)

    def test_random_numbers_stay_as_they_were(self, mobile_sam):
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        open_generalist()
        open_generalist("mobile_sam", checkpoint=mobile_sam[1])
        torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)

    def test_unknown(self) -> None:
        with pytest.raises(ValueError, match=r"generalist must be one of embedded, mobile_sam, .*, got 'sam'"):
            open_generalist("sam")

    def test_settings_of_sam_are_refused_for_the_embedded_one(self) -> None:
        with pytest.raises(ValueError, match="slices_per_pass and embedding_cache are for the SAM family"):
            open_generalist(slices_per_pass=4)

    def test_usage_follows_the_kind(self, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
        small = build_vit_sam(32, 1, 2, (0,), 64)
        torch.save({"model": small.state_dict()}, tmp_path / "small.pt")
        kind = SamKind(lambda: build_vit_sam(32, 1, 2, (0,), 64), KINDS["medsam"].usage)
        monkeypatch.setitem(KINDS, "medsam", kind)
        generalist = open_generalist("medsam", checkpoint=tmp_path / "small.pt", embedding_cache=tmp_path / "cache")
        assert isinstance(generalist, SamGeneralist)
        assert generalist.usage.stretch and generalist.cache is not None and generalist.side == 64


def test_a_broken_torchvision_does_no_harm(tmp_path) -> None:
    """It is not needed, and a later `import segment_anything` still fails as it would without this package."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from common.generalists.sam.models import build_vit_sam\n"
        "build_vit_sam(32, 1, 2, (0,), 64)\n"
        "assert 'segment_anything' not in sys.modules\n"
        "try:\n    import segment_anything\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torchvision::nms" in result.stdout
