"""Adaptive soft matching of DIPY, the adaptive optimised non-local means (AONLM): Coupé et al. 2008, 2012.

Two non-local means, patches of 3^3 and of 5^3 within 7^3 as in the papers, mixed in the wavelet domain: the smaller
patches where coefficients are large (edges), the larger where they are small. Voxels' weights are DIPY's classic
ones, which served better than its blockwise ones (docs/benchmarks.md). DIPY averages squares, so that signed values
are lifted far above zero before. Each volume is mirrored up to powers of two: wavelets would meet zeros there.
"""

from dataclasses import dataclass

import numpy as np
import torch

from clearmr.baselines import peers
from clearmr.evaluate import rician
from clearmr.scan import SnrImage

PACKAGE = "dipy"
LICENCE = "BSD-3-Clause"
LEARNS = False
_LIFT = 1e4  # in noise SDs; distances between patches do not see it
_LEAST = 16  # voxels along an axis for one level of a wavelet of ten taps


@dataclass(frozen=True)
class AdaptiveSoftMatching:
    """Rician for magnitudes, Gaussian for complex parts and real images with negative values."""

    name: str = "asm"

    def __call__(self, image: SnrImage) -> SnrImage:
        """Denoise along frames, or along z where there is one frame."""
        work = _rician if rician.is_rician(image) else _gaussian
        return peers.with_step(peers.in_unit_noise(image, work), self.name, PACKAGE)


def load() -> AdaptiveSoftMatching:
    """Patches and neighbourhood of the papers."""
    return AdaptiveSoftMatching()


def _rician(volume: np.ndarray) -> np.ndarray:
    return _matched(volume.astype(np.float64), rician=True)


def _gaussian(volume: np.ndarray) -> np.ndarray:
    return _matched(volume.astype(np.float64) + _LIFT, rician=False) - _LIFT


def _matched(volume: np.ndarray, *, rician: bool) -> np.ndarray:
    from dipy.denoise.adaptive_soft_matching import adaptive_soft_matching
    from dipy.denoise.nlmeans import nlmeans

    y, x, n = volume.shape
    deep, threads = peers.at_least(volume, _LEAST), torch.get_num_threads()
    small, large = (
        nlmeans(deep, 1.0, patch_radius=radius, block_radius=3, rician=rician, method="classic", num_threads=threads)
        for radius in (1, 2)
    )
    padded = [_mirrored(part) for part in (deep, small, large)]
    return adaptive_soft_matching(padded[0], padded[1], padded[2], 1.0)[:y, :x, :n]


def _mirrored(volume: np.ndarray) -> np.ndarray:
    """Sizes of powers of two."""
    return np.pad(volume, [(0, (1 << (size - 1).bit_length()) - size) for size in volume.shape], mode="symmetric")
