"""EPI: the Nyquist ghost's phase between forward and backward lines, and sampling on the gradient's ramps."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from clearmr.recon.grid import Axis, gaussian
from clearmr.scan import RawScan, Trapezoid

PSEUDO_INVERSE_CUT = 0.05  # relative singular value below which a ramp-sampled readout is not inverted


@dataclass(frozen=True)
class GhostPhase:
    """Phase of backward lines relative to forward ones: constant (rad) and slope (rad per voxel of the image's x)."""

    constant: float
    slope: float

    def correction(self, n_x: int) -> Tensor:
        """Factors (x,) of modulus one for the backward lines' image: unit noise stays."""
        angle = self.constant + self.slope * (torch.arange(n_x, dtype=torch.float64) - n_x // 2)
        return torch.polar(torch.ones_like(angle), -angle)


def ghost_phase(scan: RawScan, readout: Tensor) -> GhostPhase | None:
    """Linear phase between the navigators' two directions; None where the scan has not both.

    `readout` is the matrix (x, k0) of a forward line. The slope is the angle of the correlation between neighbouring
    voxels (Ahn & Cho, IEEE TMI 1987), the constant the magnitude-weighted mean angle that is left.
    """
    backward = scan.navigator_reversed
    if scan.navigators is None or backward is None or not bool(backward.any()) or bool(backward.all()):
        return None
    images = scan.navigators.to(readout) @ readout.T  # (line, coil, x)
    ratio = (images[backward].mean(0) * images[~backward].mean(0).conj()).sum(0).to(torch.complex128)
    slope = float(torch.angle((ratio[1:] * ratio[:-1].conj()).sum()))
    straight = ratio * GhostPhase(0.0, slope).correction(len(ratio)).to(ratio.device)
    return GhostPhase(float(torch.angle(straight.sum())), slope)


def ramp_positions(ramp: Trapezoid, n_samples: int) -> Tensor:
    """k-space position (sample,) of every sample of a trapezoidal readout, in lines from the centre; float64.

    The gradient's moment, scaled so that the acquired samples cover `n_samples` lines as they do without ramps.
    """
    edges = ramp.delay + ramp.adc_duration * torch.tensor([0.0, 1.0], dtype=torch.float64)
    start, stop = (float(value) for value in _moment(ramp, edges))
    times = ramp.delay + ramp.adc_duration * (torch.arange(n_samples, dtype=torch.float64) + 0.5) / n_samples
    middle = 0.5 * (0.5 * ramp.ramp_up + ramp.flat_top + 0.5 * ramp.ramp_down)
    return (_moment(ramp, times) - middle) * n_samples / (stop - start) - 0.5


def _moment(ramp: Trapezoid, times: Tensor) -> Tensor:
    """Integral of a gradient of height one from the start of the ramp up, in microseconds."""
    up = times.clamp(0, ramp.ramp_up)
    flat = (times - ramp.ramp_up).clamp(0, ramp.flat_top)
    down = (times - ramp.ramp_up - ramp.flat_top).clamp(0, ramp.ramp_down)
    rise = 0.5 * up**2 / ramp.ramp_up if ramp.ramp_up > 0 else up
    fall = down - 0.5 * down**2 / ramp.ramp_down if ramp.ramp_down > 0 else down
    return rise + flat + fall


def ramp_matrix(axis: Axis, ramp: Trapezoid, *, kspace_filter: float | None) -> Tensor:
    """Matrix (x, k0) from ramp-sampled readout samples to the image's x; complex64.

    Least squares over the image's field of view. Its noise varies along x; the mean noise variance is one.
    """
    frequency = ramp_positions(ramp, axis.encoded)
    sampling = axis.waves(frequency).mH
    inverse = torch.linalg.pinv(sampling, rtol=PSEUDO_INVERSE_CUT)
    if kspace_filter is not None:
        grid = torch.arange(axis.encoded)
        weight = gaussian(axis.frequency(grid) / (axis.encoded / 2), kspace_filter)
        waves = axis.waves(axis.frequency(grid))
        inverse = (waves * weight) @ waves.mH @ inverse / axis.encoded
    noise = torch.linalg.matrix_norm(inverse) / math.sqrt(axis.recon)
    return (inverse / noise).to(torch.complex64)
