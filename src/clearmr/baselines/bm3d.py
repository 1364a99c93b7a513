"""BM3D of its authors' package, image by image: Dabov, Foi, Katkovnik, Egiazarian 2007; Mäkinen, Azzari, Foi 2020.

White noise of known SD: complex images go as real and imaginary parts, noise that varies in space is divided by
noise_sd before, magnitudes get the variance stabilisation of `rice`, as its authors do. As many threads as torch's;
with more than one, results differ in their last digits from run to run.
"""

from dataclasses import dataclass

import numpy as np
import torch

from clearmr.baselines import peers, rice
from clearmr.evaluate import rician
from clearmr.scan import SnrImage

PACKAGE = "bm3d"
LICENCE = "binaries of Tampere University, non-commercial use only"
LEARNS = False


@dataclass(frozen=True)
class Bm3d:
    """Blocks matched within each frame or slice; default profile, both stages."""

    name: str = PACKAGE

    def __call__(self, image: SnrImage) -> SnrImage:
        """Denoise every frame and slice by itself."""
        work = _rician if rician.is_rician(image) else _gaussian
        return peers.with_step(peers.in_unit_noise(image, work), self.name, PACKAGE)


def load() -> Bm3d:
    """The default profile."""
    return Bm3d()


def _gaussian(volume: np.ndarray) -> np.ndarray:
    import bm3d

    profile = bm3d.BM3DProfile()
    profile.num_threads = torch.get_num_threads()
    return np.stack([bm3d.bm3d(plane, 1.0, profile=profile) for plane in np.moveaxis(volume, 2, 0)], axis=2)


def _rician(volume: np.ndarray) -> np.ndarray:
    return rice.unstabilise(_gaussian(rice.stabilise(volume).astype(np.float32)))
