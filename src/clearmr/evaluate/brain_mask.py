"""Where the brain is in a volume of a head: enough for volumetry where no better mask is given."""

import numpy as np
from scipy import ndimage
from torch import Tensor

from clearmr.errors import InputError

Mm = tuple[float, float, float]
_RADII = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0)  # mm taken off every surface, until the brain comes off the scalp
_CLOSE = 6.0  # mm: fluid between tissue is filled up to twice this
_REGROWN = 3.0  # mm of tissue beside that: thin gyri
_SCALP, _REACHED = 5.0, 0.1  # mm from the air; share of it that a brain may reach


def brain_mask(image: Tensor | np.ndarray, *, spacing: Mm = (1.0, 1.0, 1.0)) -> np.ndarray:
    """Bool mask (z, y, x) of the brain, fluid between and in it included, of a magnitude volume with or without skull.

    Otsu's threshold, then as many mm are taken off every surface as are needed for the thickest piece, grown back by
    as many and one more, not to reach the scalp; closed at last. Meant for T1: dark skull and fluid part brain from
    scalp. spacing in mm (z, y, x). Raises InputError for an image of one level.
    """
    volume = np.abs(np.asarray(image.detach().cpu() if isinstance(image, Tensor) else image)).astype(np.float32)
    smooth = ndimage.gaussian_filter(volume, [1.2 / s for s in spacing])
    head = smooth > 0.25 * otsu(smooth)
    box = bounding_box(head)
    tissue = _padded(smooth[box] > otsu(smooth), spacing)
    scalp = _padded(_distance(ndimage.binary_fill_holes(head[box]), spacing) <= _SCALP, spacing) & tissue
    brain = _loosened(tissue, scalp, spacing)
    closed = _away(~(_away(brain, spacing) <= _CLOSE), spacing) > _CLOSE
    mask = np.zeros(volume.shape, dtype=bool)
    mask[box] = _unpadded(ndimage.binary_fill_holes(closed | brain), spacing)
    return mask


def _loosened(tissue: np.ndarray, scalp: np.ndarray, spacing: Mm) -> np.ndarray:
    """The thickest piece of tissue, after the least opening that parts it from the scalp."""
    depth = _distance(tissue, spacing)
    brain = tissue
    for radius in _RADII:
        brain = tissue & (_away(_thickest(depth, radius), spacing) <= radius + 1)
        if (brain & scalp).sum() <= _REACHED * scalp.sum():
            break
    return tissue & (_away(brain, spacing) <= _REGROWN) & ~scalp


def otsu(image: np.ndarray) -> float:
    """Otsu's threshold (1979): the level that parts the values into two classes of least variance."""
    top = float(np.quantile(image, 0.999))
    counts, edges = np.histogram(image, bins=256, range=(float(image.min()), top))
    if not top > image.min():
        raise InputError("an image of a head", "one level everywhere", "give a mask with --mask")
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), counts.sum() - np.cumsum(counts)
    first = np.cumsum(counts * centres)
    means = first / np.maximum(below, 1), (first[-1] - first) / np.maximum(above, 1)
    return float(centres[np.argmax(below * above * (means[1] - means[0]) ** 2)])


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box (z, y, x) that holds the mask. Raises InputError for an empty one."""
    if not mask.any():
        raise InputError("a mask with voxels inside", "an empty mask", "choose another mask")
    return ndimage.find_objects(mask.view(np.uint8))[0]


def _distance(mask: np.ndarray, spacing: Mm) -> np.ndarray:
    """Distance in mm of every voxel of the mask to its outside."""
    return ndimage.distance_transform_edt(mask, sampling=spacing)


def _away(mask: np.ndarray, spacing: Mm) -> np.ndarray:
    """Distance in mm of every voxel to the mask."""
    return _distance(~mask, spacing)


def _thickest(depth: np.ndarray, least: float) -> np.ndarray:
    """The connected piece deeper than `least` mm that holds the deepest voxel."""
    pieces, _ = ndimage.label(depth > min(least, 0.5 * float(depth.max())))
    return pieces == pieces[np.unravel_index(int(depth.argmax()), depth.shape)]


def _margins(spacing: Mm) -> list[int]:
    return [int(np.ceil(_CLOSE / s)) + 1 for s in spacing]


def _padded(mask: np.ndarray, spacing: Mm) -> np.ndarray:
    return np.pad(mask, [(m, m) for m in _margins(spacing)])


def _unpadded(mask: np.ndarray, spacing: Mm) -> np.ndarray:
    return mask[tuple(slice(m, -m) for m in _margins(spacing))]
