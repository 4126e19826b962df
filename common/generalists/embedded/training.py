"""Trains PromptUNet, the embedded generalist's network, on procedurally generated scenes alone.

`python -m common.generalists.embedded.training --seed 0 --steps 5200 --output prompt_unet.pt` reproduces the shipped
weights (in about 35 minutes on one CPU core). If it is interrupted, the same command resumes from `OUTPUT.checkpoint`.
Every step has a seed of its own, so that a resumed run sees the same scenes as an uninterrupted one.
"""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from common.engines.precision import autocast
from common.files import replacing
from common.generalists.embedded.crops import CropFrames, cut
from common.generalists.embedded.prompt_unet import CROP_SIZE, PromptUNet, prompted_crops
from common.generalists.embedded.scenes import one_component, random_scenes, smooth_fields
from common.generalists.prompts import Prompts

logger = logging.getLogger(__name__)

_POINTS = 8


def spoil(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Spoils masks as an imperfect teacher would: eroded, dilated, ragged, with parts missing or added.

    Args:
        masks: True masks `[B, 1, S, S]` of 0 and 1.
        generator: Random generator on the CPU.

    Returns:
        Connected masks of the same shape; a mask of which too little would be left stays as it is.
    """
    batch, _, size, _ = masks.shape

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(batch, 1, 1, 1, generator=generator) * (high - low) + low

    near, far = F.avg_pool2d(masks, 5, 1, 2), F.avg_pool2d(F.avg_pool2d(masks, 9, 1, 4), 5, 1, 2)
    soft = torch.lerp(near, far, uniform(0, 1))
    length = torch.exp(torch.rand(batch, 3, generator=generator) * 1.4 + 1.1)
    length[:, 2] *= 4
    fields = smooth_fields(length, size, generator)
    ragged = soft + uniform(0, 0.3) * fields[:, 0:1] > uniform(0.15, 0.85)
    leak = (far > 0.05) & (fields[:, 1:2] > uniform(0.3, 1.5)) & (uniform(0, 1) < 0.4)
    missing = (fields[:, 2:3] > uniform(0.3, 1.5)) & (uniform(0, 1) < 0.4)
    spoilt = one_component(((ragged | leak) & ~missing).float(), generator)
    return torch.where(spoilt.sum(dim=(2, 3), keepdim=True) >= 6, spoilt, masks)


def boxes_of(masks: Tensor) -> Tensor:
    """Bounding boxes `[B, 4]` (XYXY, half-open) of non-empty masks `[B, 1, S, S]`."""
    first, last = [], []
    for other_axis in (1, 2):
        occupied = masks[:, 0].amax(dim=other_axis) > 0
        position = torch.arange(occupied.shape[1])
        first.append(torch.where(occupied, position, occupied.shape[1]).amin(dim=1))
        last.append(torch.where(occupied, position + 1, 0).amax(dim=1))
    return torch.stack([*first, *last], dim=1).float()


def simulated_prompts(masks: Tensor, generator: torch.Generator) -> Prompts:
    """Draws a prompt for each object, half of them from spoilt masks: a widened box and points in and around it.

    Args:
        masks: True masks `[B, 1, S, S]`.
        generator: Random generator on the CPU.
    """
    batch, _, size, _ = masks.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(batch, *shape, generator=generator)

    teacher = torch.where(uniform(1, 1, 1) < 0.5, spoil(masks, generator), masks)
    boxes = boxes_of(teacher)
    widening = uniform(4) * (1 + 9 * uniform(1)) * (size / 80)
    boxes = (boxes + widening * torch.tensor([-1.0, -1.0, 1.0, 1.0])).clamp(0, size)

    def draw_pixels(weights: Tensor, number: int) -> Tensor:
        flat = torch.multinomial(weights.flatten(1) + 1e-12, number, replacement=True, generator=generator)
        return torch.stack([flat % size, flat // size], dim=-1).float()

    around = F.max_pool2d(masks, 15, 1, 7) - masks
    points = torch.cat([draw_pixels(teacher, _POINTS), draw_pixels(around, 3)], dim=1)
    usual = uniform(1) < 0.5
    positive = torch.where(usual, torch.tensor(5.0), (uniform(1) * (_POINTS + 0.3)).ceil().clamp(max=_POINTS))
    positive = torch.where(uniform(1) < 0.03, torch.zeros(()), positive)
    negative = torch.where(uniform(1) < 0.25, (uniform(1) * 3).ceil(), torch.zeros(()))
    labels = torch.cat(
        [
            torch.where(torch.arange(_POINTS) < positive, 1, -1),
            torch.where(torch.arange(3) < negative, 0, -1),
        ],
        dim=1,
    )
    index = torch.arange(batch)
    return Prompts(boxes, points, labels, index, torch.ones_like(index))


def training_batch(number: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draws scenes by a seed: network inputs `[B, 4, S, S]` and target masks `[B, 1, S, S]`."""
    generator = torch.Generator().manual_seed(seed)
    scenes = random_scenes(number, generator)
    prompts = simulated_prompts(scenes.masks, generator)
    frames = CropFrames.around(prompts.boxes, CROP_SIZE)
    target = cut(scenes.masks[:, 0], frames)
    return prompted_crops(scenes.images[:, 0], prompts, frames), ((target[0] * target[1]) > 0.5).float()[:, None]


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """The loss: soft Dice per crop plus binary cross-entropy, in float32."""
    logits = logits.float()
    probability = logits.sigmoid()
    overlap = (probability * target).sum(dim=(1, 2, 3))
    total = probability.sum(dim=(1, 2, 3)) + target.sum(dim=(1, 2, 3))
    dice = (1 - (2 * overlap + 1) / (total + 1)).mean()
    return dice + F.binary_cross_entropy_with_logits(logits, target)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """The learning rate at a step: linear warm-up over 100 steps, times half a cosine down to 1 % of the peak."""
    warm = min(1.0, (step + 1) / 100)
    return peak * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _save(content: dict, path: Path) -> None:
    with replacing(path) as temporary:
        torch.save(content, temporary)


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """The network's state as a plain dictionary of float16 tensors, without counters."""
    return {k: v.detach().half().contiguous() for k, v in network.state_dict().items() if v.is_floating_point()}


def train(
    output: str,
    seed: int = 0,
    steps: int = 5200,
    batch_size: int = 32,
    peak_learning_rate: float = 3e-3,
    checkpoint_every: int = 250,
    stop_after: int | None = None,
) -> None:
    """Trains the network and writes its weights.

    Args:
        output: File that the weights are written to.
        seed: Seed of the initial weights and all scenes.
        steps: Number of optimiser steps.
        batch_size: Number of scenes per step.
        peak_learning_rate: Largest learning rate of AdamW.
        checkpoint_every: Number of steps between checkpoints.
        stop_after: Number of steps after which to stop early; the same command without it resumes.
    """
    torch.manual_seed(seed)
    network = PromptUNet()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.998), use_buffers=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=peak_learning_rate, weight_decay=0.01)
    target = Path(output)
    checkpoint = target.with_name(target.name + ".checkpoint")
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
        logger.info("resuming after step %d from %s", first, checkpoint)

    def save(step: int) -> None:
        state = {"network": network.state_dict(), "average": average.state_dict(), "step": step}
        _save(state | {"optimiser": optimiser.state_dict()}, checkpoint)
        _save(weights_of(average.module), target)

    network.train()
    running: list[Tensor] = []
    started = time.perf_counter()
    last = min(steps, stop_after or steps)
    for step in range(first, last):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, peak_learning_rate)
        inputs, masks = training_batch(batch_size, seed * 1_000_003 + step + 1)
        with autocast("cpu", "bf16"):
            logits = network(inputs.contiguous(memory_format=torch.channels_last))
        loss = mask_loss(logits, masks)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        average.update_parameters(network)
        running.append(loss.detach())
        if (step + 1) % 50 == 0:
            mean = torch.stack(running).mean().item()
            pace = (time.perf_counter() - started) / (step + 1 - first)
            logger.info("step %d/%d loss %.4f, %.3f s per step", step + 1, steps, mean, pace)
            running.clear()
        if (step + 1) % checkpoint_every == 0 or step + 1 == last:
            save(step + 1)


if __name__ == "__main__":
    import fire

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    fire.Fire(train)
