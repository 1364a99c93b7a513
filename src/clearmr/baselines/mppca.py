"""MP-PCA of DIPY: Veraart et al. 2016. It finds the noise level itself, from what many frames have in common.

Magnitudes: the mean's Rician bias is taken off afterwards (Koay & Basser 2006). Complex series: real and imaginary
parts apart. Patches are 7 x 7 in the plane, or the least odd size with as many pixels as there are frames.
"""

import math
from dataclasses import dataclass

import numpy as np

from clearmr.baselines import peers
from clearmr.errors import InputError
from clearmr.evaluate import rician
from clearmr.scan import SnrImage

PACKAGE = "dipy"
LICENCE = "BSD-3-Clause"
LEARNS = False
LEAST_FRAMES = 6
_OFFSET = 1e3  # DIPY clips at zero; a patch's mean is taken off before its decomposition, so that this changes nothing


@dataclass(frozen=True)
class MpPca:
    """Marchenko-Pastur principal components of each patch's frames, averaged over overlapping patches."""

    name: str = "mppca"

    def __call__(self, image: SnrImage) -> SnrImage:
        """Denoise along frames. Raises InputError for fewer than six."""
        if image.image.shape[0] < LEAST_FRAMES:
            found = f"{image.image.shape[0]} frame(s)"
            raise InputError(f"a series of at least {LEAST_FRAMES} frames for MP-PCA", found, "use another denoiser")
        work = _unbiased if rician.is_rician(image) else _components
        return peers.with_step(peers.in_unit_noise(image, work), self.name, PACKAGE)


def load() -> MpPca:
    """Patches as the frames ask for."""
    return MpPca()


def _components(volume: np.ndarray) -> np.ndarray:
    from dipy.denoise.localpca import mppca

    radius = max(3, math.ceil((math.sqrt(volume.shape[2]) - 1) / 2))
    shifted = volume.astype(np.float64)[:, :, None] + _OFFSET
    clean = mppca(shifted, patch_radius=np.array([radius, radius, 0]), suppress_warning=True)
    return clean[:, :, 0] - _OFFSET


def _unbiased(volume: np.ndarray) -> np.ndarray:
    return rician.signal_of_mean(_components(volume))
