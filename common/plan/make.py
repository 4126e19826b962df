"""Decides the settings of a training from a cohort's fingerprint, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.annotations.scan_dataset import SHARE_OF_MEMORY
from common.plan.decision import Decision, by, size_text
from common.plan.fingerprint import Fingerprint, Triple
from common.plan.fit import CPU_VOXELS, USABLE, Fit, fit, median_size
from common.plan.intensities import intensity_decision
from common.plan.machine import Machine
from common.plan.patch import Patch, margin, share_of_scan, stride
from common.plan.prompts import views, widening
from common.plan.recipe import Recipe
from common.plan.spacing import coarser, differing_scans, option, spacing_decision, thick_axis, usual_spacing

CPU_ITERATIONS = 2_000
"""Length of a training on a CPU; longer ones were not measured."""

IN_PLANE = (0, 1)
"""Axes along which the bundles mirror and turn patches."""


@dataclass(frozen=True)
class Plan:
    """All decisions for one bundle.

    Attributes:
        bundle: The bundle's name.
        decisions: The decisions, in the order in which they were made.
        resample: What ``prepare --spacing`` has to be given before the plan holds; None if the cohort is as it should.
    """

    bundle: str
    decisions: tuple[Decision, ...]
    resample: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of all decisions, by id."""
        return {name: value for decision in self.decisions for name, value in decision.settings.items()}


def make_plan(fingerprint: Fingerprint, recipe: Recipe, machine: Machine, *, annotation: str | None = None) -> Plan:
    """Decides everything that a bundle's training depends on and a cohort tells.

    Args:
        fingerprint: The cohort.
        recipe: The bundle.
        machine: Where the training will run.
        annotation: ``slices`` or ``dense``: whether slices are annotated, or whole scans; by default what the bundle
            is for, and ``slices`` if the cohort's labels are annotated in part only.

    Raises:
        ValueError: If the bundle cannot take the images, or the device's memory is too small for the smallest patch.
    """
    if fingerprint.channels > 1 and not recipe.knows("channels"):
        raise ValueError(
            f"{recipe.bundle} takes images of one channel, found {fingerprint.channels}; choose another bundle, or "
            "prepare the cohort with one of them."
        )
    kind = annotation or ("slices" if fingerprint.sparse else recipe.annotation)
    sparse = kind == "slices"
    target, reason = usual_spacing(fingerprint)
    found = fit(fingerprint, recipe, machine, spacing=target, sparse=sparse)
    size = median_size(fingerprint, target)
    if wider := coarser(target, size, found.patch):
        reason = (
            f"coarser than {by(target)} mm, {reason}: there the largest patch that is taken, {by(found.patch)} voxels, "
            f"holds {share_of_scan(found.patch, size):.1%} of a scan; an eighth shows it the surroundings"
        )
        target = wider
        found = fit(fingerprint, recipe, machine, spacing=target, sparse=sparse)
        size = median_size(fingerprint, target)
    decisions = [
        _classes(fingerprint),
        _channels(fingerprint, recipe),
        _annotation(kind, given=annotation is not None, fingerprint=fingerprint, recipe=recipe),
        spacing_decision(fingerprint, target, reason),
        intensity_decision(fingerprint),
        *_network(found, recipe, machine),
        _patch(found, recipe, machine, size, sparse=sparse),
        _margin(found.patch, size, sparse=sparse) if recipe.knows("margin") else None,
        _stride(found.patch, fingerprint.sizes_at(target).max(axis=0)),
        _batch(found, recipe, machine),
        _iterations(recipe, machine),
        _budget(fingerprint, recipe) if recipe.knows("prompted_views") else None,
        _augmentation(fingerprint) if recipe.knows("augmentation") else None,
        widening(fingerprint, target) if recipe.knows("widen_mm") else None,
        views(size) if recipe.knows("prompted_views") else None,
        _thick_slices(target, found.patch, size),
        _cache(fingerprint, machine),
    ]
    resample = option(target) if differing_scans(fingerprint, target) else None
    return Plan(recipe.bundle, tuple(decision for decision in decisions if decision is not None), resample)


def _classes(fingerprint: Fingerprint) -> Decision:
    names = ", ".join(fingerprint.classes.values())
    return Decision("classes", str(fingerprint.num_classes), f"The background and, by the datalist: {names}.")


def _channels(fingerprint: Fingerprint, recipe: Recipe) -> Decision:
    settings = {"channels": fingerprint.channels} if recipe.knows("channels") else {}
    return Decision("channels", str(fingerprint.channels), "All images of the cohort have as many.", settings)


def _annotation(kind: str, *, given: bool, fingerprint: Fingerprint, recipe: Recipe) -> Decision:
    if given:
        reason = "Given as --annotation."
    elif fingerprint.sparse:
        reason = f"{fingerprint.sparse} of {fingerprint.read} scans that were read have voxels that are not annotated."
    else:
        reason = f"That is what {recipe.bundle} learns from; --annotation says otherwise."
    return Decision("annotation", kind, reason)


def _network(found: Fit, recipe: Recipe, machine: Machine) -> list[Decision]:
    network = recipe.network
    if network is None or not network.widths:
        return []
    if found.width == network.width:
        reason = "The paper's width."
    elif machine.slow:
        reason = "A narrow network, since a CPU trains it; a GPU would take the paper's 16."
    else:
        reason = f"Narrower than the paper's {network.width}, for the sake of a patch of at least half the wanted size."
    decisions = [Decision("width of the network", str(found.width), reason, {network.setting: found.width})]
    if found.width < network.width:
        reason = (
            f"With half of {found.width} channels dropped at a time, a narrow network hardly learns: left atria and "
            "hippocampi were segmented far better without."
        )
        decisions.append(Decision("dropout", "none", reason, {network.dropout: 0.0}))
    return decisions


