"""Label maps beside one another: the overlap of every structure, and its volume. Of any program's labels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from clearmr.errors import InputError

_MOST = 2**24  # what float32, in which label maps often come, holds exactly


@dataclass(frozen=True)
class Overlap:
    """Dice similarity coefficient of every label that either map has, in order of the labels, 0 to 1."""

    per_label: dict[int, float]

    @property
    def mean(self) -> float:
        """Of all labels alike, as in Table 2 of Jung et al. 2022."""
        return math.fsum(self.per_label.values()) / len(self.per_label)


def dice(reference: Tensor | np.ndarray, test: Tensor | np.ndarray) -> Overlap:
    """2 |A and B| / (|A| + |B|) of every label (Jung et al. 2022, eq. 2; Dice 1945).

    reference, test: whole numbers of one shape, 0 outside. Labels that neither has are left out; one that a single map
    has counts 0. Raises InputError where shapes differ, values are no labels, or both maps are empty.
    """
    first, second = label_map(reference, "reference"), label_map(test, "test")
    if first.shape != second.shape:
        todo = "segment images of one shape, or resample one"
        raise InputError(f"a label map of the reference's shape {first.shape}", str(second.shape), todo)
    sizes = [_counts(a) for a in (first, second, first[first == second])]
    labels = sorted(sizes[0].keys() | sizes[1].keys())
    if not labels:
        raise InputError("a label map with labels", "zeros everywhere in both", "check the segmentation")
    a, b, both = ([size.get(label, 0) for label in labels] for size in sizes)
    return Overlap({n: 2 * c / (i + j) for n, i, j, c in zip(labels, a, b, both, strict=True)})


def volumes_ml(labels: Tensor | np.ndarray, *, spacing: tuple[float, float, float]) -> dict[int, float]:
    """Volume in ml of every label but 0, from the voxel size (z, y, x) in mm. Raises InputError."""
    voxel = math.prod(spacing) / 1000
    return {label: count * voxel for label, count in sorted(_counts(label_map(labels, "labels")).items())}


def volumetry(
    reference: Tensor | np.ndarray,
    test: Tensor | np.ndarray,
    *,
    spacing: tuple[float, float, float],
    names: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """`dice` and volumes of two label maps, by name where known: {dice, mean_dice, reference_ml, test_ml}."""
    overlap = dice(reference, test)
    known = names or {}

    def named(values: Mapping[int, float]) -> dict[str, float]:
        return {known.get(label, str(label)): value for label, value in values.items()}

    return {
        "dice": named(overlap.per_label),
        "mean_dice": overlap.mean,
        "reference_ml": named(volumes_ml(reference, spacing=spacing)),
        "test_ml": named(volumes_ml(test, spacing=spacing)),
    }


def label_map(labels: Tensor | np.ndarray, name: str = "label map") -> np.ndarray:
    """Labels as int64, of the given shape. Raises InputError for values that are no whole numbers of 0 or more."""
    array = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    if np.iscomplexobj(array):
        raise InputError(f"{name} labels, whole numbers of 0 or more", "complex numbers", "give a label map")
    if not np.isfinite(array).all() or (array < 0).any() or (array > _MOST).any() or (array != np.round(array)).any():
        found, todo = "other numbers", "give a label map: a segmentation, not an image or a probability"
        raise InputError(f"{name} labels, whole numbers of 0 or more", found, todo)
    return array.astype(np.int64)


def _counts(labels: np.ndarray) -> dict[int, int]:
    values, counts = np.unique(labels[labels != 0], return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
