"""How sharp an image is against a reference, by its gradients. Volumes (z, y, x) or series of them, one unit for both.

Two figures, since noise has gradients too: the ratio of gradient energies (1: as much; above it a noisy image, below a
blurred one), and the share of the reference's own gradients that is there (the slope of a regression of gradient on
gradient), which noise that is independent of the reference leaves alone.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from clearmr.errors import InputError

DETAIL = 1.5  # voxels: SD of the Gaussian below which structure counts as detail


def sharpness(
    reference: Tensor | np.ndarray,
    test: Tensor | np.ndarray,
    mask: Tensor | np.ndarray | None = None,
    *,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> dict[str, float]:
    """gradient_energy, sum |grad test|^2 / sum |grad reference|^2; edges, sum grad test . grad reference / the same.

    Both 1 for equal images; (..., z, y, x), magnitudes of complex ones; mask broadcastable, nonzero inside; spacing
    in mm. Raises InputError for different shapes, or a reference that is flat inside the mask.
    """
    ref, tst = (_array(values) for values in (reference, test))
    if ref.shape != tst.shape:
        raise InputError(f"an image of the reference's shape {ref.shape}", str(tst.shape), "resample one of them first")
    inside = np.ones(ref.shape, bool) if mask is None else np.broadcast_to(_array(mask) != 0, ref.shape)
    first, second = (gradient(values, spacing)[:, inside] for values in (ref, tst))
    energy = float((first**2).sum())
    if not energy > 0 or not math.isfinite(energy):
        raise InputError("a reference with edges in the mask", "a flat one, or an empty mask", "give another")
    return {"gradient_energy": float((second**2).sum()) / energy, "edges": float((first * second).sum()) / energy}


def residual_structure(
    reference: Tensor | np.ndarray,
    noisy: Tensor | np.ndarray,
    test: Tensor | np.ndarray,
    mask: Tensor | np.ndarray | None = None,
) -> float:
    """Correlation of what was removed, noisy - test, with the reference's detail; 0 where only noise was removed.

    Detail: the reference less itself smoothed by a Gaussian of 1.5 voxels. Positive: edges were removed with the
    noise; negative: edges were made steeper. Shapes and errors as `sharpness`.
    """
    ref, before, after = (_array(values) for values in (reference, noisy, test))
    if not ref.shape == before.shape == after.shape:
        raise InputError(f"images of the reference's shape {ref.shape}", f"{before.shape}, {after.shape}", "resample")
    inside = np.ones(ref.shape, bool) if mask is None else np.broadcast_to(_array(mask) != 0, ref.shape)
    sigma = [0.0] * (ref.ndim - 3) + [DETAIL if n > 1 else 0.0 for n in ref.shape[-3:]]
    detail, removed = (ref - ndimage.gaussian_filter(ref, sigma))[inside], (before - after)[inside]
    if not detail.size or not detail.std() > 0:
        raise InputError("a reference with edges in the mask", "a flat one, or an empty mask", "give another")
    return float(np.corrcoef(detail, removed)[0, 1]) if removed.std() > 0 else 0.0


def gradient(image: np.ndarray, spacing: tuple[float, float, float]) -> Float[np.ndarray, "axis *shape"]:
    """Central differences along z, y and x per mm; none along an axis of one voxel."""
    axes = [axis for axis in (-3, -2, -1) if image.shape[axis] > 1]
    return np.stack([np.gradient(image, spacing[axis], axis=axis) for axis in axes])


def _array(image: Tensor | np.ndarray) -> np.ndarray:
    values = np.asarray(image.detach().cpu() if isinstance(image, Tensor) else image)
    if values.dtype == bool:
        return values
    return (np.abs(values) if np.iscomplexobj(values) else values).astype(np.float64)
