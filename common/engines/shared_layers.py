"""Layers that treat the parts of a batch in several processes as one batch: batch normalisation and dropout."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from common.engines.memory_format import channels_last
from common.engines.shared_batch import own_part


def share_layers(network: nn.Module) -> nn.Module:
    """Replaces a network's batch normalisation and dropout so that its training is that of one process.

    Weights and buffers stay the same objects under the same names. In evaluation nothing changes. Weights get
    the memory format that training uses (:func:`common.engines.memory_format.channels_last`).

    Args:
        network: The network, on its device, which is changed; it must not itself be a layer of these kinds.

    Returns:
        The same network, to be wrapped in ``DistributedDataParallel`` without broadcasting buffers: they stay equal.
    """
    channels_last(network)
    on_cpu = all(weights.device.type == "cpu" for weights in network.parameters())
    return _replace(network if on_cpu else nn.SyncBatchNorm.convert_sync_batchnorm(network))


def _replace(network: nn.Module) -> nn.Module:
    for name, child in network.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, nn.SyncBatchNorm):
            network.add_module(name, _shared_batch_norm(child))
        elif isinstance(child, _DropoutNd) and type(child) in _DRAWS and child.p > 0:
            network.add_module(name, SharedDropout(child))
        else:
            _replace(child)
    return network


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation by the statistics of all processes' voxels, on the CPU.

    PyTorch's ``SyncBatchNorm`` does this on GPUs alone. The parts of the processes must be equally large, as
    :func:`common.engines.shared_batch.own_part` makes them.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or idist.get_world_size() == 1:
            return super().forward(input)
        mean, variance = _statistics(input)
        if self.track_running_stats:
            self._track(mean, variance, input.numel() // input.shape[1] * idist.get_world_size())
        return _Normalise.apply(input, mean, variance, self.weight, self.bias, self.eps)

    def _check_input_dim(self, input: Tensor) -> None:
        """Takes inputs of any number of dimensions."""

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Updates the running statistics, whose variance is the unbiased one."""
        if self.num_batches_tracked is None or self.running_mean is None or self.running_var is None:
            raise ValueError("running statistics must all be there if they are tracked, found None.")
        self.num_batches_tracked += 1
        share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / max(1, count - 1)), share)


class SharedDropout(_DropoutNd):
    """Dropout whose draws for the whole batch are those of one process, of which each process takes its part.

    The random generators of the processes must be in the same state.

    Args:
        dropout: The layer that it stands for, which drops single values or whole channels.
    """

    def __init__(self, dropout: _DropoutNd) -> None:
        super().__init__(dropout.p, dropout.inplace)
        self.draw = _DRAWS[type(dropout)]
        self.training = dropout.training

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return input
        size = input.shape[1:] if self.draw is F.dropout else (input.shape[1], *(1,) * (input.ndim - 2))
        ones = input.new_ones((len(input) * idist.get_world_size(), *size))
        return input * own_part(self.draw(ones, self.p, training=True))


_DRAWS: dict[type, Any] = {
    nn.Dropout: F.dropout,
    nn.Dropout1d: F.dropout1d,
    nn.Dropout2d: F.dropout2d,
    nn.Dropout3d: F.dropout3d,
}


def _shared_batch_norm(layer: _BatchNorm) -> SharedBatchNorm:
    shared = SharedBatchNorm(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        setattr(shared, name, getattr(layer, name))
    shared.training = layer.training
    return shared


@torch.no_grad()
def _statistics(input: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel over the parts of all processes, ``[C]``."""
    own = torch.stack(torch.batch_norm_update_stats(_precise(input), None, None, 0.0))
    parts = [torch.empty_like(own) for _ in range(idist.get_world_size())]
    distributed.all_gather(parts, own)
    means, variances = torch.stack(parts, dim=1)
    mean = means.mean(dim=0)
    return mean, (variances + (means - mean).square()).mean(dim=0)


class _Normalise(torch.autograd.Function):
    """Batch normalisation by statistics that depend on all processes' input, and its gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        mean: Tensor,
        variance: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        epsilon: float,
    ) -> Tensor:
        ctx.save_for_backward(input, mean, (variance + epsilon).rsqrt(), weight)
        ctx.has_bias = bias is not None
        return F.batch_norm(input, mean, variance, weight, bias, False, 0.0, epsilon)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # With x̂ = (x - μ)·s and the means over all processes' voxels, ∂x = w·s·(∂y - mean ∂y - x̂·mean(∂y·x̂)).
        images, mean, scale, weight = ctx.saved_tensors
        given, values = _precise(gradients[0]), _precise(images)
        over = (0, *range(2, images.ndim))
        total = given.sum(over)
        along = ((given * values).sum(over) - mean * total) * scale
        means = torch.stack([total, along])
        distributed.all_reduce(means)
        means /= images.numel() // images.shape[1] * idist.get_world_size()
        factor = scale if weight is None else scale * weight
        slope = -factor * scale * means[1]
        offset = -factor * means[0] - slope * mean
        shape = (1, -1, *(1,) * (images.ndim - 2))
        result = torch.addcmul(offset.view(shape), given, factor.view(shape)).addcmul_(values, slope.view(shape))
        return (
            result.to(images.dtype),
            None,
            None,
            None if weight is None else along,
            total if ctx.has_bias else None,
            None,
        )


def _precise(values: Tensor) -> Tensor:
    """Float64 if given as such, else float32."""
    return values if values.dtype == torch.float64 else values.float()
