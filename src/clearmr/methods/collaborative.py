"""Similar patches of a series filtered together, the noise known and a pilot at hand. Ours; no part of any paper here.

The second step of non-local Bayes (Lebrun, Buades, Morel 2013; for video Arias & Morel 2018) on tubes: a patch goes
through all frames at one place, so that what stays the same over time is in its covariance. A pilot says which
patches are alike and how they vary; the noisy patches are then estimated by the linear filter of least error.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Inexact, Int
from torch import Tensor

from clearmr.evaluate.rician import as_gaussian

AT_ONCE = 2**20  # values of the groups in work
FRAMES, OVERLAP = 18, 4  # of a tube at the most, and what the parts that longer series are cut into have in common


def refined(
    noisy: Inexact[Tensor, "T H W"],
    pilot: Inexact[Tensor, "T H W"],
    noise_sd: Float[Tensor, "T H W"],
    *,
    rician: bool,
    patch: int,
    similar: int,
    window: int,
    tick: Callable[[], None] = lambda: None,
) -> Inexact[Tensor, "T H W"]:
    """A denoised series, `pilot`, made better by what its noisy original has in common with itself.

    noise_sd: of each of real and imaginary, in the series' unit; where it is 0 the series stays as it is. rician: real
    values are magnitudes, whose bias and variance follow from the pilot. patch, similar, window: see `filtered`.
    """
    safe = torch.where(noise_sd > 0, noise_sd, noise_sd[noise_sd > 0].median())
    given, guess, variance = noisy / safe, pilot / safe, torch.ones_like(safe)
    if rician:
        given, variance = as_gaussian(given, guess)
    values, guess = _parts(given), _parts(guess)
    variance = variance[:, None].expand(values.shape)
    clean = filtered(values, guess, variance, patch=patch, similar=similar, window=window, tick=tick)
    out = torch.complex(clean[:, 0], clean[:, 1]) if noisy.is_complex() else clean[:, 0]
    out = out.clamp_min(0) if rician else out
    return torch.where(noise_sd > 0, out * safe, noisy)


def _parts(values: Tensor) -> Tensor:
    """(T, H, W) as (T, C, H, W): real and imaginary parts, or the one that there is."""
    return torch.stack([values.real, values.imag], 1) if values.is_complex() else values[:, None]


def filtered(
    noisy: Float[Tensor, "T C H W"],
    pilot: Float[Tensor, "T C H W"],
    variance: Float[Tensor, "T C H W"],
    *,
    patch: int = 4,
    similar: int = 64,
    window: int = 8,
    tick: Callable[[], None] = lambda: None,
) -> Float[Tensor, "T C H W"]:
    """The series, each tube estimated from `similar` ones within `window` pixels and averaged where tubes overlap.

    variance: of the noise of each value. patch: side in pixels. Long series part by part (`parts_of`), with a `tick`
    after each.
    """
    total, count = torch.zeros_like(noisy), torch.zeros(len(noisy), 1, 1, 1)
    for part in parts_of(len(noisy)):
        tubes, guess, told = (values[part].flatten(0, 1) for values in (noisy, pilot, variance))
        total[part] += _filtered(tubes, guess, told, patch, similar, window).view(noisy[part].shape)
        count[part] += 1
        tick()
    return total / count


def parts_of(n_frames: int) -> list[slice]:
    """The fewest parts of at most FRAMES frames, alike in length, each with OVERLAP frames of the next, or more."""
    n_parts = max(1, -(-(n_frames - OVERLAP) // (FRAMES - OVERLAP)))
    length = -(-(n_frames + (n_parts - 1) * OVERLAP) // n_parts)
    starts = [index * (n_frames - length) // max(1, n_parts - 1) for index in range(n_parts)]
    return [slice(start, start + length) for start in starts]


def _filtered(noisy: Tensor, pilot: Tensor, variance: Tensor, patch: int, similar: int, window: int) -> Tensor:
    """(R, H, W), R values of each pixel. Beyond the border the series is mirrored."""
    height, width = noisy.shape[-2:]
    patch, window = min(patch, height, width), min(window, height - 1, width - 1)
    similar = min(similar, (2 * window + 1) ** 2)
    groups = alike(pilot, patch=patch, similar=similar, window=window)
    across = width + 2 * window
    inside = (torch.arange(patch)[:, None] * across + torch.arange(patch)).flatten()
    values = [_mirrored(part, window).flatten(1).T.contiguous() for part in (noisy, pilot, variance)]
    total, count = torch.zeros_like(values[0]), torch.zeros(len(values[0]), 1)
    chunk = max(1, AT_ONCE // (similar * patch**2 * len(noisy)))
    for corners in groups.split(chunk):
        index = corners[:, :, None] + inside
        estimated = estimate(*(part[index].flatten(2) for part in values))
        total.index_add_(0, index.flatten(), estimated.reshape(-1, len(noisy)))
        count.index_add_(0, index.flatten(), torch.ones(index.numel(), 1))
    out = (total / count.clamp_min(1)).T.unflatten(1, (height + 2 * window, across))
    return out[:, window : window + height, window : window + width]


def estimate(
    noisy: Float[Tensor, "G K D"], pilot: Float[Tensor, "G K D"], variance: Float[Tensor, "G K D"]
) -> Float[Tensor, "G K D"]:
    """Of G groups of K vectors: m + C (C + V)^-1 (noisy - m), C the covariance of the pilot, m a mean of the group.

    V is the variance, averaged over the group. Solved in the K vectors' own space, since D is the larger.
    """
    told = variance.mean(1, keepdim=True).clamp_min(1e-12)
    whiten, mean = told.rsqrt(), _mean(noisy, pilot, told)
    spread = pilot - pilot.mean(1, keepdim=True)
    white = spread * whiten
    n = noisy.shape[1]
    gram = white @ white.mT
    # Where the noise is next to nothing, float32 needs a little more on the diagonal.
    power = gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    gram = gram + (n - 1 + 1e-5 * power) * torch.eye(n)
    weights = torch.cholesky_solve(white @ ((noisy - mean) * whiten).mT, torch.linalg.cholesky(gram))
    return torch.baddbmm(mean, weights.mT, spread)


def _mean(noisy: Tensor, pilot: Tensor, variance: Tensor) -> Tensor:
    """The pilot's mean, moved to the noisy vectors' as far as the noise does not explain that they differ.

    James & Stein 1961, positive part: the noisy mean alone would leave 1 / sqrt(K) of the noise where nothing is.
    """
    start = pilot.mean(1, keepdim=True)
    apart = noisy.mean(1, keepdim=True) - start
    explained = apart.shape[-1] / noisy.shape[1] / (apart.square() / variance).sum(-1, keepdim=True).clamp_min(1e-12)
    return start + (1 - explained).clamp_min(0) * apart


def alike(pilot: Float[Tensor, "R H W"], *, patch: int, similar: int, window: int) -> Int[Tensor, "G K"]:
    """For patches side by side the corners of the `similar` nearest ones, as flat indices of the mirrored series."""
    height, width = pilot.shape[-2:]
    across = width + 2 * window
    rows, columns = (_places(n - patch, patch) for n in (height, width))
    padded = _mirrored(pilot, window)
    shifts = [(down, right) for down in range(-window, window + 1) for right in range(-window, window + 1)]
    # One array, made before: small ones kept between large ones that are freed would make the heap grow and grow.
    distances = torch.empty(len(shifts), len(rows) * len(columns))
    for held, (down, right) in zip(distances, shifts, strict=True):
        top, left = window + down, window + right
        moved = padded[:, top : top + height, left : left + width]
        apart = (pilot - moved).square().mean(0)
        held.copy_(F.avg_pool2d(apart[None, None], patch, stride=1)[0, 0][rows][:, columns].flatten())
    nearest = distances.T.topk(similar, dim=1, largest=False).indices
    offsets = torch.tensor([down * across + right for down, right in shifts])
    corners = (rows[:, None] + window) * across + columns + window
    return offsets[nearest] + corners.flatten()[:, None]


def _places(last: int, stride: int) -> Tensor:
    return torch.tensor(sorted({*range(0, last + 1, stride), last}))


def _mirrored(values: Tensor, margin: int) -> Tensor:
    return F.pad(values[:, None], (margin,) * 4, mode="reflect")[:, 0] if margin else values
