"""Whole plans: worked out by hand for a few cohorts, and by their properties for many."""

import itertools
import math
from dataclasses import replace

import pytest

from common.commands.bundles import check_stage
from common.plan import Machine, make_plan
from common.plan.memory import VNET, training_bytes
from tests.plan.made_up import BUNDLES, CPU, GPU, fingerprint, recipe

HIPPOCAMPI = fingerprint(
    classes={1: "anterior", 2: "posterior"},
    spacings=((1, 1, 1),) * 3,
    sizes=((34, 50, 35), (35, 51, 35), (41, 58, 47)),
    volumes_mm3={1: 1_700, 2: 1_600},
    directed=(1,),
)
TUMOURS = fingerprint(
    classes={1: "whole tumour"},
    channels=4,
    spacings=((1, 1, 1),) * 3,
    sizes=((240, 240, 155),) * 3,
    background=0.8,
    empty_is_zero=True,
    volumes_mm3={1: 100_000},
)
KNEES = fingerprint(spacings=((0.5, 0.5, 4),) * 3, sizes=((320, 320, 7),) * 3)
ABDOMINA = fingerprint(
    modality="ct",
    window=(-160, 240, 60, 40),
    spacings=((0.8, 0.8, 1.5), (0.7, 0.7, 1), (0.9, 0.9, 5)),
    sizes=((512, 512, 200), (512, 512, 350), (512, 512, 90)),
    labelled=20,
)


def decided(plan, name):
    return next(it for it in plan.decisions if it.name == name)


def test_atria_on_a_gpu():
    settings = make_plan(fingerprint(), recipe(), GPU).settings
    # Two thirds of the scan, rounded up: 128 x 96 x 64, 786,432 voxels, fewer than the paper's 1,003,520.
    assert settings["roi_size"] == [128, 96, 64]
    # (192 - 183) / 2, (144 - 140) / 2, (96 - 88) / 2.
    assert settings["margin"] == [5, 2, 4]
    assert settings["stride"] == [64, 48, 32]
    assert settings["network_def#width"] == 16 and settings["max_iterations"] == 20_000
    assert "network_def#dropout" not in settings
    assert settings["budget"] == 20 and "annotator" not in settings
    # A sphere of 60 ml has a diameter of 48.6 mm.
    assert settings["widen_mm"] == [0.0, 6.1] and settings["prompted_views"] == "all"
    assert settings["window"] is None and settings["nonzero"] is False
    assert "batch_labelled" not in settings and "augmentation" not in settings


def test_hippocampi_on_a_cpu():
    settings = make_plan(HIPPOCAMPI, recipe(), CPU).settings
    assert settings["roi_size"] == [32, 48, 32]
    assert settings["margin"] == [7, 11, 7]
    assert settings["network_def#width"] == 8 and settings["max_iterations"] == 2_000
    assert settings["network_def#dropout"] == 0
    # 1,600 mm3: 14.5 mm.
    assert settings["widen_mm"] == [0.0, 1.8]
    assert settings["augmentation"] is False


def test_dense_labels_need_no_shifted_patches():
    settings = make_plan(HIPPOCAMPI, recipe(), CPU, annotation="dense").settings
    assert settings["roi_size"] == [32, 48, 32] and settings["margin"] == [0, 0, 0]
    assert make_plan(fingerprint(sparse=3), recipe("sfr_retrain"), GPU).settings["margin"] != [0, 0, 0]
    assert make_plan(fingerprint(), recipe("sfr_retrain"), GPU).settings["margin"] == [0, 0, 0]


def test_tumours_are_made_coarser_for_a_cpu():
    plan = make_plan(TUMOURS, recipe("fmabs_brats"), CPU)
    # 48^3 of 240 x 240 x 155 is 1.24 %: an eighth needs voxels 2.16 times as long.
    assert decided(plan, "spacing").value == "2.2 x 2.2 x 2.2 mm"
    assert "--spacing 2.2," in decided(plan, "spacing").reason and plan.resample == "2.2"
    assert plan.settings["roi_size"] == [48, 48, 48]
    assert plan.settings["channels"] == 4 and plan.settings["nonzero"] is True
    gpu = make_plan(TUMOURS, recipe("fmabs_brats"), GPU)
    assert decided(gpu, "spacing").value == "1 x 1 x 1 mm"


def test_thick_slices():
    plan = make_plan(KNEES, recipe(), GPU)
    assert decided(plan, "thick slices").value == "4 mm along superior"
    assert plan.settings["roi_size"][2] == 16
    # 24 - 7, half of it.
    assert plan.settings["margin"][2] == 9
    assert plan.settings["prompted_views"] == "axial"
    assert not any(it.name == "thick slices" for it in make_plan(fingerprint(), recipe(), GPU).decisions)


