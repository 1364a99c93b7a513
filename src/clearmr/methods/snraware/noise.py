"""Noise of a reconstruction, made on the fly: drawn as a `NoiseDraw` that can be saved and replayed, then applied.

A frame of n_y x n_x white samples filtered along both axes of its k-space is Gaussian and stationary, with a
covariance that is a product of one Hermitian Toeplitz matrix per axis: the transform of f^2. A patch cut from it needs
no whole frame: white noise of the patch's size between the square roots of the two patch-sized covariances has the
very same law: exact, not an approximation, and far cheaper (`clearmr bench pairs`).
"""

import functools
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from clearmr.methods.snraware.config import NoiseConfig
from clearmr.methods.snraware.draws import chance, pick, uniform

TAPER = 10  # samples of the Hanning taper on the cut edge of a partial-Fourier axis
NO_GMAP = -1  # index that stands for a g map of ones


@dataclass(frozen=True)
class AxisFilter:
    """What shapes the noise along one axis: Gaussian s (0: none) and the acquired fractions of k-space."""

    gaussian: float = 0.0
    partial_fourier: float = 1.0
    cut_low: bool = False
    resolution: float = 1.0


@dataclass(frozen=True)
class NoiseDraw:
    """One draw of everything random about the noise of a pair. `gmap` indexes the maps on offer, or is `NO_GMAP`."""

    sigma: float
    gmap: int
    y: AxisFilter
    x: AxisFilter
    seed: int
    noise_free: bool = False


def draw_noise(config: NoiseConfig, n_gmaps: int, generator: torch.Generator, *, seed: int | None = None) -> NoiseDraw:
    """Draw sigma in [0, sigma_max], a g map and the filters of both axes, and whether the pair stays noise-free.

    `seed` of the white noise; drawn too where it is not given.
    """
    sigma = config.sigma_max * uniform(generator)
    noise_free = chance(config.clean_probability, generator)
    shaped = chance(config.gmap_probability, generator)
    gmap = pick(n_gmaps, generator) if shaped and n_gmaps else NO_GMAP
    white = chance(config.white_probability, generator)
    y, x = (AxisFilter() if white else _draw_axis(config, generator) for _ in range(2))
    return NoiseDraw(sigma, gmap, y, x, pick(2**31, generator) if seed is None else seed, noise_free)


def _draw_axis(config: NoiseConfig, generator: torch.Generator) -> AxisFilter:
    gaussian = config.gaussian[pick(len(config.gaussian), generator)]
    partial = config.partial_fourier[pick(len(config.partial_fourier), generator)]
    return AxisFilter(
        gaussian=gaussian if chance(config.gaussian_probability, generator) else 0.0,
        partial_fourier=partial if chance(config.partial_fourier_probability, generator) else 1.0,
        cut_low=chance(0.5, generator),
        resolution=config.resolution[pick(len(config.resolution), generator)],
    )


