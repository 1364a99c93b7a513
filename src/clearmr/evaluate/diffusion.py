"""Diffusion tensors (DIPY's weighted fit): their maps, their signal, and their errors against a reference.

b values in s/mm^2, diffusivities in mm^2/s. Images are (volume, z, y, x), directions (volume, 3) as in a .bvec file:
V1 lies in their frame, and an angle between two V1 does not depend on which frame that is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from clearmr.errors import InputError

B0 = 50.0  # s/mm^2: a lower b value counts as no diffusion weighting
LEAST = 7  # volumes: six elements of a tensor and the signal without weighting
WHITE_FA, WHITE_MD = 0.25, 1.3e-3  # white matter: anisotropic, and no fluid

Volume = Float[np.ndarray, "z y x"]


@dataclass(frozen=True)
class DtiMaps:
    """What a tensor tells of every voxel; zeros outside the mask of the fit.

    fa  fractional anisotropy, 0 to 1;  md  mean diffusivity, mm^2/s;  s0  signal without weighting, the image's unit
    v1  (3, z, y, x) unit vector of the largest eigenvalue, without a sign
    tensor  (6, z, y, x): Dxx, Dxy, Dyy, Dxz, Dyz, Dzz in mm^2/s
    """

    fa: Volume
    md: Volume
    v1: Float[np.ndarray, "3 z y x"]
    s0: Volume
    tensor: Float[np.ndarray, "6 z y x"]


def fit_dti(
    image: Tensor | np.ndarray,
    bvals: np.ndarray,
    bvecs: np.ndarray,
    mask: Tensor | np.ndarray | None = None,
) -> DtiMaps:
    """The weighted least-squares tensor (Basser et al. 1994; DIPY) of every voxel inside the mask.

    image (volume, z, y, x), magnitudes; mask (z, y, x), default all voxels. Raises InputError where b values and
    directions do not fit the image or are too few, and where DIPY is absent.
    """
    volumes = _array(image)
    values, vectors = check_gradients(bvals, bvecs, len(volumes))
    inside = np.ones(volumes.shape[1:], bool) if mask is None else _mask(mask, volumes.shape[1:])
    model = _model(values, vectors, least=_least(volumes[:, inside]))
    fit = model.fit(volumes[:, inside].T)
    tensor = fit.lower_triangular()
    # DIPY keeps negative eigenvalues of noisy voxels; an anisotropy above 1 would come of them.
    found = np.clip(fit.evals, 0, None)
    return DtiMaps(
        fa=_placed(anisotropy(found), inside),
        md=_placed(found.mean(-1), inside),
        v1=_placed(fit.evecs[..., :, 0], inside),
        s0=_placed(np.exp(_log_s0(volumes[:, inside].T, tensor, values, vectors)), inside),
        tensor=_placed(tensor, inside),
    )


def of_tensor(tensor: Float[np.ndarray, "6 z y x"], s0: Volume) -> DtiMaps:
    """The maps of given tensors, where there is signal: what a noise-free measurement tells."""
    full = np.moveaxis(_matrix(tensor), (0, 1), (-2, -1))
    values, vectors = np.linalg.eigh(full)
    values = np.clip(values, 0, None)
    there = s0 > 0
    v1 = np.moveaxis(vectors[..., -1], -1, 0) * there
    return DtiMaps(anisotropy(values) * there, values.mean(-1) * there, v1, s0, tensor * there)


def anisotropy(eigenvalues: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape"]:
    """sqrt(3/2 sum (l - mean)^2 / sum l^2); 0 where nothing diffuses."""
    spread = ((eigenvalues - eigenvalues.mean(-1, keepdims=True)) ** 2).sum(-1)
    power = (eigenvalues**2).sum(-1)
    return np.sqrt(1.5 * np.divide(spread, power, out=np.zeros_like(power), where=power > 0))


def synthesised(maps: DtiMaps, bvals: np.ndarray, bvecs: np.ndarray) -> Float[np.ndarray, "volume z y x"]:
    """s0 exp(-b g^T D g) of every b value and direction: the signal that the tensors predict."""
    design = design_of(np.asarray(bvals, dtype=np.float64), np.asarray(bvecs, dtype=np.float64))
    return maps.s0 * np.exp(np.tensordot(design, maps.tensor, axes=1))


def design_of(bvals: np.ndarray, bvecs: np.ndarray) -> Float[np.ndarray, "volume 6"]:
    """-b (gx^2, 2 gx gy, gy^2, 2 gx gz, 2 gy gz, gz^2): what a tensor's elements are multiplied by."""
    x, y, z = np.asarray(bvecs).T
    return -np.asarray(bvals)[:, None] * np.stack([x * x, 2 * x * y, y * y, 2 * x * z, 2 * y * z, z * z], axis=1)


def white_matter(maps: DtiMaps, mask: Tensor | np.ndarray | None = None) -> Bool[np.ndarray, "z y x"]:
    """Where FA is over 0.25, MD under 1.3e-3 mm^2/s, in the mask and less one voxel of its rim, in pieces of 27 voxels.

    Of a clean reference: noise raises FA everywhere. Raises InputError where there is none.
    """
    inside = maps.s0 > 0 if mask is None else _mask(mask, maps.fa.shape)
    core = ndimage.binary_erosion(inside, border_value=1) & (maps.fa > WHITE_FA) & (maps.md < WHITE_MD) & (maps.md > 0)
    pieces, _ = ndimage.label(core)
    kept = np.bincount(pieces.ravel()) >= 27
    kept[0] = False
    if not kept.any():
        raise InputError("a reference with white matter", f"no voxels of FA over {WHITE_FA}", "give --mask")
    return kept[pieces]


