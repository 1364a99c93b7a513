"""Tissue segmentation of a brain by DIPY's hidden Markov random field: the offline stand-in for FSL-FAST."""

from typing import Any, Literal

import numpy as np
from scipy import ndimage
from torch import Tensor

from clearmr.errors import InputError
from clearmr.evaluate.brain_mask import Mm, bounding_box, brain_mask

TISSUES = {1: "CSF", 2: "GM", 3: "WM"}
Contrast = Literal["t1", "t2"]
_SHADING_MM = 25.0  # SD of the Gaussian beyond which a change of intensity is the receive field's
_ROUNDS = 5
_GRID_MM = 4.0
_LEAST = 8  # voxels along every axis


def segment_tissues(
    image: Tensor | np.ndarray,
    *,
    mask: Tensor | np.ndarray | None = None,
    spacing: Mm = (1.0, 1.0, 1.0),
    contrast: Contrast = "t1",
    unshade: bool = True,
    beta: float = 0.1,
    iterations: int = 100,
    tolerance: float = 1e-5,
) -> np.ndarray:
    """Labels (z, y, x) uint8 of a brain volume, magnitude or complex: 0 outside, 1 CSF, 2 grey, 3 white matter.

    Zhang, Brady & Smith 2001, as DIPY has it (TissueClassifierHMRF): three classes of intensity, neighbours alike by
    `beta`, until the energy settles (`tolerance`) or for `iterations`. Classes are named by their order of intensity:
    "t1" is CSF < grey < white, "t2" white < grey < CSF. image: (z, y, x) or (1, z, y, x), any unit; mask: the brain, of
    that shape, `brain_mask` if not given; spacing in mm (z, y, x). unshade: first divide by the slow change of
    intensity that coils leave, found in turn with the classes. The same input gives the same labels. Raises InputError
    for another shape, an empty mask, and where DIPY is not installed.
    """
    classifier = _classifier()
    volume = _volume(image)
    inside = brain_mask(volume, spacing=spacing) if mask is None else _mask(mask, volume.shape)
    box = bounding_box(inside)
    inside, brain = inside[box], volume[box]
    if unshade:
        brain = brain / shading(brain, inside, spacing=spacing)
    _, found, _ = classifier.classify(
        _prepared(brain, inside), len(TISSUES), beta, tolerance=tolerance, max_iter=iterations
    )
    # A voxel of the mask that the classifier takes for background is as dark as it.
    order = np.clip(found, 1, 3) if contrast == "t1" else 4 - np.clip(found, 1, 3)
    labels = np.zeros(volume.shape, dtype=np.uint8)
    labels[box] = np.where(inside, order, 0)
    return labels


def shading(brain: np.ndarray, inside: np.ndarray, *, spacing: Mm) -> np.ndarray:
    """The slow change of intensity over a brain (z, y, x), about 1; 1 is the mean over the mask.

    In turn: three classes of the evened image, and the smoothed image over the smoothed means of its classes
    (Guillemaud & Brady 1997, with a ratio of sums in place of a mean of logarithms, which noise would bias).
    """
    step = [max(1, round(_GRID_MM / s)) for s in spacing]
    grid = tuple(slice(None, None, n) for n in step)
    image, where = brain[grid].astype(np.float64), inside[grid]
    widths = [_SHADING_MM / (s * n) for s, n in zip(spacing, step, strict=True)]
    model = np.ones_like(image)
    field = np.ones_like(image)
    for _ in range(_ROUNDS):
        seen, expected = (ndimage.gaussian_filter(a * where, widths) for a in (image, model))
        field = seen / np.maximum(expected, 1e-6 * expected.max() or 1.0)
        field /= max(field[where].mean(), 1e-30)
        field = np.clip(field, 0.02, None)
        model = _class_means(image / field, where)
    scale = np.array([1 / n for n in step])
    return ndimage.affine_transform(field, scale, output_shape=brain.shape, order=1, mode="nearest")


def _class_means(image: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Every voxel's mean of its class, of three by Lloyd's algorithm."""
    values = image[where]
    means = np.quantile(values, (0.1, 0.45, 0.85))
    for _ in range(20):
        place = np.digitize(values, (means[1:] + means[:-1]) / 2)
        means = np.array([values[place == k].mean() if (place == k).any() else means[k] for k in range(3)])
    return means[np.digitize(image, (means[1:] + means[:-1]) / 2)]


def _prepared(brain: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """In the classifier's unit: 0 to 1 in the mask, and outside it the noise that DIPY itself would draw anew."""
    top = float(np.quantile(brain[inside], 0.995))
    if not top > 0:
        raise InputError("an image with signal in the mask", "zeros", "check the image and the mask")
    outside = 0.001 + 1e-4 * np.random.default_rng(0).standard_normal(brain.shape)
    return np.where(inside, np.clip(brain / top, 0.002, 1.0), outside).astype(np.float64)


def _volume(image: Tensor | np.ndarray) -> np.ndarray:
    array = np.abs(np.asarray(image.detach().cpu() if isinstance(image, Tensor) else image)).astype(np.float32)
    volume = array[0] if array.ndim == 4 and array.shape[0] == 1 else array
    if volume.ndim != 3 or min(volume.shape) < _LEAST:
        found, todo = f"shape {array.shape}", "volumetry is for 3D images of one frame"
        raise InputError(f"a volume (z, y, x) of at least {_LEAST} voxels along every axis", found, todo)
    if not np.isfinite(volume).all():
        raise InputError("an image of finite numbers", "NaN or infinite voxels", "repair it first")
    return volume


def _mask(mask: Tensor | np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(mask.detach().cpu() if isinstance(mask, Tensor) else mask)
    array = array[0] if array.ndim == 4 and array.shape[0] == 1 else array
    if array.shape != shape:
        raise InputError(f"a mask of the image's shape {shape}", str(array.shape), "draw it on this image")
    if not (array != 0).any():
        raise InputError("a mask with voxels inside", "an empty mask", "choose another mask")
    return array != 0


def _classifier() -> Any:
    try:
        from dipy.segment.tissue import TissueClassifierHMRF
    except ImportError as error:
        todo = "install it: pip install 'clearmr[volumetry]', or give label maps of another program"
        raise InputError("DIPY for tissue segmentation", "no package dipy", todo) from error
    return TissueClassifierHMRF(verbose=False)
