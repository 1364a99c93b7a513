"""Series as an accelerated scan gives them: through simulated coils and our GRAPPA, with the noise that comes of it.

What is left of fold-over belongs to the image, as a denoiser is to leave it; noise made on the fly has none of it.
"""

import dataclasses

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from clearmr import recon
from clearmr.evaluate import receiver_noise
from clearmr.methods.snraware import lesions
from clearmr.methods.snraware.draws import chance, pick, uniform
from clearmr.scan import SnrImage
from clearmr.simulate import Simulated, scan_of
from clearmr.simulate.shapes import grid_2d

ACCELERATIONS, COILS, LINES = (2, 3, 4, 4, 5), (8, 12, 16, 16, 24, 32), (20, 24, 28, 32)
CALIBRATION_SNR = (10.0, 100.0)  # of the lines that GRAPPA's kernel is fitted to, log-uniform
SNR = (3.0, 40.0)  # mean over the object of |image| / noise_sd, log-uniform
FIELD_OF_VIEW = 300.0  # mm, in plane
AIR, LEAST_OBJECT = 0.6, 0.75  # share of the scans with air round the object, and how much of the field it fills then
BODY = 0.05  # of the largest magnitude: the object


def scanned(
    clean: Complex[Tensor, "frame y x"], generator: torch.Generator, *, lesion: float = 0.0
) -> tuple[Complex[Tensor, "frame y x"], Complex[Tensor, "frame y x"], Float[Tensor, "frame y x"]]:
    """A noise-free series, scanned: noisy, true, and the noise SD, in units of the median of that SD.

    lesion: probability that small lesions are put in. Raises InputError where it is all zeros.
    """
    body = _in_air(clean, generator) if chance(AIR, generator) else clean
    frames = body if bool(body.any()) else clean
    seed = pick(2**31 - 1, generator)
    acceleration, coils, lines = (some[pick(len(some), generator)] for some in (ACCELERATIONS, COILS, LINES))

    loud, quiet = (
        scan_of(
            frames[:, None],
            fov=(FIELD_OF_VIEW,) * 3,
            n_coils=coils,
            acceleration=acceleration,
            acs=lines,
            snr=snr,
            noise_sd=noise_sd,
            seed=seed,
        )
        for snr, noise_sd in ((_between(*CALIBRATION_SNR, generator), None), (None, 0.0))
    )
    signal, noise = apart(loud, quiet, generator)
    noise_sd = signal.noise_sd.expand(signal.image.shape)[:, 0]
    target = signal.image[:, 0]
    inside = target.abs() > BODY * target.abs().max()
    target = target * (_between(*SNR, generator) / (target.abs() / noise_sd)[inside].mean())
    if chance(lesion, generator):
        target = lesions.inserted(target, noise_sd, generator)
    unit = noise_sd.median()
    return (target + noise.image[:, 0]) / unit, target / unit, noise_sd / unit


def apart(loud: Simulated, quiet: Simulated, generator: torch.Generator) -> tuple[SnrImage, SnrImage]:
    """What one reconstruction, calibrated on the noisy lines of `loud`, makes of `quiet`'s signal, and of noise alone.

    `quiet` is the same scan without noise. Both in SNR units, with the noise SD of `loud`.
    """
    scan = loud.scan
    calibration = recon.calibrate(scan)
    where = scan.sampled[:, None, :, :, None]
    noise = receiver_noise(loud.noise_cov, tuple(scan.kspace.shape), generator, sampled=where)
    signal, noise_image = (
        recon.apply(dataclasses.replace(scan, kspace=kspace), calibration) for kspace in (quiet.scan.kspace, noise)
    )
    return signal, noise_image


def _in_air(frames: Tensor, generator: torch.Generator) -> Tensor:
    """What lies outside a rounded body at the middle of the frames set to zero."""
    y, x = grid_2d(frames.shape[-2], frames.shape[-1], supersampling=1)
    half_y, half_x = (uniform(generator, LEAST_OBJECT, 1.0) for _ in range(2))
    return frames * ((y / half_y).abs() ** 2.5 + (x / half_x).abs() ** 2.5 < 1)


def _between(low: float, high: float, generator: torch.Generator) -> float:
    return low * (high / low) ** uniform(generator)
