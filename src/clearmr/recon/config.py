"""What can be chosen about a reconstruction. The defaults suit a product scan."""

from dataclasses import dataclass
from typing import Literal

CoilMapMethod = Literal["inati", "walsh"]


@dataclass(frozen=True)
class ReconConfig:
    """Choices of one reconstruction; lengths are counted in k-space samples.

    kernel               GRAPPA kernel of a 2D scan: (acquired k1 lines, k0 samples); fewer lines where the ACS is short
    kernel_3d            GRAPPA kernel of a 3D scan: (k2 lines, k1 lines, k0 samples)
    regularisation       Tikhonov weight of the calibration, relative to the mean eigenvalue of its normal matrix
    coil_maps            how coil maps are estimated: "inati" (iterative) or "walsh" (local eigenvectors)
    coil_map_lines       most k1 (and k2) lines round the centre that the coil maps are estimated from
    calibration_lines    most k1 (and k2) lines round the centre that the kernel is calibrated on
    kspace_filter        None, or s of the Gaussian f(x) = exp(-s^2 x^2 / 2), x in [-1, 1] over each k-space axis
    bandwidth_ratio      relative receiver noise bandwidth to use instead of the header's
    taper                width of the Hanning edge on the cut side of a partial Fourier scan or an asymmetric echo
    """

    kernel: tuple[int, int] = (4, 5)
    kernel_3d: tuple[int, int, int] = (4, 4, 3)
    regularisation: float = 1e-5
    coil_maps: CoilMapMethod = "inati"
    coil_map_lines: int = 32
    calibration_lines: int = 48
    kspace_filter: float | None = None
    bandwidth_ratio: float | None = None
    taper: int = 10
