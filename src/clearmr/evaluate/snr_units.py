"""Figures of Xue et al. 2025 (SNRAware) of images in SNR units: PSNR against a fixed maximum of 2048, and SSIM."""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from clearmr.errors import InputError
from clearmr.evaluate.metrics import psnr, ssim

MAX_SNR = 2048.0  # "MAX": the SNR above this is highly unlikely (Xue et al. 2025, Evaluation)


@dataclass(frozen=True)
class SnrUnitFigures:
    """`in_snr_units` of one image. PSNRs in dB, infinite for equal images.

    psnr       of magnitudes, MAX 2048
    psnr_complex  MAX 2048, the mean square over the real and the imaginary channel; None for magnitude images
    ssim       of magnitudes, data range: the largest magnitude of the reference; 7 x 7 uniform window (see `ssim`)
    ssim_unit  the same with data range 1, one noise SD: low, as in the published table, since noise alone breaks it
    """

    psnr: float
    psnr_complex: float | None
    ssim: float
    ssim_unit: float


def in_snr_units(reference: Tensor | np.ndarray, test: Tensor | np.ndarray) -> SnrUnitFigures:
    """`test` against the clean `reference`, both (frame, z, y, x) in SNR units, complex or magnitude.

    The paper does not say how data range and window of its SSIM are set: two data ranges are given here. Raises
    InputError where shapes differ or the reference is zero.
    """
    ref, tst = (a.detach().cpu().numpy() if isinstance(a, Tensor) else np.asarray(a) for a in (reference, test))
    if ref.shape != tst.shape:
        raise InputError(f"an image of the reference's shape {ref.shape}", str(tst.shape), "give both of one series")
    magnitudes = np.abs(ref), np.abs(tst)
    peak = float(magnitudes[0].max())
    if peak == 0:
        raise InputError("a reference with signal", "zeros", "check the reference")
    both_complex = np.iscomplexobj(ref) and np.iscomplexobj(tst)
    return SnrUnitFigures(
        psnr=psnr(*magnitudes, data_range=MAX_SNR),
        # Two real channels: their mean square is half of the mean |difference|^2.
        psnr_complex=psnr(ref, tst, data_range=MAX_SNR) + 10 * math.log10(2) if both_complex else None,
        ssim=ssim(*magnitudes, data_range=peak),
        ssim_unit=ssim(*magnitudes, data_range=1.0),
    )
