"""Models of the SAM family as generalists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from common.engines.precision import PRECISIONS, autocast, best_precision
from common.files import digest
from common.generalists.checks import require_finite
from common.generalists.prompts import Prompts
from common.generalists.sam.canvas import Canvas
from common.generalists.sam.decoder import PromptDecoder
from common.generalists.sam.embeddings import EmbeddingCache
from common.generalists.sam.models import state_digest
from common.generalists.sam.padded import PaddedEncoder
from common.generalists.sam.tiny_vit import TinyViT
from common.generalists.sam.usage import SAM, Usage

PREPARATION = "1"
"""Version of how slices are prepared: raise it with every change, so that the cache does not return old embeddings."""


class SamGeneralist:
    """A model of the SAM family as a `Generalist`, prompted as in FM-ABS by a box and points for each object.

    Each slice is scaled to 0..255 by its own range and enlarged to the model's input. Of the three masks, the one with
    the highest predicted IoU is taken (`Usage` says what MedSAM and LiteMedSAM do instead). Slices and prompts are
    processed in batches, which may hold prompts on several slices; the results are those of
    `segment_anything.SamPredictor` (or of the model's own script) applied to each slice.

    Args:
        model: A `segment_anything.modeling.Sam`, for instance by `load_sam`; it is moved to the device.
        device: Device that it runs on.
        usage: How the model expects its input and prompts; by default as the original SAM does.
        precision: `fp32`, `bf16` or `fp16`; by default the fastest that the device computes natively.
        slices_per_pass: Most slices of a view that share one pass of the encoder, a square number. Neighbouring slices
            lie in a grid; fewer share a pass if they would have to be shrunk. The decoder sees a prompt's own slice
            alone.
        encoder_batch: Number of images per pass of the encoder, which bounds memory.
        decoder_batch: Number of prompts per pass of the decoder, which bounds memory.
        cache: Cache that keeps the encoder's results for later rounds; by default none.

    Raises:
        ValueError: If a setting makes no sense.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device | str = "cpu",
        *,
        usage: Usage | None = None,
        precision: str | None = None,
        slices_per_pass: int = 1,
        encoder_batch: int | None = None,
        decoder_batch: int | None = None,
        cache: EmbeddingCache | None = None,
    ) -> None:
        self.device = torch.device(device)
        on_gpu = self.device.type == "cuda"
        self.encoder_batch = (8 if on_gpu else 1) if encoder_batch is None else encoder_batch
        self.decoder_batch = (64 if on_gpu else 4) if decoder_batch is None else decoder_batch
        if self.encoder_batch < 1 or self.decoder_batch < 1:
            raise ValueError(
                f"encoder_batch and decoder_batch must be at least 1, got {encoder_batch} and {decoder_batch}"
            )
        self.precision = precision or best_precision(self.device)
        autocast(self.device, self.precision)
        self.model: Any = model.to(self.device).eval().requires_grad_(False)
        encoder = self.model.image_encoder
        self._padded = PaddedEncoder(encoder) if isinstance(encoder, TinyViT) and not on_gpu else None
        self.usage = usage or SAM
        self.slices_per_pass = slices_per_pass
        prompt_encoder: Any = model.prompt_encoder
        dtype = PRECISIONS[self.precision] or torch.float32
        self._decoder = PromptDecoder(self.model.mask_decoder, prompt_encoder.get_dense_pe(), dtype)
        self.side = int(prompt_encoder.input_image_size[0])
        self._embedding_shape = (prompt_encoder.embed_dim, *prompt_encoder.image_embedding_size)
        self._token = self.side // self._embedding_shape[1]
        self.cache = cache
        self.canvas((1, 1))

    def canvas(self, shape: tuple[int, int]) -> Canvas:
        """The canvas on which slices of a shape lie for the encoder."""
        return Canvas.fitting(self.side, shape, self.slices_per_pass, usage=self.usage, token=self._token)

    @torch.inference_mode()
    def segment(self, images: Tensor, prompts: Prompts, spacing: tuple[float, float] = (1.0, 1.0)) -> Tensor:
        """Segments the prompted objects, see `Generalist.segment`.

        Boxes are clipped to the slice and points outside it are ignored. An object whose box lies outside the slice
        gets probability 0 everywhere.

        Raises:
            ValueError: If a slice with prompts has NaN or infinite intensities.
        """
        shape = (images.shape[1], images.shape[2])
        found = torch.zeros((len(prompts), *shape), device=images.device)
        canvas = self.canvas(shape)
        inside, kept = _clipped(prompts.to("cpu"), shape)
        if not len(inside):
            return found
        for chosen, embeddings in self._with_embeddings(images, inside.slice_index // canvas.slices, canvas):
            for part in _with_equally_many_points(inside.point_labels[chosen], self.decoder_batch):
                masks = self._decode(embeddings[part], inside[chosen[part]], canvas)
                found[kept[chosen[part]]] = masks.to(found)
        return found

    def _with_embeddings(self, images: Tensor, passes: Tensor, canvas: Canvas) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields positions of some of the prompts and the embedding of the canvas of each, until all have been given.

        Args:
            images: Slices `[S, Hs, Ws]`.
            passes: Number of each prompt's canvas, `[P]`.
            canvas: Canvas that slices lie on.
        """
        wanted = passes.unique()
        key = self._key(images, canvas) if self.cache else ""
        for batch in wanted.split(max(self.encoder_batch, self.decoder_batch)):
            numbers = batch.tolist()
            known = self.cache.load(key, self._embedding_shape, numbers) if self.cache else {}
            missing = torch.tensor([number for number in numbers if number not in known])
            for some in missing.split(self.encoder_batch) if len(missing) else ():
                encoded = self._encode(images, some, canvas)
                # Halved at once if there is a cache, so that the first round sees the same values as later ones.
                fresh = dict(zip(some.tolist(), encoded.half() if self.cache else encoded, strict=True))
                if self.cache:
                    self.cache.save(key, fresh)
                known |= fresh
            embeddings = torch.stack([known[number].to(self.device) for number in numbers]).float()
            chosen = torch.isin(passes, batch).nonzero()[:, 0]
            for some in chosen.split(self.decoder_batch * 4):
                yield some, embeddings[torch.searchsorted(batch, passes[some]).to(self.device)]

    def _encode(self, images: Tensor, passes: Tensor, canvas: Canvas) -> Tensor:
        """Encodes canvases, given by number: float32 `[N, 256, side / token, side / token]`."""
        index = (passes[:, None] * canvas.slices + torch.arange(canvas.slices)).flatten()
        there = index < len(images)
        scaled = self._prepare(images[index[there].to(images.device)].to(self.device, torch.float32), canvas)
        tiles = scaled.new_zeros(len(index), *scaled.shape[1:])
        tiles[there.to(self.device)] = scaled
        image = canvas.lay_out(tiles)
        with autocast(self.device, self.precision):
            embeddings: Tensor = (
                self._padded(image, canvas.covered) if self._padded else self.model.image_encoder(image)
            )
        return embeddings.float()

    def _prepare(self, slices: Tensor, canvas: Canvas) -> Tensor:
        """Scales slices `[S, Hs, Ws]` and their intensities for the encoder: `[S, 3, h, w]`."""
        require_finite(slices)
        grey = canvas.enlarge((255 * _unit_range(slices)).round())
        if self.usage.unit_range:
            return _unit_range(grey)[:, None].expand(-1, 3, -1, -1)
        return (grey[:, None] - self.model.pixel_mean) / self.model.pixel_std

    def _decode(self, embeddings: Tensor, prompts: Prompts, canvas: Canvas) -> Tensor:
        """Decodes prompts with equally many points, each with its canvas's embedding: probabilities `[P, Hs, Ws]`."""
        # Boxes are half-open here, while SAM takes the corner pixels and adds half a pixel itself.
        corners = prompts.boxes.view(-1, 2, 2) - torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        boxes = canvas.move(corners, prompts.slice_index).flatten(1).to(self.device)
        points = None
        if self.usage.points and prompts.points.shape[1]:
            order = (prompts.point_labels == -1).long().argsort(dim=1, stable=True)
            number = int((prompts.point_labels[:1] != -1).sum())
            labels = prompts.point_labels.gather(1, order)[:, :number]
            places = canvas.move(prompts.points, prompts.slice_index).gather(1, order[..., None].expand(-1, -1, 2))
            points = (places[:, :number].to(self.device), labels.to(self.device)) if number else None
        sparse, dense = self.model.prompt_encoder(points=points, boxes=boxes, masks=None)
        images, tiles = embeddings + dense, None
        if canvas.grid > 1:
            images, tiles = canvas.part(images, prompts.slice_index)
        masks, quality = self._decoder(images, sparse, several=self.usage.best_of_three, corners=tiles)
        best = masks[torch.arange(len(masks), device=masks.device), quality.argmax(dim=1)]
        return canvas.fit(best.float())

    def _key(self, images: Tensor, canvas: Canvas) -> str:
        return digest(PREPARATION, self._fingerprint, repr(canvas), self.precision, images)

    @cached_property
    def _fingerprint(self) -> str:
        return state_digest(self.model.state_dict())


def _unit_range(slices: Tensor) -> Tensor:
    """Scales each slice to 0..1 by its own range; a constant slice becomes 0."""
    low, high = slices.amin(dim=(1, 2), keepdim=True), slices.amax(dim=(1, 2), keepdim=True)
    return (slices - low) / (high - low).clamp(min=torch.finfo(slices.dtype).tiny)


def _clipped(prompts: Prompts, shape: tuple[int, int]) -> tuple[Prompts, Tensor]:
    """The prompts whose boxes meet the slice, clipped to it, and their positions among all prompts."""
    limit = torch.tensor([shape[1], shape[0]] * 2, dtype=prompts.boxes.dtype)
    boxes = torch.minimum(prompts.boxes.clamp(min=0), limit)
    kept = (boxes[:, 2:] > boxes[:, :2]).all(dim=1).nonzero()[:, 0]
    outside = ((prompts.points < 0) | (prompts.points >= limit[:2])).any(dim=2)
    labels = prompts.point_labels.masked_fill(outside, -1)
    return replace(prompts, boxes=boxes, point_labels=labels)[kept], kept


def _with_equally_many_points(point_labels: Tensor, size: int) -> Iterator[Tensor]:
    """Yields positions of at most `size` prompts with equally many points, as padding would change SAM's masks."""
    number = (point_labels != -1).sum(dim=1)
    for count in number.unique():
        yield from (number == count).nonzero()[:, 0].split(size)