def _patch(found: Fit, recipe: Recipe, machine: Machine, size: Triple, *, sparse: bool) -> Decision:
    share = "two thirds of a scan" if sparse else "a whole scan"
    rounded = "up to" if sparse else "to"
    reason = (
        f"Wanted: {by(found.wanted)}, {share} of {by(size)} voxels, rounded {rounded} multiples of {recipe.divisor}"
    )
    limit = "" if found.patch == found.wanted else f"; {_limit(recipe, machine)}"
    memory = f" A step takes about {size_text(found.taken)}." if found.taken else ""
    return Decision("patch", f"{by(found.patch)} voxels", f"{reason}{limit}.{memory}", {"roi_size": list(found.patch)})


def _limit(recipe: Recipe, machine: Machine) -> str:
    """Why a patch is smaller than wanted."""
    if recipe.network is None:
        return "this is the largest whose slices fit into one image of SAM"
    if machine.slow and recipe.network.widths:
        return f"a CPU trains on {CPU_VOXELS:,} voxels in hours, and on more in days"
    return f"the memory, or the bundle's own patch of {by(recipe.config['roi_size'])}, allows no more"


def _margin(patch: Patch, size: Triple, *, sparse: bool) -> Decision:
    found = margin(patch, size, sparse=sparse)
    if not sparse:
        reason = "Dense labels need no shifted patches."
    elif any(found):
        reason = (
            "Scans are padded on each side, so that a patch's place varies by half of its length along every axis: a "
            "network that always sees the annotated slices at one place of its patches learns that place."
        )
    else:
        reason = "The patch's place varies by half of its length along every axis as it is."
    return Decision("margin", f"{by(found)} voxels", reason, {"margin": list(found)})


def _stride(patch: Patch, largest: Any) -> Decision:
    found = stride(patch, largest)
    reason = "Windows overlap by half"
    if any(step == side for step, side in zip(found, patch, strict=True)):
        reason += ", but not along an axis where every scan fits into one"
    return Decision("stride", f"{by(found)} voxels", f"{reason}.", {"stride": list(found)})


def _batch(found: Fit, recipe: Recipe, machine: Machine) -> Decision:
    usual = recipe.batch()
    room = f"{size_text(machine.memory * USABLE)} of the device's memory may be taken"
    reason = f"{recipe.bundle}'s own; {room}." if found.batch == usual else f"Halved, since {room}."
    settings = {"batch_labelled": found.batch[0], "batch_unlabelled": found.batch[1]} if found.batch != usual else {}
    return Decision("batch", f"{found.batch[0]} annotated and {found.batch[1]} other patches", reason, settings)


def _iterations(recipe: Recipe, machine: Machine) -> Decision:
    usual = recipe.config["max_iterations"]
    number = min(usual, CPU_ITERATIONS) if machine.slow else usual
    reason = f"{recipe.bundle}'s own." if number == usual else f"On a CPU; {recipe.bundle}'s own {usual:,} take a GPU."
    settings: dict[str, Any] = {"max_iterations": number}
    if recipe.knows("ramp_up"):
        settings["ramp_up"] = number
    return Decision("iterations", f"{number:,}", reason, settings)


def _budget(fingerprint: Fingerprint, recipe: Recipe) -> Decision:
    usual, there = recipe.config["budget"], fingerprint.training
    settings: Mapping[str, Any] = {"budget": min(usual, there)}
    if fingerprint.labelled == there:
        reason = "All training scans have a label, from which slices are taken as if a person had drawn them (oracle)."
    else:
        settings = {**settings, "annotator": "folder"}
        reason = f"{there - fingerprint.labelled} of {there} training scans have no label: people are asked (folder)."
    return Decision("annotated scans", f"{min(usual, there)} of {there}", reason, settings)


def _augmentation(fingerprint: Fingerprint) -> Decision | None:
    axes = [axis for axis in fingerprint.directed if axis in IN_PLANE]
    if not axes:
        return None
    along = " and ".join(("left to right", "back to front")[axis] for axis in axes)
    return Decision(
        "mirrored patches",
        "none",
        f"Classes of like intensities always lie in the same order from {along}; a mirrored patch would call one the "
        "other.",
        {"augmentation": False},
    )


def _thick_slices(spacing: Triple, patch: Patch, size: Triple) -> Decision | None:
    axis = thick_axis(spacing)
    if axis is None:
        return None
    ratio = spacing[axis] / max(side for other, side in enumerate(spacing) if other != axis)
    return Decision(
        "thick slices",
        f"{spacing[axis]:g} mm along {('right', 'anterior', 'superior')[axis]}",
        f"They are {ratio:.2g} times as thick as their pixels are long, and are not interpolated; a patch has "
        f"{patch[axis]} of a scan's {size[axis]:g}.",
    )


def _cache(fingerprint: Fingerprint, machine: Machine) -> Decision:
    room = int(machine.images * SHARE_OF_MEMORY)
    fits = fingerprint.image_bytes <= room
    return Decision(
        "images kept",
        "in memory" if fits else "on the disk of the output folder",
        f"They take {size_text(fingerprint.image_bytes)}, and {size_text(room)} of main memory may hold them; the "
        "training sees to it by itself.",
    )