def axis_response(n: int, spec: AxisFilter) -> Float[Tensor, "n"]:
    """The filter of one k-space axis of n samples, float64, its product normalised so that mean(f^2) = 1.

    Gaussian f(x) = exp(-s^2 x^2 / 2), x in [-1, 1]; partial Fourier cut on one side with a `TAPER`-sample Hanning
    w = 0.5 (1 - cos(2 pi k / 21)); resolution zeroes both ends (Xue et al. 2025; their code's constants).
    """
    x = (torch.arange(n, dtype=torch.float64) - n // 2) / (n / 2)
    response = torch.exp(-0.5 * (spec.gaussian * x) ** 2)
    response = response * (x.abs() <= spec.resolution)
    kept = max(1, round(n * spec.partial_fourier))
    if kept < n:
        window = torch.zeros(n, dtype=torch.float64)
        window[:kept] = 1.0
        width = min(TAPER, kept)
        steps = torch.arange(width, 0, -1, dtype=torch.float64)
        window[kept - width : kept] = 0.5 * (1 - torch.cos(2 * torch.pi * steps / (2 * TAPER + 1)))
        response = response * (window.flip(0) if spec.cut_low else window)
    return response / response.square().mean().sqrt()


def correlation(n: int, spec: AxisFilter) -> Complex[Tensor, "n"]:
    """E[x_(a+d) x_a*] / E|x_a|^2 at the lags d = 0 .. n-1 (modulo n) of noise filtered along an axis of n samples."""
    return torch.fft.ifft(torch.fft.ifftshift(axis_response(n, spec).square()))


@functools.lru_cache(maxsize=1024)  # 32 MB of patches of 64
def window_root(n: int, window: int, spec: AxisFilter) -> Complex[Tensor, "m m"]:
    """Hermitian root A of the covariance of `window` neighbours among n filtered samples: A A^H = E[x x^H] / E|x|^2.

    The Hermitian root, as any other would follow the rounding errors of its eigenvectors.
    """
    lags = torch.arange(window)
    covariance = correlation(n, spec)[(lags[:, None] - lags) % n]
    values, vectors = torch.linalg.eigh(covariance)
    return ((vectors * values.clamp(min=0).sqrt()) @ vectors.mH).to(torch.complex64)


@functools.lru_cache(maxsize=256)
def filter_rows(n: int, start: int, window: int, spec: AxisFilter) -> Complex[Tensor, "m n"]:
    """Rows start .. start + window - 1 of the matrix that filters an axis of n samples."""
    impulse = torch.fft.ifft(torch.fft.ifftshift(axis_response(n, spec)))
    rows = torch.arange(start, start + window)
    return impulse[(rows[:, None] - torch.arange(n)) % n].to(torch.complex64)


def white_noise(shape: tuple[int, ...], seed: int, device: str | torch.device = "cpu") -> Complex[Tensor, "..."]:
    """Complex noise of SD 1 in each of real and imaginary; CPU and GPU give other bits of the same law."""
    generator = torch.Generator(device).manual_seed(seed)
    return torch.view_as_complex(torch.randn((*shape, 2), generator=generator, device=device))


def filtered_noise(
    shape: tuple[int, int, int] | torch.Size,
    draw: NoiseDraw,
    *,
    lengths: tuple[int, int] | None = None,
    device: str | torch.device = "cpu",
) -> Complex[Tensor, "frame y x"]:
    """A (frame, y, x) window of noise filtered as drawn along axes of `lengths` (the window's own if not given).

    SD 1 in each of real and imaginary, white over frames, the spatial correlation that of a cropped whole frame.
    """
    n_frames, *window = shape
    full = lengths or (window[0], window[1])
    roots = [window_root(n, m, s).to(device) for n, m, s in zip(full, window, (draw.y, draw.x), strict=True)]
    return roots[0] @ white_noise((n_frames, *window), draw.seed, device) @ roots[1].mT


def shaped_then_filtered(
    shape: tuple[int, int, int] | torch.Size,
    gmap: Float[Tensor, "#frame ny nx"],
    draw: NoiseDraw,
    *,
    start: tuple[int, int] = (0, 0),
) -> tuple[Complex[Tensor, "frame y x"], Float[Tensor, "#frame y x"]]:
    """The paper's order: white noise times g, over whole frames, then the filters; and its exact SD per channel.

    The window of `shape` at `start` of the frames. Filters mix the g of neighbours: var = |F_y|^2 g^2 |F_x|^2.
    """
    n_frames, *window = shape
    full = gmap.shape[-2:]
    parts = zip(full, start, window, (draw.y, draw.x), strict=True)
    along_y, along_x = (filter_rows(n, a, m, s).to(gmap.device) for n, a, m, s in parts)
    noise = along_y @ (white_noise((n_frames, *full), draw.seed, gmap.device) * gmap) @ along_x.mT
    variance = along_y.abs().square() @ gmap.square() @ along_x.abs().square().mT
    return noise, variance.sqrt()
