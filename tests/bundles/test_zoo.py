"""What the MONAI model zoo checks of a bundle, as far as it needs none of the zoo's own files."""

import json
import os
from pathlib import Path

import pytest
import torch
from monai.bundle import (
    ConfigParser,
    ConfigWorkflow,
    ckpt_export,
    create_workflow,
    onnx_export,
    verify_net_in_out,
)

from tests.bundles.workflows import ROOT

V_NET = {"network_def#width": 4}
FM_ABS = V_NET | {"budget": 3, "initial_share": 0.34, "per_round": 1, "query_span": [0.25, 0.5], "batch_labelled": 1}
SETTINGS = {
    "assft_adapt": {"roi_size": [64, 32, 32]},
    "fmabs_brats": V_NET,
    "fmabs_la": V_NET,
    "sfr_retrain": V_NET,
    "sfr_stitch_finetune": {"image_size": 128, "roi_size": [32, 32, 16]},
}
"""Settings of inference that make the networks small."""
TRAINING = {
    "assft_adapt": {"budget": 2},
    "fmabs_brats": FM_ABS,
    "fmabs_la": FM_ABS,
    "sfr_retrain": V_NET | {"labelled": 1, "missing_pseudo_labels": "skip"},
    "sfr_stitch_finetune": {"labelled": 1, "image_size": 128},
}
"""Settings of training, and so of evaluation, for a cohort of six training scans."""
SIZES = {
    "assft_adapt": [(64, 32, 32)],
    "fmabs_brats": [(16, 16, 16), (48, 16, 32)],
    "fmabs_la": [(16, 16, 16), (48, 16, 32)],
    "sfr_retrain": [(16, 16, 16), (48, 16, 32)],
    "sfr_stitch_finetune": [(16, 16, 16), (48, 40, 32)],
}
"""Sizes in voxels that the exported network is given; the first is what an ONNX network is made for."""


def folder(bundle):
    return ROOT / "bundles" / bundle


def new_network(bundle, settings):
    parser = ConfigParser(ConfigParser.load_config_file(str(folder(bundle) / "configs" / "inference.json")))
    parser.update({"bundle_root": str(folder(bundle)), **settings})
    torch.manual_seed(0)
    return parser.get_parsed_content("network_def").eval()


@pytest.fixture(params=SETTINGS)
def exported(request, tmp_path):
    """A bundle, its network with random weights, and what MONAI's commands for an export are given."""
    bundle = request.param
    network = new_network(bundle, SETTINGS[bundle])
    torch.save(network.state_dict(), tmp_path / "model.pt")
    configs = folder(bundle) / "configs"
    files = {
        "net_id": "network_def",
        "ckpt_file": str(tmp_path / "model.pt"),
        "meta_file": str(configs / "metadata.json"),
        "config_file": str(configs / "inference.json"),
        "bundle_root": str(folder(bundle)),
    }
    return bundle, network, files | SETTINGS[bundle]


def test_torchscript_has_the_same_labels(exported, tmp_path):
    bundle, network, arguments = exported
    ckpt_export(filepath=str(tmp_path / "model.ts"), **arguments)
    script = torch.jit.load(tmp_path / "model.ts")
    with torch.no_grad():
        for size in SIZES[bundle]:
            volume = torch.randn(1, 1, *size)
            logits = network(volume)
            torch.testing.assert_close(script(volume), logits, rtol=0, atol=1e-5)
            assert torch.equal(script(volume).argmax(1), logits.argmax(1))


