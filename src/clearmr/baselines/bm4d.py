"""BM4D of its authors' package: Maggioni, Katkovnik, Egiazarian, Foi 2013; Mäkinen, Azzari, Foi 2020.

The package takes real volumes with stationary noise of known SD. Complex images: real and imaginary parts apart.
Noise that varies in space: divided by noise_sd before. Magnitudes: variance stabilisation (`rice`), as its authors do.

Of a series, (t, y, x) is the volume, so that blocks are matched through time: it stands in for VBM4D, with which
Deformed2Self compares (Maggioni et al. 2012) and which is not on PyPI, only as MATLAB files for non-commercial use.
"""

from dataclasses import dataclass

import numpy as np
import torch

from clearmr.baselines import peers, rice
from clearmr.evaluate import rician
from clearmr.scan import SnrImage

PACKAGE = "bm4d"
LICENCE = "binaries of Tampere University, non-commercial use only"
LEARNS = False


@dataclass(frozen=True)
class Bm4d:
    """Blocks matched in the volume, or (fewer than 5 slices or frames) in the plane; default profile, both stages."""

    name: str = PACKAGE

    def __call__(self, image: SnrImage) -> SnrImage:
        """Denoise along frames, or along z where there is one frame."""
        work = _rician if rician.is_rician(image) else _gaussian
        return peers.with_step(peers.in_unit_noise(image, work), self.name, PACKAGE)


def load() -> Bm4d:
    """The default profile."""
    return Bm4d()


def _gaussian(volume: np.ndarray) -> np.ndarray:
    import bm4d

    profile = bm4d.BM4DProfile() if volume.shape[2] >= 5 else bm4d.BM4DProfile2D()
    profile.num_threads = torch.get_num_threads()
    return bm4d.bm4d(volume, 1.0, profile=profile).reshape(volume.shape)


def _rician(volume: np.ndarray) -> np.ndarray:
    return rice.unstabilise(_gaussian(rice.stabilise(volume).astype(np.float32)))
