"""How wide an edge is: the distance over which the signal rises from 10 to 90 %, and lesions that were laid in."""

import numpy as np
from scipy.ndimage import map_coordinates
from torch import Tensor

from clearmr.errors import InputError

SAMPLES = 16  # per voxel
Point = tuple[float | int, float | int]  # (y, x) in voxels


def profile(image: Tensor | np.ndarray, start: Point, stop: Point, *, width: int = 1) -> np.ndarray:
    """Magnitudes along a line in a plane (y, x) from `start` to `stop` (y, x in voxels), 16 samples per voxel.

    width: how many parallel lines, one voxel apart, are averaged. Cubic interpolation. Raises InputError for a line
    that leaves the image.
    """
    plane = np.abs(image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)).astype(np.float64)
    ends = np.array([start, stop], dtype=np.float64)
    if plane.ndim != 2 or (ends < 0).any() or (ends > np.array(plane.shape) - 1).any():
        raise InputError(f"a line inside a plane of {plane.shape}", f"{start} to {stop}", "choose other ends")
    length = float(np.hypot(*(ends[1] - ends[0])))
    if length < 2:
        raise InputError("a line of at least two voxels", f"{length:.2f}", "choose ends farther apart")
    along = ends[0] + np.linspace(0, 1, round(SAMPLES * length) + 1)[:, None] * (ends[1] - ends[0])
    across = np.array([-(ends[1] - ends[0])[1], (ends[1] - ends[0])[0]]) / length
    lines = [along + shift * across for shift in np.arange(width) - (width - 1) / 2]
    return np.mean([map_coordinates(plane, line.T, order=3, mode="nearest") for line in lines], axis=0)


def edge_width(values: np.ndarray, *, step: float = 1 / SAMPLES, plateau: float = 0.2) -> float:
    """10 to 90 % rise distance of an edge profile, in the unit of `step`.

    The levels are the medians of the first and the last `plateau` of the profile; of several crossings the innermost
    two count. A step blurred by a Gaussian of SD s has 2.563 s. Raises InputError where the levels are equal.
    """
    ends = max(1, round(plateau * len(values)))
    low, high = float(np.median(values[:ends])), float(np.median(values[-ends:]))
    if low == high:
        raise InputError("an edge between two levels", "a flat profile", "lay the line across an edge")
    rise = (np.asarray(values, dtype=np.float64) - low) / (high - low)
    return (_crossing(rise, 0.9) - _crossing(rise, 0.1)) * step


def _crossing(rise: np.ndarray, level: float) -> float:
    """Index (fraction) at which `rise` crosses `level` nearest to where it crosses one half."""
    above = rise >= level
    steps = np.nonzero(above[1:] & ~above[:-1])[0]
    if not len(steps):
        raise InputError("an edge that rises from one level to the other", "one that does not", "choose other ends")
    half = np.nonzero((rise[1:] >= 0.5) & (rise[:-1] < 0.5))[0]
    at = steps[np.argmin(np.abs(steps - (half[len(half) // 2] if len(half) else steps[0])))]
    return float(at + (level - rise[at]) / (rise[at + 1] - rise[at]))
