"""From arrays to the values that are shown: magnitudes, what was removed in units of the noise, scales."""

from dataclasses import dataclass

import numpy as np

SIGMAS = 4.0  # residuals are shown from -SIGMAS to SIGMAS, before any factor
CODED_SIGMAS = 8.0  # and kept to twice as far, for a factor of a half


@dataclass(frozen=True)
class Scale:
    """value = bottom + (top - bottom) * (code / 255) ** gamma. gamma = 2 spends the codes evenly on noise.

    ramp is how codes are coloured: "grey" (in the common window), "difference" (about 0, with the factor) or "gmap".
    """

    bottom: float
    top: float
    gamma: float = 1.0
    ramp: str = "grey"

    def encode(self, values: np.ndarray, levels: int = 256) -> np.ndarray:
        """8-bit codes of `values`, clipped to the scale, with only `levels` different ones."""
        share = np.clip((values - self.bottom) / (self.top - self.bottom), 0.0, 1.0) ** (1 / self.gamma)
        return np.round(np.round(share * (levels - 1)) * (255 / (levels - 1))).astype(np.uint8)


RESIDUAL = Scale(-CODED_SIGMAS, CODED_SIGMAS, ramp="difference")


def shown(image: np.ndarray) -> np.ndarray:
    """The magnitude of a complex image, a real image as it is; what is not finite becomes 0."""
    values = np.abs(image) if np.iscomplexobj(image) else image
    return np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def difference(noisy: np.ndarray, denoised: np.ndarray, noise_sd: np.ndarray) -> np.ndarray:
    """What was removed, in units of noise_sd; 0 where noise_sd is 0.

    Of a complex image this is the part in phase with the signal round the voxel: Gaussian at any SNR, with a sign,
    as the difference of magnitudes is not. The voxel and its neighbours have no say in the phase: it would follow
    the noise that was left in them, and what was removed would seem to have a sign where there is no signal.
    """
    removed = noisy - denoised
    if np.iscomplexobj(removed):
        signal = box_sum(denoised, 15) - box_sum(denoised, 5)
        size = np.abs(signal)
        in_phase = (removed * np.conj(signal)).real / np.where(size > 0, size, 1)
        removed = np.where(size > 0, in_phase, removed.real)
    return in_noise_units(removed, noise_sd)


def in_noise_units(values: np.ndarray, noise_sd: np.ndarray) -> np.ndarray:
    """`values` / `noise_sd`; 0 where noise_sd is 0 or anything is not finite."""
    values = np.broadcast_to(values, np.broadcast_shapes(values.shape, noise_sd.shape))
    known = np.broadcast_to(noise_sd > 0, values.shape)
    return shown(np.divide(values, noise_sd, out=np.zeros(values.shape, np.float32), where=known))


def box_sum(image: np.ndarray, size: int) -> np.ndarray:
    """Sum over `size` x `size` (odd) pixels of the last two axes round each pixel; zeros lie beyond the edges."""
    total = np.nan_to_num(image)
    for axis in (-2, -1):
        pad = [(0, 0)] * image.ndim
        pad[axis] = (size // 2 + 1, size // 2)
        running = np.cumsum(np.pad(total, pad), axis=axis)
        n = running.shape[axis]
        total = np.take(running, range(size, n), axis=axis) - np.take(running, range(n - size), axis=axis)
    return total


def grey_scale(*images: np.ndarray) -> Scale:
    """One scale for all images, from 0 (or below, where one has a sign) to all but their few brightest."""
    low, high = np.percentile(np.concatenate([_sample(image) for image in images]), (0.5, 99.95))
    top = float(high) if high > 0 else 1.0
    return Scale(0.0, 1.1 * top, 2.0) if low > -0.02 * top else Scale(float(low) * 1.1, 1.1 * top, 1.0)


def window(denoised: np.ndarray) -> tuple[float, float]:
    """The first window (low, high) of noisy and denoised alike, from the denoised image."""
    low, high = (float(v) for v in np.percentile(_sample(denoised), (0.5, 99.7)))
    low = 0.0 if low > -0.05 * high else low
    return (low, high * 1.05 if high > low else low + 1.0)


def gmap_scale(gmap: np.ndarray) -> Scale:
    """From the smallest to nearly the largest g above 0, at least 0.5 wide."""
    positive = gmap[np.isfinite(gmap) & (gmap > 0)]
    low, high = (float(v) for v in np.percentile(positive, (0.5, 99.5))) if positive.size else (1.0, 1.5)
    return Scale(low, max(high, low + 0.5), ramp="gmap")


def map_scale(values: np.ndarray) -> Scale:
    """From 0 to nearly the largest value."""
    top = float(np.percentile(_sample(values), 99.5))
    return Scale(0.0, top if top > 0 else 1.0, ramp="gmap")


def four_axes(array: np.ndarray) -> np.ndarray:
    """`array` with axes of length 1 put in front until there are four."""
    return array.reshape((1,) * (4 - array.ndim) + array.shape)


def _sample(values: np.ndarray) -> np.ndarray:
    """At most about a million values, evenly taken: enough for percentiles."""
    return values.reshape(-1)[:: max(1, values.size // 1_000_000)]
