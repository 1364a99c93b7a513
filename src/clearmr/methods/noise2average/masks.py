"""Where the loss counts: the user's mask, the brain of a whole head, or else what is brighter than the background."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from clearmr.errors import InputError
from clearmr.evaluate.brain_mask import brain_mask, otsu
from clearmr.scan import SnrImage

BRAIN_ML = (500.0, 2500.0)  # what is found as a brain may be so large
BORDER = 0.02  # of the mask's voxels on the volume's border: more, and the head is cropped


def mask_for(images: Sequence[SnrImage], mask: Tensor | None) -> tuple[Float[Tensor, "z y x"], str]:
    """The mask (ones and zeros), and how it came about. Raises InputError for one that is empty or of another shape."""
    shape = tuple(images[0].image.shape[1:])
    if mask is not None:
        found = mask[0] if mask.ndim == 4 else mask
        if tuple(found.shape) != shape:
            raise InputError(f"a mask of shape {shape}", f"{tuple(found.shape)}", "give one of the repeats' own grid")
        if not bool((found != 0).any()):
            raise InputError("a mask with voxels inside", "an empty one", "give another, or leave --mask out")
        return (found != 0).float(), "given"
    mean = torch.stack([image.image.abs().float().mean(0) for image in images]).mean(0).numpy()
    if images[0].image.shape[0] == 1:
        brain = brain_mask(mean, spacing=images[0].spacing)
        if _plausible(brain, images[0].spacing):
            return torch.from_numpy(brain.astype(np.float32)), "brain"
    return torch.from_numpy(foreground(mean).astype(np.float32)), "foreground"


def foreground(volume: np.ndarray) -> np.ndarray:
    """What is brighter than half of Otsu's threshold, holes filled."""
    smooth = ndimage.gaussian_filter(volume, 1.0)
    return ndimage.binary_fill_holes(smooth > 0.5 * otsu(smooth))


def _plausible(brain: np.ndarray, spacing: tuple[float, float, float]) -> bool:
    inner = brain[1:-1, 1:-1, 1:-1].sum()
    volume = brain.sum() * float(np.prod(spacing)) / 1000
    return bool(BRAIN_ML[0] <= volume <= BRAIN_ML[1] and brain.sum() - inner <= BORDER * brain.sum())