def test_ct_of_several_spacings_whose_scans_are_labelled_in_part():
    plan = make_plan(ABDOMINA, recipe(), GPU)
    assert plan.settings["window"] == [-160, 240, 60, 40]
    assert plan.settings["annotator"] == "folder"
    assert "prepare the cohort again with --spacing" in decided(plan, "spacing").reason


def test_less_memory_takes_smaller_batches_then_a_narrower_network():
    found = {}
    for memory in (24, 4, 2, 1, 0.3):
        settings = make_plan(fingerprint(), recipe(), Machine("cuda", int(memory * 1e9), 10**10)).settings
        batch = settings.get("batch_labelled", 2), settings.get("batch_unlabelled", 2)
        found[memory] = batch, settings["network_def#width"], math.prod(settings["roi_size"])
        assert (
            training_bytes(
                VNET,
                patch=settings["roi_size"],
                batch=sum(batch),
                width=settings["network_def#width"],
                channels=1,
                classes=2,
            )
            <= 0.8 * memory * 1e9
        )
    assert found[24][:2] == found[4][:2] == ((2, 2), 16)
    assert found[2][:2] == ((1, 1), 16)
    assert found[1][:2] == ((1, 1), 16) or found[1][:2] == ((1, 1), 8)
    assert found[0.3][1] == 4
    assert all(voxels >= 128 * 96 * 64 / 2 for memory, (_, _, voxels) in found.items() if memory > 0.3)


@pytest.mark.parametrize("bundle", [name for name in BUNDLES if name != "sfr_stitch_finetune"])
def test_too_little_memory_names_the_smallest_patch(bundle):
    with pytest.raises(ValueError, match=r"memory_gb must be at least [0-9.]+ for the smallest patch .*got 0\.001"):
        make_plan(fingerprint(), recipe(bundle), replace(GPU, memory=10**6))


def test_the_memory_that_is_named_is_enough():
    with pytest.raises(ValueError, match="memory_gb must be at least") as caught:
        make_plan(HIPPOCAMPI, recipe(), replace(GPU, memory=10**6))
    enough = float(str(caught.value).split("at least ")[1].split()[0])
    plan = make_plan(HIPPOCAMPI, recipe(), replace(GPU, memory=int(enough * 1e9)))
    assert plan.settings["network_def#width"] == 4 and plan.settings["batch_labelled"] == 1
    with pytest.raises(ValueError, match="memory_gb must be at least"):
        make_plan(HIPPOCAMPI, recipe(), replace(GPU, memory=int((enough - 0.02) * 1e9)))


def test_a_bundle_of_one_channel():
    with pytest.raises(ValueError, match="sfr_stitch_finetune takes images of one channel, found 4"):
        make_plan(TUMOURS, recipe("sfr_stitch_finetune"), GPU)


def test_fewer_scans_than_the_bundle_annotates():
    assert make_plan(fingerprint(training=7, labelled=7), recipe(), GPU).settings["budget"] == 7


def test_images_larger_than_memory_are_kept_on_the_disk():
    assert decided(make_plan(fingerprint(), recipe(), GPU), "images kept").value == "in memory"
    small = replace(GPU, images=10**9)
    assert decided(make_plan(fingerprint(), recipe(), small), "images kept").value == "on the disk of the output folder"


SIZES = [(183, 140, 88), (35, 51, 35), (512, 512, 12), (20, 300, 300), (9, 9, 9), (700, 600, 500)]
SPACINGS = [(0.625, 0.625, 0.625), (0.7, 0.7, 5), (4, 1, 1)]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_every_plan_passes_the_bundles_own_checks(bundle):
    own = recipe(bundle)
    for size, spacing, machine, sparse in itertools.product(
        SIZES, SPACINGS, (CPU, GPU, replace(GPU, memory=10**9 * 6)), (0, 5)
    ):
        channels = 1 if bundle == "sfr_stitch_finetune" else 2
        made = fingerprint(sizes=[size] * 2, spacings=[spacing] * 2, sparse=sparse, channels=channels, directed=(0,))
        if math.prod(size) > 10**8:  # a whole scan may not fit
            made = replace(made, sizes=[tuple(side / 2 for side in size)] * 2)
        settings = make_plan(made, own, machine).settings
        check_stage(bundle, "train", settings)
        assert all(side % own.divisor == 0 for side in settings["roi_size"])
        assert bundle != "assft_adapt" or max(settings["roi_size"]) > 32
        assert math.prod(settings["roi_size"]) <= max(own.patch_voxels, 64 * 32 * 32) or own.network is None


@pytest.mark.parametrize("bundle", BUNDLES)
def test_every_decision_has_a_value_and_a_reason_that_is_a_sentence(bundle):
    for decision in make_plan(fingerprint(directed=(0, 1)), recipe(bundle), GPU).decisions:
        assert decision.value and decision.reason.endswith(".")
        # MONAI would take these for references.
        assert not set("$@") & set(decision.reason + decision.value)
