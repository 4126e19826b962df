"""Perturbs the images that the teacher sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


class Perturb:
    """Changes the contrast of each scan at random and adds Gaussian noise, FM-ABS's ``X + ξ``.

    The result is ``(X - m)·c + m + n`` with ``m`` the mean of the scan's channel, ``c`` one number per scan, and ``n``
    the noise of each voxel. It depends only on the images, the seed and the iteration, so that a resumed run draws what
    the uninterrupted one would have drawn.

    Args:
        noise_std: Standard deviation of the noise, in units of the images; 0 for no noise.
        noise_limit: Largest absolute value of the noise, to which it is clamped.
        contrast: Range that ``c`` is drawn from, uniformly; ``(1, 1)`` for no change of contrast.
        seed: Seed of the draws.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> images = torch.zeros(2, 1, 8, 8, 8)
        >>> perturb = Perturb(seed=1)
        >>> bool((perturb(images, 5) == perturb(images, 5)).all())
        True
    """

    def __init__(
        self,
        noise_std: float = 0.1,
        noise_limit: float = 0.2,
        contrast: Sequence[float] = (0.75, 1.25),
        seed: int = 0,
    ) -> None:
        if noise_std < 0 or noise_limit < 0:
            raise ValueError(f"noise_std and noise_limit must not be negative, got {noise_std} and {noise_limit}.")
        if len(contrast) != 2 or not 0 < contrast[0] <= contrast[1]:
            raise ValueError(f"contrast must be a range (low, high) with 0 < low <= high, got {tuple(contrast)}.")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}.")
        self.noise_std = noise_std
        self.noise_limit = noise_limit
        self.contrast = (float(contrast[0]), float(contrast[1]))
        self.seed = seed

    def draw(self, images: torch.Tensor, iteration: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws an iteration's contrast factors ``[B, 1, …]``, and its noise in the shape of the images."""
        state = np.random.SeedSequence([self.seed, iteration]).generate_state(1, np.uint64)
        generator = torch.Generator(images.device).manual_seed(int(state[0] >> np.uint64(1)))
        low, high = self.contrast
        shape = (images.shape[0],) + (1,) * (images.ndim - 1)
        factors = torch.rand(shape, generator=generator, device=images.device) * (high - low) + low
        noise = torch.randn(images.shape, generator=generator, device=images.device) * self.noise_std
        return factors, noise.clamp_(-self.noise_limit, self.noise_limit)

    @staticmethod
    def apply(images: torch.Tensor, factors: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Scales each scan about its channels' means by its factor, then adds the noise; returns a new tensor."""
        mean = images.float().mean(dim=tuple(range(2, images.ndim)), keepdim=True)
        return torch.lerp(mean, images.float(), factors).add_(noise).to(images.dtype)

    def __call__(self, images: torch.Tensor, iteration: int) -> torch.Tensor:
        """Perturbs a batch.

        Args:
            images: Images ``[B, channels, …]``, floating point, which are not written to.
            iteration: Iteration of the training, at least 0.

        Returns:
            A new tensor of the same shape, type and device.

        Raises:
            ValueError: If the images are not floating point or have no spatial dimension.
        """
        if not images.is_floating_point() or images.ndim < 3:
            raise ValueError(
                f"images must be floating point [B, channels, ...], got {images.dtype} of shape {tuple(images.shape)}."
            )
        return self.apply(images, *self.draw(images, iteration))
