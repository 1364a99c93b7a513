"""Shapes and the one noise convention.

**Unit noise** means a standard deviation of 1 in the real AND 1 in the imaginary channel, so E|n|^2 = 2
(Kellman & McVeigh 2005). It is the unit of `SnrImage`. mrpro and BART whiten to E|n|^2 = 1 instead: divide
ours by sqrt(2) to compare.

k-space is `(frame, coil, k2, k1, k0)`, MRD's E2, E1 and readout; its centre lies at index n // 2 of an axis.
Coil images are `(frame, coil, z, y, x)`, images `(frame, z, y, x)`, networks `(B, C, T|S|D, H, W)`.
"""

from jaxtyping import Bool, Complex, Float, Inexact
from torch import Tensor

NOISE_VARIANCE_COMPLEX = 2.0  # E|n|^2 of unit noise

KSpace = Complex[Tensor, "frame coil k2 k1 k0"]
Sampled = Bool[Tensor, "frame k2 k1"]
CoilMaps = Complex[Tensor, "coil z y x"]
NoiseSamples = Complex[Tensor, "coil sample"]
CoilMatrix = Complex[Tensor, "coil coil"]
Image = Inexact[Tensor, "frame z y x"]
Volume = Float[Tensor, "z y x"]
Net5D = Float[Tensor, "B C T H W"]
NetOut = Float[Tensor, "B C_out T H W"]
