"""What was removed in units of the noise, ready to be judged: one array of numbers that should look like noise.

Everything the checks say rests on one fact. A right denoiser gives E[x | y], the mean of what the clean image x can be
given the noisy y = x + n; so what it removes is E[n | y], and by Jensen's inequality, for every convex function f and
every weight w >= 0 that is made of the result: E[w f(removed)] <= E[w f(n)]. In words: what a right denoiser removes
has no more power than the noise, not at any place, not at edges, not in any band of frequencies, and no heavier tails.
(A Wiener filter on a Gaussian field: removed power = noise power x (1 - W).) More than that is structure or a wrong
noise map. Less is no fault: it is noise that was left.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter
from torch import Tensor

from clearmr.errors import InputError
from clearmr.evaluate.noise_spectrum import NoiseSpectrum
from clearmr.evaluate.rician import is_rician, magnitude_variance, mean_magnitude
from clearmr.scan import SnrImage

Kind = Literal["complex", "real", "rician"]

MOST_VOXELS = 500_000
RICIAN_SNR = 3.0  # magnitudes are judged above it; below, what is removed holds the noise floor too
TOLERANCE = {"measured": 0.02}  # how well noise_sd is known: of a noise scan; of an estimate or a user:
_OTHERWISE = 0.05
SMOOTHING = 1.0  # voxels, of the result before its gradient is taken


@dataclass(frozen=True)
class Standardised:
    """Noisy and denoised image over noise_sd, (part, frame, z, y, x): real and imaginary, or one part.

    z           removed, over the noise's SD: noise_sd, or for magnitudes over it by Rice's law; 0 where not `used`
    before, after  noisy and denoised over noise_sd
    used, snr   (frame, z, y, x): where z counts; |denoised| / noise_sd
    gmap        broadcast to the image; floor: mean of z that Rice's law allows where the noise floor was taken away
    tolerance   relative error with which noise_sd is known
    """

    kind: Kind
    z: np.ndarray
    before: np.ndarray
    after: np.ndarray
    used: np.ndarray
    snr: np.ndarray
    gmap: np.ndarray
    floor: float
    spectrum: NoiseSpectrum
    tolerance: float

    @property
    def parts(self) -> int:
        return self.z.shape[0]

    @cached_property
    def edges(self) -> np.ndarray:
        """Gradient in the plane of the result over noise_sd, smoothed; (frame, z, y, x)."""
        total = np.zeros(self.used.shape, dtype=np.float32)
        for part in self.after:
            smooth = gaussian_filter(np.nan_to_num(part), (0, 0, SMOOTHING, SMOOTHING), truncate=3)
            for axis in (2, 3):
                if smooth.shape[axis] > 1:
                    total += np.gradient(smooth, axis=axis) ** 2
        return np.sqrt(total)

    def error_of_power(self, voxels: float | int) -> float:
        """Relative SD of the mean square of noise over so many voxels: sqrt(2 / independent values)."""
        return float(np.sqrt(2 * self.spectrum.repeats / max(self.parts * voxels, 1)))

    def power(self, where: np.ndarray) -> float:
        """Mean square of z over `where` (frame, z, y, x)."""
        return float(np.mean(self.z[:, where].astype(np.float64) ** 2))


def kind_of(noisy: SnrImage) -> Kind:
    """Complex, a magnitude (nowhere negative), or real with signed noise."""
    return "complex" if noisy.is_complex else "rician" if is_rician(noisy) else "real"


def standardised(noisy: SnrImage, denoised: SnrImage, spectrum: NoiseSpectrum) -> Standardised:
    """Both images over the noise, at most about half a million voxels: the middle frames, then the middle slices.

    Raises InputError where shapes differ or no voxel has noise and signal enough.
    """
    if noisy.image.shape != denoised.image.shape or noisy.is_complex != denoised.is_complex:
        expected, found = (f"{tuple(i.image.shape)} {i.image.dtype}" for i in (noisy, denoised))
        raise InputError(f"a denoised image like the noisy one, {expected}", found, "give the result of denoising it")
    shape = noisy.image.shape
    block = middle(tuple(shape))
    sd, gmap = (_array(m.expand(shape)[block]).astype(np.float32) for m in (noisy.noise_sd, noisy.gmap))
    before, after = (_parts(_array(i.image[block]) / np.maximum(sd, 1e-20)) for i in (noisy, denoised))
    used = (sd > 0) & (before != 0).any(0) & np.isfinite(before).all(0) & np.isfinite(after).all(0)
    snr = np.sqrt(np.square(after).sum(0))
    kind, floor, scale = kind_of(noisy), 0.0, np.ones((), dtype=np.float32)
    if kind == "rician":
        used = used & (snr > RICIAN_SNR)
        scale = np.sqrt(magnitude_variance(np.maximum(snr, RICIAN_SNR))).astype(np.float32)
    if used.sum() < 64:
        found = f"{int(used.sum())} voxels above the noise"
        raise InputError("at least 64 voxels to judge", found, "give the noise level with --noise-sd")
    if kind == "rician":
        floor = float(np.mean(np.asarray(mean_magnitude(snr[used])) - snr[used]))
    z = np.where(used, (before - after) / scale, 0).astype(np.float32)
    tolerance = TOLERANCE.get(noisy.noise_source, _OTHERWISE)
    return Standardised(kind, z, before, after, used, snr, gmap, floor, spectrum, tolerance)


def middle(shape: tuple[int, ...], most: int = MOST_VOXELS) -> tuple[slice, ...]:
    """The middle frames, then the middle slices of (frame, z, y, x), about `most` voxels; planes stay whole."""
    places, size = [slice(None)] * 4, int(np.prod(shape))
    for axis, least in ((0, 4), (1, 4)):
        keep = min(shape[axis], max(least, int(shape[axis] * most / size)))
        start = (shape[axis] - keep) // 2
        places[axis] = slice(start, start + keep)
        size = size // shape[axis] * keep
    return tuple(places)


def _array(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()


def _parts(image: np.ndarray) -> np.ndarray:
    parts = (image.real, image.imag) if np.iscomplexobj(image) else (image,)
    return np.stack(parts).astype(np.float32)