def dti_errors(reference: DtiMaps, test: DtiMaps, mask: Tensor | np.ndarray) -> dict[str, Any]:
    """Mean absolute errors of FA and MD (mm^2/s) and the mean angle between the V1 in degrees, inside the mask.

    Keys, all numbers: fa_error, md_error, v1_error, the signed means fa_bias and md_bias, voxels. Raises InputError
    where the maps' shapes differ or the mask is empty.
    """
    if reference.fa.shape != test.fa.shape:
        raise InputError(f"maps of the reference's shape {reference.fa.shape}", str(test.fa.shape), "resample one")
    inside = _mask(mask, reference.fa.shape)
    fa, md = ((getattr(test, name) - getattr(reference, name))[inside] for name in ("fa", "md"))
    cosine = np.abs((reference.v1 * test.v1).sum(0))[inside]
    return {
        "fa_error": float(np.abs(fa).mean()),
        "md_error": float(np.abs(md).mean()),
        "v1_error": float(np.degrees(np.arccos(np.clip(cosine, 0, 1))).mean()),
        "fa_bias": float(fa.mean()),
        "md_bias": float(md.mean()),
        "voxels": int(inside.sum()),
    }


def check_gradients(bvals: np.ndarray, bvecs: np.ndarray, n_volumes: int) -> tuple[np.ndarray, np.ndarray]:
    """b values (volume,) and unit directions (volume, 3), as float64.

    Raises InputError where there is not one of each for every volume, where a weighted volume has no direction of
    length 1, or where they do not span a tensor.
    """
    values, vectors = np.asarray(bvals, dtype=np.float64).ravel(), np.asarray(bvecs, dtype=np.float64)
    if values.shape != (n_volumes,) or vectors.shape != (n_volumes, 3):
        found = f"{values.size} b values and directions of shape {vectors.shape}"
        raise InputError(f"one b value and direction for each of {n_volumes} volumes", found, "give the image's own")
    weighted = values > B0
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.isfinite(values).all() or (values < 0).any() or (np.abs(lengths[weighted] - 1) > 0.05).any():
        raise InputError("b values of 0 or more, directions of length 1", "others", "check the .bval and .bvec files")
    unit = np.where(weighted[:, None], vectors / np.maximum(lengths, 1e-6)[:, None], 0)
    rank = np.linalg.matrix_rank(design_of(values * weighted, unit) / max(values.max(), 1.0), tol=1e-3)
    if n_volumes < LEAST or not (~weighted).any() or rank < 6:
        found = f"{int((~weighted).sum())} unweighted, {int(weighted.sum())} weighted volumes spanning {rank} of 6"
        raise InputError("an unweighted volume and six or more independent directions", found, "use a whole DTI scan")
    return values, unit


def _model(bvals: np.ndarray, bvecs: np.ndarray, *, least: float) -> Any:
    try:
        from dipy.core.gradients import gradient_table
        from dipy.reconst.dti import TensorModel
    except ImportError as missing:
        todo = 'pip install "clearmr[baselines]"'
        raise InputError("the package dipy for tensors", "dipy is not installed", todo) from missing
    table = gradient_table(bvals, bvecs=bvecs, b0_threshold=B0)
    return TensorModel(table, fit_method="WLS", min_signal=least)


def _least(values: np.ndarray) -> float:
    """What takes the place of zeros, which have no logarithm."""
    positive = values[values > 0]
    return 1e-3 * float(np.median(positive)) if positive.size else 1.0


def _log_s0(signal: np.ndarray, tensor: np.ndarray, bvals: np.ndarray, bvecs: np.ndarray) -> np.ndarray:
    """The mean over volumes of what the logarithm would be without weighting, weighted by the squared signal."""
    safe = np.maximum(signal, _least(signal))
    weights = safe**2 / (safe**2).sum(-1, keepdims=True)
    return (weights * (np.log(safe) - tensor @ design_of(bvals, bvecs).T)).sum(-1)


def _placed(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(voxel, ...) back to (..., z, y, x), zeros outside."""
    out = np.zeros((*values.shape[1:], *inside.shape))
    out[..., inside] = np.moveaxis(values, 0, -1)
    return out


def _matrix(tensor: np.ndarray) -> np.ndarray:
    xx, xy, yy, xz, yz, zz = tensor
    return np.stack([np.stack([xx, xy, xz]), np.stack([xy, yy, yz]), np.stack([xz, yz, zz])])


def _array(image: Tensor | np.ndarray) -> np.ndarray:
    values = np.asarray(image.detach().cpu() if isinstance(image, Tensor) else image)
    if values.ndim != 4:
        raise InputError("diffusion images (volume, z, y, x)", f"shape {values.shape}", "give the whole series")
    if not np.isfinite(values).all():
        raise InputError("images of finite numbers", "NaN or infinite voxels", "repair them first")
    return np.abs(values).astype(np.float64)


def _mask(mask: Tensor | np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    inside = np.asarray(mask.detach().cpu() if isinstance(mask, Tensor) else mask) != 0
    inside = inside[0] if inside.ndim == 4 and len(inside) == 1 else inside
    if inside.shape != shape:
        raise InputError(f"a mask of shape {shape}", str(inside.shape), "give it as (z, y, x)")
    if not inside.any():
        raise InputError("a mask with voxels inside", "an empty mask", "choose another mask")
    return inside
