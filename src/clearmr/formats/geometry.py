"""Slice order and the affine of the reconstructed image, from the positions and directions of the readouts."""

import numpy as np

from clearmr.formats.lines import Space

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
PARALLEL = 1e-3  # slice normals that differ by less are parallel


def rank_slices(table: np.ndarray) -> tuple[dict[int, int], float | None, list[str]]:
    """Slice counter -> rank along the slice direction; the slice distance in mm; warnings.

    Where the file does not tell positions (or slices are not parallel) the counters' own order stays.
    """
    counters, first = np.unique(table["slice"], return_index=True)
    normals, positions = table["slice_dir"][first].astype(float), table["position"][first].astype(float)
    by_counter = {int(c): i for i, c in enumerate(counters)}
    if len(counters) == 1 or not normals.any():
        return by_counter, None, []
    if np.abs(normals - normals[0]).max() > PARALLEL:
        return by_counter, None, ["slices are not parallel; the affine is that of the first slice"]
    along = positions @ normals[0]
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    if gaps.min() < 1e-3:
        return by_counter, None, ["several slices share one position; slices are kept in the order of their counters"]
    uneven = ["slice distances differ; the affine takes their median"] if np.ptp(gaps) > 0.05 * gaps.max() else []
    return {int(counters[o]): rank for rank, o in enumerate(order)}, float(np.median(gaps)), uneven


def affine_of(space: Space, line: np.void, slice_distance: float | None) -> np.ndarray | None:
    """4x4, voxel (x, y, z) of the reconstructed image to RAS mm; None without directions.

    `line` is a table row of the first slice. MRD gives the position of the middle of the field of view in LPS;
    after a centred transform that point is voxel n // 2.
    """
    axes = np.stack([line["read_dir"], line["phase_dir"], line["slice_dir"]], axis=1).astype(float)
    if not np.isfinite(axes).all() or abs(np.linalg.det(axes)) < 0.5:
        return None
    matrix = np.array(space.recon_matrix[::-1])
    size = np.array(space.recon_fov[::-1]) / matrix
    if slice_distance is not None and matrix[2] == 1:
        size[2] = slice_distance
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ axes * size
    affine[:3, 3] = LPS_TO_RAS @ line["position"].astype(float) - affine[:3, :3] @ (matrix // 2)
    return affine