@pytest.mark.slow
@pytest.mark.parametrize("bundle", SETTINGS)
def test_what_is_shipped_passes_the_checks_in_full(bundle, tmp_path):
    root, weights = folder(bundle), folder(bundle) / "models" / "model.pt"
    if not weights.is_file():
        pytest.skip(f"{weights} is not there")
    metadata = json.loads((root / "configs" / "metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"] and (root / "LICENSE").is_file()
    files = {"meta_file": str(root / "configs" / "metadata.json"), "config_file": str(root / "configs/inference.json")}
    arguments = files | {"net_id": "network_def", "bundle_root": str(root)}
    verify_net_in_out(**arguments)
    ckpt_export(filepath=str(tmp_path / "model.ts"), ckpt_file=str(weights), **arguments)
    assert isinstance(torch.jit.load(tmp_path / "model.ts"), torch.jit.ScriptModule)


@pytest.mark.parametrize("bundle", SETTINGS)
def test_inference_has_its_properties(bundle, cohort_dir, tmp_path):
    configs = folder(bundle) / "configs"
    flow = create_workflow(
        workflow_type="inference",
        config_file=str(configs / "inference.json"),
        meta_file=str(configs / "metadata.json"),
        logging_file=str(configs / "logging.conf"),
        bundle_root=str(folder(bundle)),
        dataset_dir=str(cohort_dir / "images"),
        output_dir=str(tmp_path),
        device="cpu",
    )
    assert not flow.check_properties()


@pytest.mark.slow
def test_onnx_has_the_same_labels_and_one_size(exported, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    pytest.importorskip("onnxscript", reason="PyTorch exports to ONNX with onnxscript, which is not installed")
    bundle, network, arguments = exported
    size = SIZES[bundle][0]
    onnx_export(filepath=str(tmp_path / "model.onnx"), input_shape=[1, 1, *size], **arguments)
    session = runtime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    name, volume = session.get_inputs()[0].name, torch.randn(1, 1, *size)
    with torch.no_grad():
        expected = network(volume)
    (found,) = (torch.from_numpy(it) for it in session.run(None, {name: volume.numpy()}))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert (found.argmax(1) == expected.argmax(1)).float().mean() >= 0.999
    with pytest.raises(Exception, match="invalid dimensions"):
        session.run(None, {name: torch.zeros(1, 1, 2 * size[0], *size[1:]).numpy()})


@pytest.mark.parametrize("bundle", SETTINGS)
def test_evaluation_is_the_training_workflow_with_an_overlay(bundle, cohort_dir, tmp_path):
    output = tmp_path / "run"
    output.mkdir()
    torch.save(new_network(bundle, SETTINGS[bundle]).state_dict(), output / "model.pt")
    roi_size = SETTINGS[bundle].get("roi_size", [32, 32, 32])
    flow = ConfigWorkflow(
        config_file=[str(folder(bundle) / "configs" / f"{name}.json") for name in ("train", "evaluate")],
        meta_file=str(folder(bundle) / "configs" / "metadata.json"),
        logging_file=str(folder(bundle) / "configs" / "logging.conf"),
        workflow_type="train",
        bundle_root=str(folder(bundle)),
        dataset_dir=str(cohort_dir),
        output_dir=str(output),
        device="cpu",
        precision="fp32",
        **{"roi_size": roi_size, "stride": roi_size, "max_iterations": 8, **TRAINING[bundle]},
    )
    flow.initialize()
    assert not flow.check_properties()
    flow.run()
    flow.finalize()
    scores = json.loads((output / "evaluation" / "metrics.json").read_text())
    assert scores["scans"] == 1


@pytest.mark.parametrize("bundle", SETTINGS)
def test_metadata_follow_the_schema(bundle):
    jsonschema = pytest.importorskip("jsonschema")
    file = os.environ.get("MONAI_METADATA_SCHEMA")
    if not file:
        pytest.skip("MONAI_METADATA_SCHEMA does not name the file that `schema` in the metadata refers to")
    metadata = json.loads((folder(bundle) / "configs" / "metadata.json").read_text())
    jsonschema.validate(metadata, json.loads(Path(file).read_text()))


@pytest.mark.parametrize(("iterations", "expected"), [(2000, 600), (600, 600), (599, 599), (4, 4)])
def test_a_short_adaptation_has_a_short_pre_training(iterations, expected):
    file = folder("assft_adapt") / "configs" / "train.json"
    parser = ConfigParser(ConfigParser.load_config_file(str(file)))
    parser["max_iterations"] = iterations
    assert parser.get_parsed_content("pretrain_settings#max_iterations") == expected


@pytest.mark.parametrize(("iterations", "expected"), [(600, 50), (6000, 50), (599, 49), (24, 2), (4, 0)])
def test_a_short_pre_training_has_a_short_warm_up(iterations, expected):
    file = folder("assft_adapt") / "configs" / "pretrain.json"
    parser = ConfigParser(ConfigParser.load_config_file(str(file)))
    parser["max_iterations"] = iterations
    assert parser.get_parsed_content("warm_up") == expected
