"""Is the noise there that we are told of? A look at the flattest places before a network takes anything away."""

import torch
import torch.nn.functional as F
from jaxtyping import Inexact
from torch import Tensor

WINDOW = 9  # pixels; wide enough for noise that filters have correlated
FLATTEST = 0.02  # quantile of the local SD
# Of the SD told. Pure noise, the strongest filters included, stays above 0.58 complex and 0.31 as magnitude.
# Where a receiver's filter rolls off at the edges of the readout, 0.44 was seen in noise that is there.
ABSENT_COMPLEX, ABSENT_MAGNITUDE = 0.3, 0.25
SIGNAL = 3.0  # local mean over noise SD that counts as signal
AT_ONCE = 2**18  # voxels: looking takes about 300 bytes for each of them


def noise_found(series: Inexact[Tensor, "T H W"], noise_sd: Inexact[Tensor, "T H W"]) -> float:
    """SD of what is left of a plane in the flattest places, over the SD told: about 1 with noise, near 0 without.

    Exact zeros are no place to look (masks); nor is the background of a magnitude image with signal, which vendors
    smooth. 1 where the image is too small to tell.
    """
    if min(series.shape[-2:]) < 2 * WINDOW:
        return 1.0
    step = max(1, AT_ONCE // series[0].numel())
    looked = [_look(s, sd) for s, sd in zip(series.split(step), noise_sd.split(step), strict=True)]
    variance, zero, bright = (torch.cat(part) for part in zip(*looked, strict=True))
    places = ~zero
    if not series.is_complex() and float((bright & ~zero).float().mean()) > 0.01:
        places = bright & ~zero
    if not bool(places.any()):
        return 1.0
    chosen = variance[places]
    chosen = chosen[:: max(1, chosen.numel() // 10**6)]
    return float(torch.quantile(chosen, FLATTEST).clamp_min(0).sqrt())


def _look(series: Tensor, noise_sd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each window of some frames: variance about its plane over that told, any exact zero in it, signal in it."""
    told = noise_sd.clamp_min(1e-12)
    parts = torch.view_as_real(series / told).movedim(-1, 0) if series.is_complex() else (series / told)[None]
    zero = F.max_pool2d((series.abs() == 0).float()[:, None], WINDOW, stride=1)[:, 0] > 0
    bright = F.avg_pool2d((series.abs() / told)[:, None], WINDOW, stride=1)[:, 0] > SIGNAL
    return _off_plane(parts).mean(0), zero, bright


def share_present(series: Inexact[Tensor, "T H W"], noise_sd: Inexact[Tensor, "T H W"]) -> float:
    """The share of the noise told that is there: 1, unless `noise_found` says plainly that it is not."""
    found = noise_found(series, noise_sd)
    return 1.0 if found >= (ABSENT_COMPLEX if series.is_complex() else ABSENT_MAGNITUDE) else found


def _off_plane(parts: Tensor) -> Tensor:
    """Variance about the best plane in each window: (part, T, H, W) -> (part, T, H - 8, W - 8)."""
    offset = torch.arange(WINDOW, dtype=parts.dtype) - WINDOW // 2
    flat, slope = torch.full_like(offset, 1 / WINDOW), offset / (WINDOW * offset.square().mean().sqrt())
    mean, down, across = (_separable(parts, a, b) for a, b in ((flat, flat), (slope, flat), (flat, slope)))
    square = _separable(parts.square(), flat, flat)
    dof = WINDOW**2 / (WINDOW**2 - 3)
    return (square - mean.square() - down.square() - across.square()) * dof


def _separable(parts: Tensor, column: Tensor, row: Tensor) -> Tensor:
    images = parts.flatten(0, 1)[:, None]
    out = F.conv2d(F.conv2d(images, column[None, None, :, None]), row[None, None, None, :])
    return out[:, 0].unflatten(0, parts.shape[:2])
