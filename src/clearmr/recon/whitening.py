"""From a scan to the prewhitening matrix, with a record of where every factor came from."""

from dataclasses import dataclass
from typing import Any

import torch

from clearmr.axes import NOISE_VARIANCE_COMPLEX, CoilMatrix
from clearmr.errors import InputError
from clearmr.recon.noise import DEFAULT_BANDWIDTH_RATIO, noise_covariance, noise_scale, prewhitener
from clearmr.recon.quiet import estimate_noise_covariance
from clearmr.scan import NoiseScan, NoiseSource, RawScan

ASK = "give a noise scan with --noise-scan FILE, or let the noise be estimated with --estimate-noise"


@dataclass(frozen=True)
class Whitening:
    """Prewhitening matrix (coil, coil), the covariance it came from, and the record of its scale."""

    matrix: CoilMatrix
    covariance: CoilMatrix
    source: NoiseSource
    step: dict[str, Any]
    warnings: tuple[str, ...]


def whitening(scan: RawScan, *, estimate_noise: bool = False, bandwidth_ratio: float | None = None) -> Whitening:
    """The matrix that turns the scan's k-space noise into unit noise (SD 1 in each of real and imaginary).

    From the noise lines (Kellman & McVeigh 2005), or, where `estimate_noise` asks for it, from the data themselves.
    `bandwidth_ratio` goes before the header's. Raises InputError where there are no noise lines, a dwell time is
    unknown, or the coils do not match.
    """
    return _estimated(scan) if estimate_noise else _measured(scan, bandwidth_ratio or scan.bandwidth_ratio)


def _measured(scan: RawScan, known_ratio: float | None) -> Whitening:
    noise = _checked_noise(scan)
    ratio = known_ratio or DEFAULT_BANDWIDTH_RATIO
    scale = noise_scale(dwell_us=scan.dwell_us, noise_dwell_us=noise.dwell_us, bandwidth_ratio=ratio)
    scale /= scan.average_noise
    covariance = noise_covariance(noise.samples)
    step = {
        "name": "prewhiten",
        "noise": "measured",
        "noise_samples": noise.samples.shape[1],
        "dwell_us": scan.dwell_us,
        "noise_dwell_us": noise.dwell_us,
        "bandwidth_ratio": ratio,
        "average_noise": scan.average_noise,
        "scale": scale,
    }
    warnings = () if known_ratio else (f"no receiver noise bandwidth in the header: {ratio} was taken",)
    return Whitening(prewhitener(covariance, scale=scale), covariance, "measured", step, warnings)


def _checked_noise(scan: RawScan) -> NoiseScan:
    noise = scan.noise
    if noise is None or noise.samples.shape[1] == 0:
        raise InputError("noise lines in the scan", "none", ASK)
    if noise.samples.shape[0] != scan.n_coils:
        found = f"{noise.samples.shape[0]} coils of noise and {scan.n_coils} of data"
        raise InputError("as many coils in the noise scan as in the data", found, ASK)
    if not (scan.dwell_us > 0 and noise.dwell_us > 0):
        found = f"{scan.dwell_us} us (data) and {noise.dwell_us} us (noise)"
        raise InputError("dwell times above zero, which scale the noise", found, "use --estimate-noise")
    return noise


def _estimated(scan: RawScan) -> Whitening:
    covariance = estimate_noise_covariance(scan)
    scale = NOISE_VARIANCE_COMPLEX**0.5
    step = {"name": "prewhiten", "noise": "estimated", "from": "outer k-space", "scale": scale}
    warning = "the noise level was estimated from the outer k-space, not measured: SNR may be off by some percent"
    return Whitening(prewhitener(covariance, scale=scale), covariance, "estimated", step, (warning,))


def whiten(matrix: CoilMatrix, kspace: torch.Tensor) -> torch.Tensor:
    """Apply the prewhitening matrix to k-space (coil, ...)."""
    return (matrix.to(kspace) @ kspace.flatten(1)).reshape(kspace.shape)
