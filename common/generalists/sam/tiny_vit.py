"""TinyViT, the image encoder of MobileSAM and LiteMedSAM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from common.generalists.sam.fused import attend, convolve, linear

STRIP = 32
"""Rows whose hidden layer is computed at once: as it is wide, that of a whole image would not be kept in any cache."""


@dataclass(frozen=True)
class Step:
    """A part of the encoder, with what tells how far a pixel of its input can reach in its output.

    Attributes:
        run: Computes the step's output `[B, D, H', W']` from its input `[B, C, H, W]`.
        strides: Stride of each convolution of 3 x 3 pixels, which come one after the other.
        window: Side of the windows, counted from the upper left corner, within which every pixel reaches all others.
    """

    run: Callable[[Tensor], Tensor]
    strides: tuple[int, ...] = ()
    window: int = 1

    def reached(self, rows: int) -> int:
        """How many of the output's first rows depend on the first `rows` of the input (or columns likewise)."""
        rows = -(-rows // self.window) * self.window
        for stride in self.strides:
            rows = -(-(rows + 1) // stride)
        return rows

    def needed(self, rows: int) -> int:
        """How many of the input's first rows decide the first `rows` of the output, which end a window."""
        for stride in reversed(self.strides):
            rows = (rows - 1) * stride + 2
        return rows

    def size(self, rows: int) -> int:
        """Number of the output's rows, given that of the input."""
        for stride in self.strides:
            rows = -(-rows // stride)
        return rows


class TinyViT(nn.Module):
    """An image encoder of mobile convolutions, then attention within windows, and SAM's neck.

    This is TinyViT-5M (Wu et al., ECCV 2022) as MobileSAM (Zhang et al., arXiv 2306.14289) changed it and distilled it
    from SAM's ViT-H: the last merging of patches keeps the resolution, so that a pixel of the embedding stands for
    16 x 16 pixels of the image. The defaults are MobileSAM's, and the names in the state dict are those of its
    `image_encoder`. There is no stochastic depth, since MobileSAM's rate is 0. LiteMedSAM (branch LiteMedSAM of
    github.com/bowang-lab/MedSAM) has `patch=1` and `classes=0`: its first tokens are pixels, so that a pixel of the
    embedding stands for 4 x 4 pixels of the image.

    In low precision (autocast), the first tokens and the changes of resolution are computed in float32 all the same:
    they have no residual path around them, so that their rounding errors would go on into all that follows.

    Images may have any size, though the published weights are for 1024 x 1024 (LiteMedSAM's for 256 x 256). The
    classifier is there, frozen, only because MobileSAM's checkpoint contains it; no output depends on it.

    Args:
        in_channels: Number of channels of the image.
        dims: Number of channels of each stage.
        depths: Number of blocks of each stage.
        heads: Number of attention heads of each stage; the first stage has no attention, and its number is not used.
        windows: Side of each stage's attention windows in tokens; the first stage's is not used.
        out_channels: Number of channels of the embedding.
        expansion: Ratio of a block's hidden channels to its channels.
        patch: Side in pixels of the patches that become the first tokens: 4 or 1.
        classes: Number of outputs of the unused classifier; 0 for none.

    Shapes: From normalised images ``[B, in_channels, H, W]`` to ``[B, out_channels, H/(4 patch), W/(4 patch)]`` with
    four stages (each further one halves the size; fractions are rounded up), in the memory format channels last.

    Raises:
        ValueError: If there are fewer than two stages, the settings differ in number, the heads do not divide the
            channels, or the patches are of another size.
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        dims: Sequence[int] = (64, 128, 160, 320),
        depths: Sequence[int] = (2, 2, 6, 2),
        heads: Sequence[int] = (2, 4, 5, 10),
        windows: Sequence[int] = (7, 7, 14, 7),
        out_channels: int = 256,
        expansion: int = 4,
        patch: int = 4,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        stages = len(dims)
        if stages < 2 or not len(depths) == len(heads) == len(windows) == stages:
            raise ValueError(
                "dims, depths, heads and windows must have one value for each of two or more stages, "
                f"got {stages}, {len(depths)}, {len(heads)} and {len(windows)} values"
            )
        if patch not in (1, 4):
            raise ValueError(f"patch must be 4 (MobileSAM) or 1 (LiteMedSAM), got {patch}")
        self.patch_embed = _PatchEmbedding(in_channels, dims[0], patch)
        self.layers = nn.ModuleList()
        for stage, dim in enumerate(dims):
            blocks: list[nn.Module]
            if stage == 0:
                blocks = [_MobileBlock(dim, expansion) for _ in range(depths[0])]
            else:
                blocks = [_AttentionBlock(dim, heads[stage], windows[stage], expansion) for _ in range(depths[stage])]
            merge = None
            if stage < stages - 1:
                merge = _PatchMerging(dim, dims[stage + 1], stride=2 if stage < stages - 2 else 1)
            self.layers.append(_Stage(blocks, merge))
        if classes:
            self.norm_head = nn.LayerNorm(dims[-1]).requires_grad_(False)
            self.head = nn.Linear(dims[-1], classes).requires_grad_(False)
        self.neck = nn.Sequential(
            nn.Conv2d(dims[-1], out_channels, kernel_size=1, bias=False),
            _ChannelNorm(out_channels, eps=1e-6),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            _ChannelNorm(out_channels, eps=1e-6),
        )
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x.contiguous(memory_format=torch.channels_last))
        for stage in self.layers:
            x = stage(x)
        return self.neck(x)

    def steps(self) -> Iterator[Step]:
        """All that comes before the neck, for input in the memory format channels last."""
        yield Step(self.patch_embed, self.patch_embed.strides)
        stages: Any = self.layers
        for stage in stages:
            yield from stage.steps()


class _ConvNorm(nn.Module):
    """A convolution and its batch norm, computed as one convolution when the norm's statistics are fixed.

    Args:
        gelu: Whether GELU follows.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        *,
        gelu: bool = False,
    ) -> None:
        super().__init__()
        self.gelu = gelu
        padding = kernel_size // 2
        self.c = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        norm = self.bn
        if norm.training or norm.running_mean is None or norm.running_var is None:
            normed = norm(self.c(x))
            return F.gelu(normed) if self.gelu else normed
        return self.fixed()(x)

    def fixed(self) -> Callable[[Tensor], Tensor]:
        """The layer in evaluation, as one convolution whose weight is computed only once."""
        norm: Any = self.bn
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        weight = self.c.weight * scale[:, None, None, None]
        bias = norm.bias - norm.running_mean * scale
        return lambda x: convolve(x, weight, bias, self.c, gelu=self.gelu)


class _PatchEmbedding(nn.Module):
    """Makes tokens of an image: of patches of 4 x 4 pixels by two convolutions of stride 2, or of each pixel."""

    def __init__(self, in_channels: int, dim: int, patch: int) -> None:
        super().__init__()
        kernel_size, stride = (3, 2) if patch == 4 else (1, 1)
        self.strides = (2, 2) if patch == 4 else ()
        self.seq = nn.Sequential(
            _ConvNorm(in_channels, dim // 2, kernel_size, stride, gelu=True),
            nn.Identity(),  # the checkpoint counts GELU
            _ConvNorm(dim // 2, dim, kernel_size, stride),
        )

    def forward(self, x: Tensor) -> Tensor:
        return _in_float32(self.seq, x)


class _Stage(nn.Module):
    """Blocks at one resolution, then the change to the next stage's channels and resolution."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks: Any = nn.ModuleList(blocks)
        self.downsample: Any = downsample

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)

    def steps(self) -> Iterator[Step]:
        for block in self.blocks:
            yield from block.steps()
        if self.downsample is not None:
            yield Step(self.downsample, (self.downsample.stride,))


class _MobileBlock(nn.Module):
    """An inverted bottleneck: widen, convolve each channel, narrow, and add to the input."""

    def __init__(self, dim: int, expansion: int) -> None:
        super().__init__()
        hidden = dim * expansion
        self.conv1 = _ConvNorm(dim, hidden, gelu=True)
        self.conv2 = _ConvNorm(hidden, hidden, kernel_size=3, groups=hidden, gelu=True)
        self.conv3 = _ConvNorm(hidden, dim)
        nn.init.zeros_(self.conv3.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        if self.conv2.bn.training:
            return F.gelu(x + self.conv3(self.conv2(self.conv1(x))))
        return _in_float32(self._mix, x)

    def _mix(self, x: Tensor) -> Tensor:
        widen, mix, narrow = self.conv1.fixed(), self.conv2.fixed(), self.conv3.fixed()
        return _in_strips(lambda rows: F.gelu(rows + narrow(mix(widen(rows)))), x)

    def steps(self) -> Iterator[Step]:
        yield Step(self, (1,))


class _PatchMerging(nn.Module):
    """Changes the number of channels, and with stride 2 halves the resolution."""

    def __init__(self, dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = _ConvNorm(dim, out_dim, gelu=True)
        self.conv2 = _ConvNorm(out_dim, out_dim, kernel_size=3, stride=stride, groups=out_dim, gelu=True)
        self.conv3 = _ConvNorm(out_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return _in_float32(self._merge, x)

    def _merge(self, x: Tensor) -> Tensor:
        if self.conv2.bn.training:
            return self.conv3(self.conv2(self.conv1(x)))
        first, mix, last = self.conv1.fixed(), self.conv2.fixed(), self.conv3.fixed()
        return _in_strips(lambda rows: last(mix(first(rows))), x, self.stride)


class _AttentionBlock(nn.Module):
    """Attention within windows, a depthwise convolution across them, and a multilayer perceptron.

    Under autocast the sums of what the layers add to the tokens stay in float32.
    """

    def __init__(self, dim: int, heads: int, window: int, expansion: int) -> None:
        super().__init__()
        self.attn = _Attention(dim, heads, window)
        self.mlp = _Perceptron(dim, dim * expansion)
        self.local_conv = _ConvNorm(dim, dim, kernel_size=3, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        return self._mix(self._attend(x))

    def steps(self) -> Iterator[Step]:
        yield Step(self._attend, window=self.attn.window)
        yield Step(self._mix, (1,))

    def _attend(self, x: Tensor) -> Tensor:
        tokens = x.permute(0, 2, 3, 1)  # a contiguous view, since the memory format is channels last
        return (tokens + self.attn(tokens)).permute(0, 3, 1, 2)

    def _mix(self, x: Tensor) -> Tensor:
        tokens = _in_float32(self.local_conv, x).permute(0, 2, 3, 1)
        return (tokens + self.mlp(tokens)).permute(0, 3, 1, 2)


class _Attention(nn.Module):
    """Self-attention in square windows, with a bias for each distance of two tokens in rows and columns.

    Zeros fill up the last windows, and are attended to as well.

    Shapes: From tokens ``[B, H, W, C]`` to ``[B, H, W, C]``.
    """

    attention_bias_idxs: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        if dim % heads != 0:
            raise ValueError(f"the channels of a stage must be divisible by its heads, got {dim} and {heads}")
        self.heads = heads
        self.window = window
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        self.register_buffer("attention_bias_idxs", _offsets(window), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        side, heads = self.window, self.heads
        rows, columns = -(-height // side), -(-width // side)
        qkv = self._filled_up(linear(self.norm(x), self.qkv), x, rows * side, columns * side)
        # outputs are grouped by head, each with its query, key and value
        apart = rearrange(qkv, "b (r y) (c x) (h k d) -> k h (b r c) (y x) d", y=side, x=side, h=heads, k=3)
        query, key, value = apart.unbind()
        bias = self.attention_biases[:, self.attention_bias_idxs].to(query.dtype)
        windows = attend(query, key, value, bias[:, None])
        attended = rearrange(windows, "h (b r c) (y x) d -> b (r y) (c x) (h d)", r=rows, c=columns, y=side)
        return linear(attended[:, :height, :width], self.proj)

    def _filled_up(self, qkv: Tensor, x: Tensor, height: int, width: int) -> Tensor:
        """Adds rows and columns of what the layers make of tokens that are zero."""
        batch, rows, columns, _ = qkv.shape
        if (rows, columns) == (height, width):
            return qkv
        nothing = linear(self.norm(x.new_zeros(1, 1, 1, x.shape[3])), self.qkv)
        wider = torch.cat([qkv, nothing.expand(batch, rows, width - columns, -1)], dim=2)
        return torch.cat([wider, nothing.expand(batch, height - rows, width, -1)], dim=1)


class _Perceptron(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._rows(rows) for rows in x.split(STRIP, dim=1)], dim=1)

    def _rows(self, x: Tensor) -> Tensor:
        return linear(linear(self.norm(x), self.fc1, gelu=True), self.fc2)


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of ``[B, C, H, W]``."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _in_float32(layers: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Applies layers in float32 in spite of autocast."""
    if not torch.is_autocast_enabled(x.device.type):
        return layers(x)
    with torch.autocast(x.device.type, enabled=False):
        return layers(x.float())


def _in_strips(convolve: Callable[[Tensor], Tensor], x: Tensor, stride: int = 1) -> Tensor:
    """Applies convolutions, of which one has 3 x 3 pixels and this stride and the others one pixel, strip by strip.

    A strip has a few rows more above and below, which the convolution reaches; what is made of these alone is dropped.
    """
    strips = []
    for first in range(0, x.shape[2], STRIP):
        above = min(first, stride)
        strip = convolve(x[:, :, first - above : first + STRIP + 1])
        strips.append(strip[:, :, above // stride : (above + STRIP) // stride])
    return torch.cat(strips, dim=2)


def _offsets(window: int) -> Tensor:
    """Index ``[N, N]`` of the bias between the N tokens of a window: distance in rows * window + that in columns."""
    position = torch.arange(window)
    distance = (position[:, None] - position).abs()
    offsets = distance[:, None, :, None] * window + distance[None, :, None, :]
    return offsets.reshape(window * window, window * window)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
