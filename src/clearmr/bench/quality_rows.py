"""The cases of the quality table with a clean truth: volumes (Rician), cine (Gaussian), complex series of R = 4."""

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from clearmr.bench.entrants import Case, Problem, level, noise_like
from clearmr.bench.quality_data import SEED, Data, Sizes, foreground
from clearmr.methods.snraware import scanned
from clearmr.scan import SnrImage
from clearmr.simulate import simulate

RICIAN = (0.03, 0.06, 0.09)  # of the maximum
GAUSSIAN = (0.05, 0.10, 0.15)  # of the intensity range
SNRS = (5.0, 10.0, 20.0)  # mean over the object of |image| / noise_sd, after the acceleration
R, COILS, ACS = 4, 16, 24


def volumes(data: Data) -> Iterator[Case]:
    """T1w volumes as magnitudes with Rician noise."""
    for name, clean in data.volumes:
        for sd in RICIAN:
            yield Case(name, f"Rician {100 * sd:.0f} %", functools.partial(_rician, clean, sd))


def _rician(clean: Tensor, sd: float) -> Problem:
    real, imaginary = (sd * noise_like(clean, SEED + part) for part in (0, 1))
    noisy = torch.hypot(clean + real, imaginary)
    return Problem(SnrImage(noisy, level(sd), level(1.0), "given"), clean, foreground(clean))


def cine(data: Data) -> Iterator[Case]:
    """Real frames with additive Gaussian noise, which may be negative, judged over the whole frame."""
    for name, clean in data.series:
        for sd in GAUSSIAN:
            yield Case(name, f"Gaussian {100 * sd:.0f} %", functools.partial(_gaussian, clean, sd))


def _gaussian(clean: Tensor, sd: float) -> Problem:
    noisy = clean + sd * noise_like(clean, SEED)
    return Problem(SnrImage(noisy, level(sd), level(1.0), "given"), clean, torch.ones_like(clean, dtype=torch.bool))


def accelerated(sizes: Sizes) -> Iterator[Case]:
    """The simulated cine through 16 coils at R = 4 and our reconstruction: g-shaped, correlated noise."""
    size, frames = sizes.accelerated
    for snr in SNRS:
        yield Case("simulated cine, R = 4", f"SNR {snr:g}", functools.partial(_unmixed, size, frames, snr))


def _unmixed(size: int, frames: int, snr: float) -> Problem:
    clean, noise, noise_sd, inside = _scan(size, frames)
    clean = clean * (snr / float((clean.abs() / noise_sd)[inside].mean()))
    return Problem(SnrImage(clean + noise, noise_sd, noise_sd, "measured"), clean, inside)


@functools.cache
def _scan(size: int, frames: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Noise-free image and noise, both through one calibration on noisy lines; noise_sd; the object."""
    matrix = (1, size, size)
    common: dict[str, Any] = {"n_frames": frames, "n_coils": COILS, "acceleration": R, "acs": ACS, "seed": SEED}
    noisy = simulate("cine", matrix=matrix, snr=30.0, **common)
    quiet = simulate("cine", matrix=matrix, noise_sd=0.0, **common)
    clean, noise = scanned.apart(noisy, quiet, torch.Generator().manual_seed(SEED))
    return clean.image, noise.image, clean.noise_sd, foreground(noisy.truth)
