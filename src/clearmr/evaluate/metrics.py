"""How near an image is to its reference: PSNR, SSIM, NRMSE, mean signal. Images (frame, z, y, x), one unit for both."""

import math
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter
from torch import Tensor

from clearmr.errors import InputError

_WINDOW = 7
_K1, _K2 = 0.01, 0.03


def psnr(reference: np.ndarray, test: np.ndarray, *, data_range: float, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(data_range^2 / mean |difference|^2); infinite for equal images."""
    error = float(np.mean(_inside(np.abs(test - reference) ** 2, mask)))
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def nrmse(reference: np.ndarray, test: np.ndarray, *, mask: np.ndarray | None = None) -> float:
    """Root of the squared error over the root of the squared reference (scikit-image's "euclidean")."""
    error = float(np.sum(_inside(np.abs(test - reference) ** 2, mask)))
    power = float(np.sum(_inside(np.abs(reference) ** 2, mask)))
    return math.sqrt(error / power) if power > 0 else (0.0 if error == 0 else math.inf)


def ssim(reference: np.ndarray, test: np.ndarray, *, data_range: float, mask: np.ndarray | None = None) -> float:
    """Mean structural similarity of the (y, x) planes of two magnitude images.

    Wang, Bovik, Sheikh, Simoncelli 2004 with a uniform 7 x 7 window, sample covariances, K1 0.01, K2 0.03, the mean
    without a border of 3: scikit-image's `structural_similarity` with its defaults. With a mask: the mean inside it,
    NaN where it lies in that border.
    """
    planes = [a.reshape(-1, *a.shape[-2:]) for a in (reference, test)]
    if min(planes[0].shape[-2:]) < _WINDOW:
        raise InputError(
            f"planes of at least {_WINDOW} x {_WINDOW} for SSIM", str(reference.shape), "use larger images"
        )
    maps = np.stack([_ssim_map(r, t, data_range) for r, t in zip(*planes, strict=True)])
    pad = _WINDOW // 2
    inner = (slice(None), slice(pad, -pad), slice(pad, -pad))
    chosen = None if mask is None else np.broadcast_to(mask, reference.shape).reshape(maps.shape)[inner]
    return _mean(_inside(maps[inner], chosen))


def ssim_3d(reference: np.ndarray, test: np.ndarray, *, data_range: float, mask: np.ndarray | None = None) -> float:
    """As `ssim`, of volumes: a window of 7 x 7 x 7 over (z, y, x), the mean over the frames and without a border of 3.

    scikit-image's `structural_similarity` of the volume. Raises InputError for volumes under 7 voxels along an axis.
    """
    volumes = [a.reshape(-1, *a.shape[-3:]) for a in (reference, test)]
    if min(volumes[0].shape[-3:]) < _WINDOW:
        raise InputError("volumes of at least 7 x 7 x 7 for SSIM in 3D", str(reference.shape), "use SSIM of the planes")
    maps = np.stack([_ssim_map(r, t, data_range) for r, t in zip(*volumes, strict=True)])
    inner = (slice(None), *(slice(_WINDOW // 2, -(_WINDOW // 2)),) * 3)
    chosen = None if mask is None else np.broadcast_to(mask, reference.shape).reshape(maps.shape)[inner]
    return _mean(_inside(maps[inner], chosen))


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if values.size else math.nan


def _ssim_map(reference: np.ndarray, test: np.ndarray, data_range: float) -> np.ndarray:
    x, y = reference.astype(np.float64), test.astype(np.float64)
    samples = _WINDOW**x.ndim
    unbiased = samples / (samples - 1)
    mean_x, mean_y = (uniform_filter(a, _WINDOW) for a in (x, y))
    var_x = unbiased * (uniform_filter(x * x, _WINDOW) - mean_x**2)
    var_y = unbiased * (uniform_filter(y * y, _WINDOW) - mean_y**2)
    cov = unbiased * (uniform_filter(x * y, _WINDOW) - mean_x * mean_y)
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    return similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))


def mean_signal_ratio(reference: np.ndarray, test: np.ndarray, *, mask: np.ndarray | None = None) -> float:
    """Mean |test| over mean |reference|: 1 where a denoiser keeps the signal."""
    base = float(np.mean(_inside(np.abs(reference), mask)))
    return float(np.mean(_inside(np.abs(test), mask))) / base if base > 0 else math.nan


def evaluate(
    reference: Tensor | np.ndarray, test: Tensor | np.ndarray, mask: Tensor | np.ndarray | None = None
) -> dict[str, Any]:
    """All figures of `test` against `reference`, both (frame, z, y, x), complex or magnitude, in the same unit.

    Keys, all numbers: psnr (None for equal images), ssim, ssim_3d (None under 7 slices; either None where the mask lies
    in the border that it leaves out), nrmse, mean_signal_ratio, data_range (the largest |reference| inside the mask:
    what PSNR and SSIM are counted against), voxels. Of two complex images PSNR and NRMSE count complex differences,
    SSIM and mean signal magnitudes; a complex image beside a magnitude one is taken as magnitude.
    mask: broadcastable, nonzero inside. Raises InputError where shapes differ, or for NaN or an empty mask.
    """
    ref, tst = (_array(a) for a in (reference, test))
    if ref.shape != tst.shape:
        raise InputError(f"an image of the reference's shape {ref.shape}", str(tst.shape), "resample one of them first")
    inside = None if mask is None else _mask(_array(mask), ref.shape)
    for name, image in (("reference", ref), ("test image", tst)):
        if not np.isfinite(image).all():
            raise InputError(f"a {name} of finite numbers", "NaN or infinite voxels", "repair it first")
    ref, tst = alike(ref, tst)
    data_range = float(np.abs(_inside(ref, inside)).max())
    if data_range == 0:
        raise InputError("a reference with signal", "zeros", "check the reference and the mask")
    found = psnr(ref, tst, data_range=data_range, mask=inside)
    similarity = ssim(np.abs(ref), np.abs(tst), data_range=data_range, mask=inside)
    return {
        "psnr": found if math.isfinite(found) else None,
        "ssim": None if math.isnan(similarity) else similarity,
        "ssim_3d": _ssim_3d_or_none(np.abs(ref), np.abs(tst), data_range, inside),
        "nrmse": nrmse(ref, tst, mask=inside),
        "mean_signal_ratio": mean_signal_ratio(ref, tst, mask=inside),
        "data_range": data_range,
        "voxels": int(ref.size if inside is None else inside.sum()),
    }


def _ssim_3d_or_none(ref: np.ndarray, tst: np.ndarray, data_range: float, inside: np.ndarray | None) -> float | None:
    if min(ref.shape[-3:]) < _WINDOW:
        return None
    found = ssim_3d(ref, tst, data_range=data_range, mask=inside)
    return None if math.isnan(found) else found


def alike(reference: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both complex, or both real: a complex image beside a magnitude one becomes its magnitude."""
    if np.iscomplexobj(reference) == np.iscomplexobj(test):
        return reference, test
    reference, test = (np.abs(a) if np.iscomplexobj(a) else a for a in (reference, test))
    return reference, test


def _array(image: Tensor | np.ndarray) -> np.ndarray:
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)


def _mask(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    try:
        inside = np.broadcast_to(mask != 0, shape)
    except ValueError as error:
        raise InputError(f"a mask that fits {shape}", str(mask.shape), "give it as (frame, z, y, x)") from error
    if not inside.any():
        raise InputError("a mask with voxels inside", "an empty mask", "choose another mask")
    return inside


def _inside(values: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    return values if mask is None else values[np.broadcast_to(mask, values.shape)]
