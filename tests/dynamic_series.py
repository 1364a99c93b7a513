"""Small dynamic series for the tests of Deformed2Self, and denoisers that take seconds."""

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from clearmr.denoiser import Denoiser
from clearmr.methods.deformed2self import method, presets
from clearmr.nets.motion import warp
from clearmr.scan import SnrImage

SD = 0.1


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def image_of(series: Tensor, sd: float = SD) -> SnrImage:
    """(T, y, x) or (T, z, y, x) with known noise."""
    values = series[:, None] if series.ndim == 3 else series
    return SnrImage(values, torch.full((1, 1, 1, 1), sd), torch.ones(1, 1, 1, 1), "given")


def disc_series(n_frames: int = 5, size: int = 48) -> Tensor:
    """A textured disc that beats: (T, y, x) in [0, 1]."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    frames = []
    for t in range(n_frames):
        radius = size / 4 + 2 * math.sin(2 * math.pi * t / n_frames)
        away = ((y - size / 2) ** 2 + (x - size / 2) ** 2).sqrt() / radius
        frames.append(0.15 + 0.6 * torch.sigmoid(12 * (1 - away)) * (0.8 + 0.2 * torch.cos(5 * away)))
    return torch.stack(frames)


def tiny(**changes: Any) -> method.Deformed2Self:
    config = presets.tiny()
    return method.made(dataclasses.replace(config, train=dataclasses.replace(config.train, **changes)))


class Smoother:
    """A prior that knows no motion: 3 x 3 means."""

    name = "smoother"

    def __call__(self, image: SnrImage) -> SnrImage:
        real = torch.view_as_real(image.image).movedim(-1, 1) if image.is_complex else image.image[:, None]
        flat = torch.nn.functional.avg_pool2d(real.flatten(0, 2)[:, None], 3, 1, 1, count_include_pad=False)
        back = flat.view(real.shape).movedim(1, -1).contiguous()
        return dataclasses.replace(image, image=torch.view_as_complex(back) if image.is_complex else back[..., 0])


def joint() -> method.Deformed2Self:
    prior: Denoiser = Smoother()
    return method.load(prior=prior)


def moved_series(size: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    """Frames that show a texture at known displacements: series (T, 1, H, W), fields (T, 2, H, W) of frame 0 onto them.

    Frame t is frame 0 seen at p - d_t, so that frame t at p + d_t shows what frame 0 shows at p.
    """
    y, x = torch.meshgrid(torch.arange(float(size)), torch.arange(float(size)), indexing="ij")
    bump = torch.exp(-((y - size / 2) ** 2 + (x - size / 2) ** 2) / (2 * (size / 4) ** 2))
    texture = torch.randn(1, 1, size, size, generator=rng(5))
    for _ in range(6):
        texture = torch.nn.functional.avg_pool2d(texture, 5, 1, 2)
    still = (0.5 + 0.15 * texture / texture.std()) * bump
    shifts = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [-1.5, 1.5]])
    fields = shifts[:, :, None, None].expand(-1, -1, size, size).contiguous()
    return warp(still.expand(4, -1, -1, -1), -fields), fields, bump > 0.5
