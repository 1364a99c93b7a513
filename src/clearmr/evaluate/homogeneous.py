"""Where an image is flat, and what is left there of its highest frequencies: the noise, apart from the anatomy.

Arrays are (frame, z, y, x) magnitudes in any unit. What selects (the smoothed image's gradient) and what is measured (a
product of differences along every axis) use opposite ends of the spectrum: selecting does not bias measuring.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import convolve1d, gaussian_filter, maximum_filter

_FOURTH = np.array([1.0, -4.0, 6.0, -4.0, 1.0])
_SECOND = np.array([1.0, -2.0, 1.0])
_FIRST = np.array([0.0, 1.0, -1.0])  # as a convolution: each voxel less the one before it
Differences = dict[int, np.ndarray]  # axis: kernel

_LEAST_VOXELS = 200
_MOST_VOXELS = 4_000_000
_CLIP, _CLIPPED_VARIANCE = 3.0, 0.97334  # variance of N(0, 1) inside +-3


@dataclass(frozen=True)
class Level:
    """Flat voxels of about one signal level: how many, variance of the noise there, mean square of the magnitude."""

    voxels: int
    variance: float
    mean_square: float


@dataclass(frozen=True)
class Flatness:
    """Per voxel (1D; none by zeros or at a border): smoothed magnitude, its gradient, high-pass parts, squares."""

    smooth: np.ndarray
    gradient: np.ndarray
    high: np.ndarray  # (part, voxel): the magnitude's, or those of the real and the imaginary part
    square: np.ndarray
    magnitude: np.ndarray
    overlap: float  # that many voxels count as one
    noise_gradient: float  # expected gradient of white noise of variance 1


def centre_block(image: np.ndarray) -> np.ndarray:
    """At most about four million voxels: the middle frames, then the middle slices. Enough, and quick."""
    for axis, least in ((0, 10), (1, 16)):
        n = image.shape[axis]
        keep = min(n, max(least, int(n * _MOST_VOXELS / image.size)))
        start = (n - keep) // 2
        image = np.take(image, range(start, start + keep), axis) if keep < n else image
    return image


def flatness(image: np.ndarray, *, fourth: bool = False) -> Flatness:
    """Measure `image` (frame, z, y, x), real magnitudes or complex. Exact zeros and their neighbours are left out."""
    differences = kernels(image.shape, fourth=fourth)
    magnitude = np.abs(image).astype(np.float32)
    used = _usable(magnitude, differences)
    smooth = _smoothed(magnitude, magnitude.shape)
    parts = (image.real, image.imag) if np.iscomplexobj(image) else (magnitude,)
    return Flatness(
        smooth=smooth[used],
        gradient=_gradient(smooth)[used],
        high=np.stack([high_pass(part.astype(np.float32), differences)[used] for part in parts]),
        square=_stencil_mean(magnitude**2, differences)[used],
        magnitude=magnitude[used],
        overlap=overlap(differences),
        noise_gradient=_noise_gradient(magnitude.shape),
    )


def _smoothed(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return gaussian_filter(image, [_smoothing(axis, n) for axis, n in enumerate(shape)])


def _gradient(smooth: np.ndarray) -> np.ndarray:
    """Squared length of the gradient along the axes of three or more voxels."""
    total = np.zeros_like(smooth)
    for axis, n in enumerate(smooth.shape):
        if n >= 3:
            total += np.gradient(smooth, axis=axis) ** 2
    return total


def _noise_gradient(shape: tuple[int, ...]) -> float:
    """Expected `_gradient` of smoothed white noise of variance 1: the energy of the answer to one point."""
    point = np.zeros([min(n, 15) for n in shape], dtype=np.float32)
    point[tuple(n // 2 for n in point.shape)] = 1
    return float(_gradient(_smoothed(point, shape)).sum())


def _smoothing(axis: int, n: int) -> float:
    if n < 3:
        return 0.0
    return 1.5 if axis > 0 and n >= 8 else 0.8


def kernels(shape: tuple[int, ...], *, fourth: bool) -> dict[int, np.ndarray]:
    """The difference taken along each axis, of unit norm: second, or first along an axis of two voxels.

    `fourth`: the fourth along axes of 16 or more; it rejects more texture and tells less of the noise.
    """
    chosen = {}
    for axis, n in enumerate(shape):
        if n >= 2:
            kernel = _FIRST if n == 2 else _FOURTH if fourth and n >= 16 else _SECOND
            chosen[axis] = kernel / np.linalg.norm(kernel)
    return chosen


def overlap(differences: Differences) -> float:
    """Sum of the squared autocorrelation of the high-pass noise: that many voxels count as one."""
    return float(np.prod([np.sum(np.correlate(k, k, "full") ** 2) for k in differences.values()]))


def high_pass(image: np.ndarray, differences: Differences) -> np.ndarray:
    """Differences along every axis of two or more voxels; white noise keeps its SD."""
    for axis, kernel in differences.items():
        image = convolve1d(image, kernel, axis=axis)
    return image


def _stencil_mean(image: np.ndarray, differences: Differences) -> np.ndarray:
    """Mean over the stencil of `high_pass`, weighted as the noise in it is: by the squares of its coefficients."""
    for axis, kernel in differences.items():
        image = convolve1d(image, kernel**2, axis=axis)
    return image


def _usable(magnitude: np.ndarray, differences: Differences) -> np.ndarray:
    reach = [(5 if n >= 8 and axis > 0 else 3) if n >= 2 else 1 for axis, n in enumerate(magnitude.shape)]
    used = maximum_filter((magnitude == 0).view(np.uint8), size=reach) == 0
    return used & inner(magnitude.shape, differences)


def inner(shape: tuple[int, ...], differences: Differences) -> np.ndarray:
    """Voxels whose differences do not reach over a border; bool of `shape`."""
    inside = np.ones(shape, dtype=bool)
    for axis, kernel in differences.items():
        border = kernel.size // 2
        along = np.zeros(shape[axis], dtype=bool)
        along[border : shape[axis] - (border if shape[axis] > 2 else 0)] = True
        inside &= along.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return inside


def levels(flat: Flatness, *, steps: int = 9, share: float = 0.33) -> list[Level]:
    """The flattest `share` of the voxels of each signal level (by the smoothed magnitude), dark to bright; more than
    that share where their gradients are no larger than the noise explains.
    """
    top = np.quantile(flat.smooth, 0.995)
    by_count = np.quantile(flat.smooth, np.linspace(0, 1, steps + 1))
    edges = np.unique(np.concatenate([by_count, np.linspace(0, top, steps + 1)]))
    found = []
    place = np.digitize(flat.smooth, edges[1:-1])
    order = np.argsort(place, kind="stable")
    for members in np.split(order, np.cumsum(np.bincount(place, minlength=len(edges) - 1))[:-1]):
        if members.size * share >= _LEAST_VOXELS:
            found.append(_level(flat, members, share))
    return found or [_level(flat, order, 1.0)]


def _level(flat: Flatness, members: np.ndarray, share: float) -> Level:
    gradient = flat.gradient[members]
    limit = float(np.quantile(gradient, share))
    flattest = robust_variance(flat.high[:, members[gradient <= limit]])
    chosen = members[gradient <= max(limit, 2 * flat.noise_gradient * flattest)]
    return Level(chosen.size, robust_variance(flat.high[:, chosen]), float(flat.square[chosen].mean(dtype=np.float64)))


def robust_variance(values: np.ndarray) -> float:
    """Variance of zero-mean Gaussian values with few outliers: the mean square inside +-3 SD, made self-consistent."""
    size = np.abs(values).ravel()
    sd = float(np.median(size)) / 0.6745
    for _ in range(4):
        inside = size[size <= _CLIP * sd]
        sd = float(np.sqrt(np.mean(inside.astype(np.float64) ** 2) / _CLIPPED_VARIANCE)) if inside.size else 0.0
    return sd**2
