"""A given denoiser learns from the series it is to denoise: a first estimate of it, made noisy anew. Ours.

The noise is known, so that it can be made: Gaussian of complex and signed images, Rician of magnitudes. The network
sees pairs of new noise and the estimate; the noise of the series itself is in no input, so it is not learned by heart.
(Restore-from-restored, Lee et al. 2020, is the same thought for video; Stein's estimate of the risk on the noisy
series itself gained less on the cine, at twice the time a step: 32.70 dB after 100 steps, 32.64 after 125.)
"""

import copy
import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from clearmr.evaluate.rician import is_rician
from clearmr.methods.deformed2self.config import PriorConfig
from clearmr.methods.deformed2self.training import Course
from clearmr.scan import SnrImage

FRAMES = 12  # at a step


def can_learn(prior: Any) -> bool:
    """Whether a denoiser has what this needs: a network and the making of its input channels."""
    return dataclasses.is_dataclass(prior) and isinstance(getattr(prior, "net", None), nn.Module)


def taught(prior: Any, estimate: SnrImage, noisy: SnrImage, config: PriorConfig, course: Course) -> tuple[Any, int]:
    """A copy of `prior` that has taken `config.steps` steps, or as many as there was time for; and how many.

    estimate, noisy: one slice over time, (frame, 1, y, x); of the latter the kind and the noise_sd are looked at.
    """
    net = copy.deepcopy(prior.net).requires_grad_(True)
    mean = copy.deepcopy(prior.net).requires_grad_(False)
    optimizer = torch.optim.Adam(net.parameters(), lr=config.learning_rate)
    generator = torch.Generator().manual_seed(course.seed)
    rician, done = is_rician(noisy), 0
    parts = _parts(estimate, noisy)
    for step in range(config.steps):
        if course.late:
            break
        clean, noise_sd, gmap = (part.to(course.device) for part in cut(parts, config.crop, generator))
        inputs, target = pair(prior, clean, noise_sd, gmap, rician=rician, generator=generator)
        with torch.autocast(torch.device(course.device).type, torch.bfloat16, enabled=course.bf16):
            out = net(inputs.contiguous(memory_format=torch.channels_last_3d)).float()
        loss = (out - target).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        _average(mean, net, min(config.average_decay, (1 + step) / (10 + step)))
        done += 1
        course.tick()
    return dataclasses.replace(prior, net=mean) if done else prior, done


def pair(
    prior: Any, clean: Tensor, noise_sd: Tensor, gmap: Tensor, *, rician: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Input channels (1, C, T, h, w) of newly made noise, and the target (1, C_out, T, h, w), in units of the noise."""
    unit = (noise_sd[noise_sd > 0] / gmap[noise_sd > 0].clamp_min(1e-6)).median()
    parts = [noise_sd * _normal(clean, generator) for _ in range(2 if rician or clean.is_complex() else 1)]
    noise = torch.complex(*parts) if len(parts) == 2 else parts[0]
    noisy = (clean + noise).abs() if rician else clean + noise
    inputs = prior.channels(noisy[None], noise_sd[None], gmap[None], unit)
    target = prior.channels(clean[None], noise_sd[None], gmap[None], unit)
    return inputs, target[:, : 2 if inputs.shape[1] > 2 else 1]


def cut(parts: tuple[Tensor, ...], crop: int, generator: torch.Generator) -> list[Tensor]:
    """A window (T, h, w) of each, at the same place, mirrored and turned the same way at random."""

    def below(n: int) -> int:
        return int(torch.randint(n, (), generator=generator))

    frames, height, width = parts[0].shape
    sizes = (min(FRAMES, frames), min(crop, height), min(crop, width))
    starts = [below(n - size + 1) for n, size in zip(parts[0].shape, sizes, strict=True)]
    window = tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
    axes, turned = [axis for axis in range(3) if below(2)], bool(below(2))
    found = [part[window].flip(axes) for part in parts]
    return [part.mT for part in found] if turned else found


def _parts(estimate: SnrImage, noisy: SnrImage) -> tuple[Tensor, ...]:
    shape = noisy.image.shape
    return estimate.image[:, 0], *(m.float().expand(shape)[:, 0] for m in (noisy.noise_sd, noisy.gmap))


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator).to(like.device)


def _average(mean: nn.Module, net: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for held, now in zip(mean.parameters(), net.parameters(), strict=True):
            held.lerp_(now, 1 - decay)
