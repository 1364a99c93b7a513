"""A stand-in for the shipped network and simulated repeats, for the tests of Noise2Average."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from clearmr.methods.noise2average import method, presets
from clearmr.methods.noise2average.config import Noise2AverageConfig
from clearmr.methods.noise2average.inference import Noise2Average
from clearmr.scan import SnrImage
from clearmr.train.fine_tuning import FineTuning


class Blur(nn.Module):
    """A share of the blurred image beside the image itself; the share can be learned."""

    def __init__(self, share: float = 0.6) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))

    def forward(self, x: Tensor) -> Tensor:
        image = x[:, :1]
        padded = F.pad(image, (1,) * 6, mode="replicate")
        return image + self.share * (F.avg_pool3d(padded, 3, stride=1) - image)


@dataclass(frozen=True)
class Prior:
    """A denoiser that is told the noise: what `TAKES_PRIOR` hands in."""

    net: nn.Module = field(default_factory=Blur)
    name: str = "blur"

    def __call__(self, image: SnrImage) -> SnrImage:
        return image

    def channels(self, series: Tensor, noise_sd: Tensor, gmap: Tensor, unit: Tensor) -> Tensor:
        return torch.stack([torch.stack([s / unit, n / unit]) for s, n in zip(series, noise_sd, strict=True)])


def truth(n: int = 20, seed: int = 0) -> Tensor:
    """A smooth volume (z, y, x), 0.2 to about 1, in a dark frame of one voxel."""
    values = gaussian_filter(np.random.default_rng(seed).normal(size=(n, n, n)), 2.5)
    return torch.from_numpy(0.6 + 0.15 * values / values.std()).float().clamp(0.1, 1.2)


def repeat(clean: Tensor, sd: float, seed: int, *, gain: float = 1.0, told: float | None = None) -> SnrImage:
    """A Rician repeat of (z, y, x) or (frame, z, y, x); `told`: another noise SD than the true one."""
    frames = clean if clean.ndim == 4 else clean[None]
    generator = torch.Generator().manual_seed(seed)
    real, imaginary = (sd * torch.randn(frames.shape, generator=generator) for _ in range(2))
    one = torch.ones(1, 1, 1, 1)
    return SnrImage(torch.hypot(gain * frames + real, imaginary), (told or sd) * one, one, "given")


def small(scheme: str = "published", **changes: object) -> Noise2AverageConfig:
    """Settings that take a moment."""
    tuning = FineTuning(block=(10, 10, 10), epochs=2, learning_rate=0.02, turns=scheme == "known-noise", fade=2)
    base = presets.default() if scheme == "known-noise" else presets.published()
    known = {"first_views": 1, "views": 2}
    base = dataclasses.replace(base, tuning=tuning, known=dataclasses.replace(base.known, **known))  # type: ignore[arg-type]
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def denoiser(scheme: str = "published", **options: object) -> Noise2Average:
    """Noise2Average from the stand-in."""
    return dataclasses.replace(method.made(small(scheme), prior=Prior()), **options)  # type: ignore[arg-type]
