"""Input and target of SNRAware: S_n = (S + n g) / sqrt(sigma^2 + 1), the target S over the same root.

Every random choice is drawn first, as a `NoiseDraw` that can be saved and replayed, then applied.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from clearmr.fourier import to_image, to_kspace
from clearmr.methods.snraware import corpus
from clearmr.methods.snraware.config import NoiseConfig, SnrAwareConfig
from clearmr.train import loop

TAPER = 10  # samples of the Hanning taper on the cut edge of a partial-Fourier axis


@dataclass(frozen=True)
class AxisFilter:
    """What shapes the noise along one axis: Gaussian s (0: none) and the acquired fractions of k-space."""

    gaussian: float = 0.0
    partial_fourier: float = 1.0
    cut_low: bool = False
    resolution: float = 1.0


@dataclass(frozen=True)
class NoiseDraw:
    """One draw of everything random about the noise of a pair. `gmap` indexes the maps on offer."""

    sigma: float
    gmap: int
    y: AxisFilter
    x: AxisFilter
    seed: int
    noise_free: bool = False


def draw_noise(config: NoiseConfig, n_gmaps: int, generator: torch.Generator) -> NoiseDraw:
    """Draw sigma in [0, sigma_max], a g map and the filters of both axes, and whether the pair stays noise-free."""

    def uniform() -> float:
        return float(torch.rand((), generator=generator))

    def pick(n: int) -> int:
        return int(torch.randint(n, (), generator=generator))

    def axis() -> AxisFilter:
        gaussian = config.gaussian[pick(len(config.gaussian))]
        partial = config.partial_fourier[pick(len(config.partial_fourier))]
        return AxisFilter(
            gaussian=gaussian if uniform() < config.gaussian_probability else 0.0,
            partial_fourier=partial if uniform() < config.partial_fourier_probability else 1.0,
            cut_low=uniform() < 0.5,
            resolution=config.resolution[pick(len(config.resolution))],
        )

    sigma = config.sigma_max * uniform()
    noise_free = uniform() < config.clean_probability
    return NoiseDraw(sigma, pick(n_gmaps), axis(), axis(), pick(2**31), noise_free)


def axis_response(n: int, spec: AxisFilter) -> Float[Tensor, "n"]:
    """The filter of one k-space axis of n samples, its product normalised so that mean(f^2) = 1.

    Gaussian f(x) = exp(-s^2 x^2 / 2), x in [-1, 1]; partial Fourier cut on one side with a `TAPER`-sample Hanning
    w = 0.5 (1 - cos(2 pi k / 21)); resolution zeroes both ends (Xue et al. 2025; their code's constants).
    """
    x = (torch.arange(n) - n // 2) / (n / 2)
    response = torch.exp(-0.5 * (spec.gaussian * x) ** 2)
    response = response * (x.abs() <= spec.resolution)
    kept = max(1, round(n * spec.partial_fourier))
    if kept < n:
        window = torch.zeros(n)
        window[:kept] = 1.0
        width = min(TAPER, kept)
        taper = 0.5 * (1 - torch.cos(2 * torch.pi * torch.arange(width, 0, -1) / (2 * TAPER + 1)))
        window[kept - width : kept] = taper
        response = response * (window.flip(0) if spec.cut_low else window)
    return response / response.square().mean().sqrt()


def filtered_noise(shape: torch.Size, draw: NoiseDraw) -> Complex[Tensor, "frame y x"]:
    """Complex noise of SD 1 in each of real and imaginary, correlated by the drawn filters."""
    generator = torch.Generator().manual_seed(draw.seed)
    white = torch.complex(torch.randn(shape, generator=generator), torch.randn(shape, generator=generator))
    return _filter(white, draw)


def _filter(image: Tensor, draw: NoiseDraw) -> Tensor:
    response = axis_response(image.shape[-2], draw.y)[:, None] * axis_response(image.shape[-1], draw.x)
    return to_image(to_kspace(image, (-2, -1)) * response, (-2, -1))


@dataclass(frozen=True)
class Pair:
    """noisy and target (frame, y, x) complex64 in SNR units; noise_sd (y, x): the exact SD per channel of noisy."""

    noisy: Complex[Tensor, "frame y x"]
    target: Complex[Tensor, "frame y x"]
    noise_sd: Float[Tensor, "y x"]


def make_pair(
    clean: Complex[Tensor, "frame y x"],
    gmap: Float[Tensor, "y x"],
    draw: NoiseDraw,
    *,
    native_sd: float = 0.0,
    order: str = "filter-then-g",
) -> Pair:
    """Apply a draw: S_n = (S + sigma n g) / sqrt(sigma^2 + 1), Y = S / sqrt(sigma^2 + 1).

    `native_sd` is the noise SD already in `clean` (1 for a real scan in SNR units, 0 for a simulated one). noise_sd
    is sqrt((native^2 + sigma^2 g^2) / (1 + sigma^2)): for small sigma that is not g, so it is what the net is told.
    A noise-free pair is scaled and told like a noisy one: noise may be expected where there is none.
    With order "g-then-filter" (the paper's text) the SD is sigma g only on average.
    """
    noise = filtered_noise(clean.shape, draw) * gmap
    if order == "g-then-filter":
        white = filtered_noise(clean.shape, NoiseDraw(draw.sigma, draw.gmap, AxisFilter(), AxisFilter(), draw.seed))
        noise = _filter(white * gmap, draw)
    scale = (draw.sigma**2 + 1) ** -0.5
    told = (native_sd**2 + (draw.sigma * gmap) ** 2).sqrt() * scale
    noisy = clean if draw.noise_free else clean + draw.sigma * noise
    return Pair(noisy * scale, clean * scale, told)


def to_channels(series: Tensor, noise_sd: Tensor) -> Float[Tensor, "C T H W"]:
    """(T, H, W) complex or magnitude and its noise SD -> (real, imaginary or zero, noise SD)."""
    imaginary = series.imag if series.is_complex() else torch.zeros_like(series)
    return torch.stack([series.real if series.is_complex() else series, imaginary, noise_sd])


class Batches:
    """Batch k of a seed is the same whenever it is asked for: (B, 3, T, H, W) inputs, (B, 2, T, H, W) targets."""

    def __init__(
        self, sampler: corpus.PatchSampler, gmaps: Float[Tensor, "n y x"], config: SnrAwareConfig, seed: int
    ) -> None:
        self.sampler, self.gmaps, self.config, self.seed = sampler, gmaps, config, seed

    def __call__(self, step: int) -> loop.Batch:
        generator = torch.Generator().manual_seed((self.seed << 32) + step)
        frames = self.config.data.patch[0]
        if float(torch.rand((), generator=generator)) < self.config.data.single_frame_probability:
            made = [self._pair(1, generator) for _ in range(self.config.data.batch * frames)]
        else:
            made = [self._pair(frames, generator) for _ in range(self.config.data.batch)]
        inputs, targets = zip(*made, strict=True)
        return torch.stack(inputs), torch.stack(targets)

    def _pair(self, n_frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        patch = self.sampler.draw(n_frames, generator)
        noise = draw_noise(self.config.noise, len(self.gmaps), generator)
        gmap = _crop(self.gmaps[noise.gmap], patch.clean.shape[-2:], generator)
        pair = make_pair(patch.clean, gmap, noise, native_sd=patch.native_sd, order=self.config.noise.order)
        noisy, target = pair.noisy, pair.target
        if float(torch.rand((), generator=generator)) < self.config.data.magnitude_probability:
            noisy, target = _magnitude(noisy, target, generator)
        noise_sd = pair.noise_sd.expand(noisy.shape)
        return to_channels(noisy, noise_sd), to_channels(target, noise_sd)[:2]


def _magnitude(noisy: Tensor, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Magnitudes of both; in a third, the background is set to zero, as vendors do."""
    noisy, target = noisy.abs(), target.abs()
    if float(torch.rand((), generator=generator)) < 0.33:
        inside = target > 0.05 * target.max()
        noisy, target = noisy * inside, target * inside
    return noisy, target


def _crop(gmap: Tensor, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """A random window, flip and transposition of a g map."""
    y, x = (int(torch.randint(n - m + 1, (), generator=generator)) for n, m in zip(gmap.shape, shape, strict=True))
    window = gmap[y : y + shape[0], x : x + shape[1]]
    flips = [d for d in (0, 1) if float(torch.rand((), generator=generator)) < 0.5]
    window = window.flip(flips) if flips else window
    return window.T if shape[0] == shape[1] and float(torch.rand((), generator=generator)) < 0.5 else window
