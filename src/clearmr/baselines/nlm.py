"""Non-local means of DIPY: Coupé et al. 2008; Descoteaux et al. 2008 for Rician noise.

Each image gets the method that we measured to serve it better (PSNR on T1w volumes, fMRI and complex cine): magnitudes
of a mean SNR below 12 the blockwise one, patch radius 2, DIPY's default; clearer magnitudes and signed values (complex
images, their real and imaginary parts apart; real images with Gaussian noise) the classic one, patches of 3^3 within
11^3. DIPY averages squares, so that signed values are lifted far above zero before.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from clearmr.baselines import peers
from clearmr.evaluate import rician
from clearmr.scan import SnrImage

PACKAGE = "dipy"
LICENCE = "BSD-3-Clause"
LEARNS = False
CLEAR = 12.0  # SNR of the foreground (above 10 % of the maximum) from which blocks smooth too much
_LEAST = 8  # voxels along each axis, more than DIPY's block radius of 5 and patch radius
_LIFT = 1e4  # in noise SDs; distances between patches do not see it


@dataclass(frozen=True)
class NonLocalMeans:
    """Rician for magnitudes, Gaussian for complex parts and real images with negative values."""

    name: str = "nlm"

    def __call__(self, image: SnrImage) -> SnrImage:
        """Denoise along frames, or along z where there is one frame."""
        work = _rician if rician.is_rician(image) else _gaussian
        return peers.with_step(peers.in_unit_noise(image, work), self.name, PACKAGE)


def load() -> NonLocalMeans:
    """DIPY's settings as said above."""
    return NonLocalMeans()


def _rician(volume: np.ndarray) -> np.ndarray:
    foreground = volume[volume > 0.1 * volume.max()]
    if foreground.size and foreground.mean() > CLEAR:
        return _nlmeans(volume, rician=True, method="classic", patch_radius=1)
    return _nlmeans(volume, rician=True, method="blockwise", patch_radius=2)


def _gaussian(volume: np.ndarray) -> np.ndarray:
    lifted = volume.astype(np.float64) + _LIFT
    return _nlmeans(lifted, rician=False, method="classic", patch_radius=1) - _LIFT


def _nlmeans(volume: np.ndarray, **options: Any) -> np.ndarray:
    from dipy.denoise.nlmeans import nlmeans

    y, x, n = volume.shape
    deep = peers.at_least(volume.astype(np.float64), _LEAST)
    return nlmeans(deep, 1.0, num_threads=torch.get_num_threads(), **options)[:y, :x, :n]
