"""Simulated cardiac series with known regions, as SNRAware's Table 3 needs: real-time cine, and first-pass perfusion.

Raw data of an accelerated scan, reconstructed in SNR units; regions in blood and in the wall of the left ventricle.
"""

import dataclasses
import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from clearmr import recon
from clearmr.scan import SnrImage
from clearmr.simulate import scan_of
from clearmr.simulate.cine import cine, contraction, draw_anatomy
from clearmr.simulate.phantoms import find_scene
from clearmr.simulate.shapes import grid_2d

Matrix = tuple[int, int, int]
BLOOD, MYOCARDIUM = "blood", "myocardium"


@dataclass(frozen=True)
class Scan:
    """What is scanned: size, frames, coils, acceleration, and the mean SNR over the object without acceleration."""

    matrix: Matrix
    n_frames: int
    n_coils: int
    acceleration: int
    snr: float


@dataclass(frozen=True)
class Heart:
    """One reconstructed series (frame, 1, y, x) in SNR units, and its regions: bool masks of that shape."""

    image: SnrImage
    regions: dict[str, Bool[Tensor, "frame z y x"]]


def realtime_cine(scan: Scan, seed: int) -> Heart:
    """A beating heart, its regions following the beat."""
    truth = cine(scan.matrix, n_frames=scan.n_frames, seed=seed)
    return Heart(_scanned(truth, scan, seed), _regions(scan, seed, beats=True))


def perfusion(scan: Scan, seed: int) -> Heart:
    """A heart held at end-diastole, dark by saturation, through which contrast passes: blood first, then the wall.

    Gamma-variate curves (peaks after a third and over half of the frames); what is neither keeps its saturated signal.
    """
    still = cine((1, *scan.matrix[1:]), n_frames=1, seed=seed)[0]
    regions = _regions(scan, seed, beats=False, whole=True)
    frames = []
    for frame in range(scan.n_frames):
        time = frame / scan.n_frames
        gain = torch.full(still.shape, 0.25)
        for name, peak, top in ((BLOOD, 0.33, 1.0), (MYOCARDIUM, 0.55, 0.8)):
            gain = torch.where(regions[name][0], 0.25 + (top - 0.25) * bolus(time, peak), gain)
        frames.append(still * gain)
    truth = torch.stack(frames)
    return Heart(_scanned(truth / truth.abs().max(), scan, seed), _regions(scan, seed, beats=False))


def bolus(time: float, peak: float) -> float:
    """A gamma variate with its maximum 1 at `peak`: 0 at time 0, steep up, slow down (Thompson et al. 1964)."""
    x = max(time, 0.0) / peak
    return (x * math.exp(1 - x)) ** 3


def _regions(scan: Scan, seed: int, *, beats: bool, whole: bool = False) -> dict[str, Tensor]:
    """Masks (frame, 1, y, x) from the geometry of `simulate.cine` (the same draws): `whole`, or the inner parts only.

    Inner blood keeps away from the papillary muscles, the inner wall is the middle half of it.
    """
    subject = draw_anatomy(torch.Generator().manual_seed(seed))
    y, x = grid_2d(scan.matrix[1], scan.matrix[2], supersampling=1)
    blood, wall = [], []
    for frame in range(scan.n_frames):
        squeeze = contraction(frame / scan.n_frames) if beats else contraction(0.0)
        endo = subject.lv_radius * (1 - subject.ejection * squeeze)
        rest = subject.lv_radius
        epi = math.sqrt(endo**2 + ((rest + subject.wall) ** 2 - rest**2) * (1 + 0.1 * squeeze))
        centre = (subject.heart[0] + 0.012 * squeeze, subject.heart[1] - 0.008 * squeeze)
        radius = ((y - centre[0]).square() + (x - centre[1]).square()).sqrt()
        inner, outer = (endo, epi) if whole else (endo + 0.3 * (epi - endo), epi - 0.25 * (epi - endo))
        blood.append(radius < (endo if whole else 0.45 * endo))
        wall.append((radius >= inner) & (radius < outer))
    return {BLOOD: torch.stack(blood)[:, None], MYOCARDIUM: torch.stack(wall)[:, None]}


def _scanned(truth: Tensor, scan: Scan, seed: int) -> SnrImage:
    """Measure with coils and receiver noise, and reconstruct in SNR units."""
    scene = find_scene("cine")
    raw = scan_of(
        truth,
        fov=scene.fov,
        name=scene.name,
        n_coils=scan.n_coils,
        acceleration=scan.acceleration,
        calibration="separate",
        snr=scan.snr,
        seed=seed,
    ).scan
    return dataclasses.replace(recon.reconstruct(raw), meta={"simulated": scene.name, "seed": seed})
