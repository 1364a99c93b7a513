"""From raw k-space to an image in SNR units, with its g-factor map and the expected noise of every voxel."""

from clearmr.recon.calibration import Calibration, calibrate
from clearmr.recon.chain import apply, apply_frame, frame_noise, gmaps_for, reconstruct
from clearmr.recon.config import ReconConfig
from clearmr.recon.grappa import GrappaKernel, calibrate_grappa
from clearmr.recon.maps import estimate_csm
from clearmr.recon.noise import noise_covariance, noise_scale, prewhitener
from clearmr.recon.quiet import estimate_noise_covariance
from clearmr.recon.thin import thin
from clearmr.recon.unmix import gmap, unmixing

__all__ = [
    "Calibration",
    "GrappaKernel",
    "ReconConfig",
    "apply",
    "apply_frame",
    "calibrate",
    "calibrate_grappa",
    "estimate_csm",
    "estimate_noise_covariance",
    "frame_noise",
    "gmap",
    "gmaps_for",
    "noise_covariance",
    "noise_scale",
    "prewhitener",
    "reconstruct",
    "thin",
    "unmixing",
]
