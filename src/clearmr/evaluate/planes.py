"""Several images against one reference, plane by plane: is one nearer to it than another, or is that chance?"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from clearmr.errors import InputError
from clearmr.evaluate.metrics import alike
from clearmr.evaluate.statistics import paired_t_test, wilcoxon

LEAST = 6  # planes: with fewer no signed-rank test can reach p = 0.05


def plane_errors(
    reference: Tensor | np.ndarray, test: Tensor | np.ndarray, mask: Tensor | np.ndarray | None = None
) -> np.ndarray:
    """Root mean squared difference of each plane (frame, z), in the images' unit, (plane,); inside a mask.

    Images (frame, z, y, x), a complex one beside a magnitude one taken as magnitude; mask broadcastable, nonzero
    inside; planes without a voxel inside are NaN. Raises InputError where shapes differ.
    """
    ref, tst = (a.detach().cpu().numpy() if isinstance(a, Tensor) else np.asarray(a) for a in (reference, test))
    if ref.shape != tst.shape or ref.ndim != 4:
        raise InputError(f"images of one shape (frame, z, y, x), {ref.shape}", str(tst.shape), "resample one of them")
    ref, tst = alike(ref, tst)
    inside = np.ones(ref.shape, dtype=bool) if mask is None else np.broadcast_to(np.asarray(mask) != 0, ref.shape)
    square = np.where(inside, np.abs(tst - ref).astype(np.float64) ** 2, 0).sum((2, 3)).ravel()
    voxels = inside.sum((2, 3)).ravel()
    return np.sqrt(np.where(voxels > 0, square / np.maximum(voxels, 1), np.nan))


def paired_tests(errors: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """A row per pair of images: mean error of each, Wilcoxon's and the t-test's p over the planes that both have.

    Neighbouring planes are alike, so p is too small where they are many: the test of a claim is over subjects. Pairs
    of under six planes are left out. `nearer` is the image of the smaller mean error where Wilcoxon's p is under 0.05.
    """
    rows = []
    for (a, first), (b, second) in itertools.combinations(errors.items(), 2):
        both = np.isfinite(first) & np.isfinite(second)
        if both.sum() < LEAST:
            continue
        one, other = [float(v) for v in first[both]], [float(v) for v in second[both]]
        p = wilcoxon(one, other).p
        t = paired_t_test(one, other).p
        means = {a: float(np.mean(one)), b: float(np.mean(other))}
        row = {"a": a, "b": b, "planes": int(both.sum()), "rmse_a": means[a], "rmse_b": means[b]}
        nearer = min(means, key=lambda name: means[name]) if p < 0.05 else None
        rows.append({**row, "wilcoxon_p": p, "t_test_p": t if np.isfinite(t) else None, "nearer": nearer})
    return rows
