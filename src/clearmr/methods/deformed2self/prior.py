"""From a given denoiser, the noise known: it takes the place of the untrained first stage. Ours; no part of the paper.

Views of the series (as it is, mirrored, turned) go through the denoiser; their mean is the pilot of a collaborative
filter over tubes (`collaborative.py`), which takes from the series itself what the denoiser was never taught.
"""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from clearmr.denoiser import Denoiser, no_progress
from clearmr.methods.deformed2self import collaborative, rice
from clearmr.methods.deformed2self.config import PriorConfig
from clearmr.scan import SnrImage

# (axes to mirror, whether rows and columns are swapped)
VIEWS: tuple[tuple[tuple[int, ...], bool], ...] = (
    ((), False), ((), True), ((-1,), False), ((0,), False),
    ((-2,), False), ((-1, -2), True), ((0, -1), False), ((0,), True),
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """The denoised series (frame, 1, y, x), how many views and filters it took, and whether time ran out."""

    image: Tensor
    views: int
    filters: int
    late: bool


def denoise(
    image: SnrImage, prior: Denoiser, config: PriorConfig, *, deadline: float, tick: Callable[[], None]
) -> Result:
    """One slice over time, (frame, 1, y, x). What is done when `deadline` (monotonic) comes is given back."""
    pilot, views = pilot_of(image, prior, config, deadline=deadline, tick=tick)
    clean, filters = pilot, 0
    for _ in range(config.rounds):
        pilot, found = clean, []
        for patch in config.patches:
            if time.monotonic() >= deadline:
                break
            found.append(refine(image, pilot, config, patch=patch))
            tick()
        filters += len(found)
        if found:
            clean = torch.stack(found).mean(0)
    wanted = config.rounds * len(config.patches)
    return Result(clean, views, filters, views < config.views or filters < wanted)


def pilot_of(
    image: SnrImage, prior: Denoiser, config: PriorConfig, *, deadline: float, tick: Callable[[], None]
) -> tuple[Tensor, int]:
    """The mean of what the prior makes of some views of the series, turned back; and of how many."""
    prior = dataclasses.replace(prior, progress=no_progress) if hasattr(prior, "progress") else prior
    total, done = torch.zeros(()), 0
    for axes, turned in VIEWS[: config.views]:
        if done and time.monotonic() >= deadline:
            break
        total, done = total + _back(prior(_viewed(image, axes, turned)).image, axes, turned), done + 1
        tick()
    return total / done, done


def refine(image: SnrImage, pilot: Tensor, config: PriorConfig, *, patch: int) -> Tensor:
    """The collaborative filter on one slice, in units of the noise SD, Rice's bias and variance by the pilot."""
    noise_sd = image.noise_sd.float().expand(image.image.shape)
    safe = torch.where(noise_sd > 0, noise_sd, noise_sd[noise_sd > 0].median())
    noisy, guess = image.image / safe, pilot / safe
    variance = torch.ones_like(safe)
    if rice.is_rician(image):
        noisy, variance = rice.as_gaussian(noisy, guess)
    parts = [_channels(values) for values in (noisy, guess)]
    told = variance.expand(parts[0].shape)
    clean = collaborative.filtered(*parts, told, patch=patch, similar=config.similar, window=config.window)
    out = torch.complex(clean[:, :1], clean[:, 1:]) if image.is_complex else clean
    out = out.clamp_min(0) if rice.is_rician(image) else out
    return torch.where(noise_sd > 0, out * safe, image.image)


def _channels(values: Tensor) -> Tensor:
    """(T, 1, H, W) as (T, C, H, W): real and imaginary parts, or the one that there is."""
    return torch.cat([values.real, values.imag], 1) if values.is_complex() else values


def _viewed(image: SnrImage, axes: tuple[int, ...], turned: bool) -> SnrImage:
    def there(values: Tensor) -> Tensor:
        flipped = values.flip(axes) if axes else values
        return (flipped.mT if turned else flipped).contiguous()

    parts = {"image": there(image.image), "noise_sd": there(image.noise_sd), "gmap": there(image.gmap)}
    return dataclasses.replace(image, **parts, meta={})  # type: ignore[arg-type]


def _back(values: Tensor, axes: tuple[int, ...], turned: bool) -> Tensor:
    straight = values.mT if turned else values
    return straight.flip(axes) if axes else straight
