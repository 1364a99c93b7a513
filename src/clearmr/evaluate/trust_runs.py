"""What running the denoiser again tells: pure noise, small lesions, the error that is left (Stein).

Five runs on a crop of at most about 150 000 voxels (the whole image where it is smaller).
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clearmr.denoiser import Denoiser, Progress, no_progress
from clearmr.errors import InputError
from clearmr.evaluate import lesion
from clearmr.evaluate.checks import Check, above, below, not_run, worst
from clearmr.evaluate.noise_spectrum import NoiseSpectrum
from clearmr.evaluate.rician import RAYLEIGH_MEAN
from clearmr.evaluate.standardised import Standardised, kind_of, standardised
from clearmr.evaluate.structure import STEEPEST
from clearmr.evaluate.trust_removed import ERRORS
from clearmr.scan import SnrImage

NOISE, LESION, ERROR_LEFT = "pure_noise", "lesion", "error_left"
TITLES = {
    NOISE: "Pure noise in: what comes out",
    LESION: "A small lesion put in: what is left of it",
    ERROR_LEFT: "Error that is left (Stein's estimate)",
}
VOXELS = 150_000
FRAMES, SLICES = 10, 48
LEFT_CAUTION, LEFT_FAIL = 0.5, 0.5**0.5  # noise SDs: a quarter, half of the power
PAINTED_CAUTION, PAINTED_FAIL = 0.1, 0.2  # noise SDs that two draws of noise have in common
KEPT_CAUTION, KEPT_FAIL, RAISED = 0.8, 0.5, 1.2
LESIONS = 64
OBJECT_SNR = 3.0
STEP = 0.1  # noise SDs: of the probe of Stein's estimate
ERROR_CAUTION, ERROR_FAIL = 0.75, 0.95  # mean squared error over that of the noisy image
EDGE_CAUTION, EDGE_FAIL = 0.9, 1.0


@dataclass(frozen=True)
class _Trial:
    """The crop, what the denoiser makes of it, its noise."""

    noisy: SnrImage
    result: SnrImage
    spectrum: NoiseSpectrum
    denoiser: Denoiser
    generator: torch.Generator

    def run(self, image: Tensor) -> Tensor:
        """Magnitudes stay magnitudes: denoisers know them by having no negative voxel."""
        image = image.clamp_min(0) if kind_of(self.noisy) == "rician" else image
        return self.denoiser(dataclasses.replace(self.noisy, image=image)).image

    def noise(self) -> Tensor:
        """One draw of the image's noise over noise_sd: real, or complex with both parts of SD 1."""
        shape = tuple(self.noisy.image.shape)
        white = torch.randn((2, *shape), generator=self.generator).numpy()
        coloured = torch.from_numpy(self.spectrum.coloured(white).astype(np.float32))
        return coloured[0] if kind_of(self.noisy) == "real" else torch.complex(coloured[0], coloured[1])


def runs(
    noisy: SnrImage,
    denoised: SnrImage,
    denoiser: Denoiser,
    spectrum: NoiseSpectrum,
    *,
    seed: int = 0,
    progress: Progress = no_progress,
) -> tuple[Check, ...]:
    """`pure_noise`, `lesion` and `error_left` on a crop. What the denoiser refuses is told as "not run"."""
    crop = cropped(noisy, denoised)
    spectrum = spectrum if crop.image.shape == noisy.image.shape else _resized(spectrum, tuple(crop.image.shape[1:]))
    try:
        result = denoiser(crop)
        progress(1, 5)
        trial = _Trial(crop, result, spectrum, denoiser, torch.Generator().manual_seed(seed))
        checks = [_lesion(trial)]
        progress(2, 5)
        checks.append(_error_left(trial))
        progress(3, 5)
        checks.append(_pure_noise(trial))
        progress(5, 5)
    except InputError as error:
        return tuple(
            not_run(name, title, f"the denoiser refused a part of the image: {error}") for name, title in TITLES.items()
        )
    return tuple(checks)


def cropped(noisy: SnrImage, denoised: SnrImage) -> SnrImage:
    """About the brightest part of the result, at most `VOXELS`; maps with it."""
    shape = tuple(noisy.image.shape)
    if np.prod(shape) <= VOXELS:
        return noisy
    frames, slices = min(shape[0], FRAMES), min(shape[1], SLICES if shape[0] == 1 else 1)
    side = int((VOXELS / (frames * slices)) ** 0.5)
    sizes = (frames, slices, min(shape[2], side), min(shape[3], side))
    weight = denoised.image.abs().float()
    box = [slice(0, frames)]
    for axis in (1, 2, 3):
        profile = weight.sum([a for a in range(4) if a != axis])
        centre = float((profile * torch.arange(len(profile))).sum() / profile.sum().clamp_min(1e-20))
        start = int(min(max(centre - sizes[axis] / 2, 0), shape[axis] - sizes[axis]))
        box.append(slice(start, start + sizes[axis]))
    cut = [values.expand(shape)[tuple(box)].contiguous() for values in (noisy.image, noisy.noise_sd, noisy.gmap)]
    return dataclasses.replace(noisy, image=cut[0], noise_sd=cut[1], gmap=cut[2], affine=None, header=None)


def _resized(spectrum: NoiseSpectrum, shape: tuple[int, ...]) -> NoiseSpectrum:
    """The same spectrum on another matrix."""
    axes = []
    for power, n in zip(spectrum.axes, shape, strict=True):
        old = np.fft.fftshift(np.fft.fftfreq(len(power)))
        new = np.interp(np.fft.fftfreq(n), old, np.fft.fftshift(power))
        axes.append(new / new.mean() if new.any() else np.ones(n))
    return NoiseSpectrum((axes[0], axes[1], axes[2]), spectrum.known, spectrum.source)


def _lesion(trial: _Trial) -> Check:
    noisy, result = trial.noisy.image, trial.result.image
    sd = trial.noisy.noise_sd.expand(noisy.shape)
    inside = result.abs() > OBJECT_SNR * sd
    at = lesion.places(inside)
    at = at[:: max(1, -(-len(at) // LESIONS))]
    if not at:
        return not_run(LESION, TITLES[LESION], "nowhere in the image is there room for a lesion on signal")
    heights = np.array([lesion.CNR * float(sd[0][place]) for place in at])
    added = lesion.inserted(tuple(noisy.shape[1:]), at, heights, trial.spectrum)[None]
    turn = result / result.abs().clamp_min(1e-20) if noisy.is_complex() else torch.ones(())
    change = trial.run(noisy + added * turn) - result
    along = (change * turn.conj()).real if noisy.is_complex() else change
    kept = lesion.contrasts(along, at) / lesion.contrasts(added.expand(noisy.shape), at)
    mean, error = float(kept.mean()), float(kept.std() / max(len(kept) - 1, 1) ** 0.5)
    verdict = worst([below(mean, KEPT_CAUTION, KEPT_FAIL), above(mean, RAISED, 2.0)])
    said = f"of {len(at)} lesions of 3 voxels and 5 noise SDs {100 * mean:.0f} % of the contrast is left"
    said += f" (worst {100 * float(kept.min()):.0f} %)"
    figures = {"kept": mean, "error": error, "least": float(kept.min()), "lesions": len(at), "cnr": lesion.CNR}
    return Check(LESION, TITLES[LESION], verdict, said, figures, {"kept caution": KEPT_CAUTION, "kept fail": KEPT_FAIL})


def _error_left(trial: _Trial) -> Check:
    """Stein's unbiased estimate of the squared error over noise_sd^2: mean z^2 - 1 + 2 div (Stein 1981).

    div by one random probe (Ramani, Blu, Unser 2008). For magnitudes above an SNR of 3 the noise is taken as Gaussian.
    """
    try:
        standard = standardised(trial.noisy, trial.result, trial.spectrum)
    except InputError as error:
        return not_run(ERROR_LEFT, TITLES[ERROR_LEFT], str(error))
    probe = trial.noise()
    probe = probe if trial.noisy.is_complex else probe.real if probe.is_complex() else probe
    sd = trial.noisy.noise_sd.expand(trial.noisy.image.shape)
    moved = trial.noisy.image + STEP * sd * probe
    change = (trial.run(moved) - trial.result.image) / (STEP * sd.clamp_min(1e-20))
    follows = (change * probe.conj()).real if probe.is_complex() else change * probe
    local = np.square(standard.z).sum(0) - standard.parts + 2 * follows.numpy()
    local = local / standard.parts
    used = standard.used
    gradient = standard.edges
    edge = used & (gradient >= np.quantile(gradient[used], 1 - STEEPEST))
    (whole, chance), (edges, edge_error) = (_mean_and_error(local[where], standard) for where in (used, edge))
    verdict = worst(
        [
            above(whole, ERROR_CAUTION + ERRORS * chance, ERROR_FAIL + ERRORS * chance),
            above(edges, EDGE_CAUTION + ERRORS * edge_error, EDGE_FAIL + ERRORS * edge_error),
        ]
    )
    root, at_edges = (float(np.sqrt(max(value, 0.0))) for value in (whole, edges))
    said = f"the result is {root:.2f} noise SDs from the truth, {at_edges:.2f} at edges (the input: 1)"
    figures = {"error": root, "error at edges": at_edges, "squared": whole, "squared at edges": edges}
    limits = {
        "squared caution": ERROR_CAUTION + ERRORS * chance,
        "squared fail": ERROR_FAIL + ERRORS * chance,
        "squared at edges caution": EDGE_CAUTION + ERRORS * edge_error,
        "squared at edges fail": EDGE_FAIL + ERRORS * edge_error,
    }
    return Check(ERROR_LEFT, TITLES[ERROR_LEFT], verdict, said, figures, limits)


def _mean_and_error(values: np.ndarray, standard: Standardised) -> tuple[float, float]:
    independent = max(values.size / standard.spectrum.repeats, 2)
    return float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64) / independent**0.5)


def _pure_noise(trial: _Trial) -> Check:
    """Two draws of the noise alone: SD left, and the SD of what both results have in common, over noise_sd."""
    is_rician = kind_of(trial.noisy) == "rician"
    sd = trial.noisy.noise_sd.expand(trial.noisy.image.shape)
    there = sd > 0
    outs = []
    for _ in range(2):
        noise = trial.noise() * sd
        out = trial.run(noise.abs() if is_rician else noise) / sd.clamp_min(1e-20)
        outs.append(torch.view_as_real(out) if out.is_complex() else out[..., None])
    unit = (2 - np.pi / 2) ** 0.5 if is_rician else 1.0  # of Rayleigh magnitudes
    outs = [(out - out[there].mean() if is_rician else out) / unit for out in outs]
    left = float((sum(out[there].square().mean() for out in outs) / 2) ** 0.5)
    common, error = _common((outs[0] * outs[1]).mean(-1) * there)
    painted = max(common, 0.0) ** 0.5
    sure = painted if common > ERRORS * error else 0.0
    verdict = worst([above(left, LEFT_CAUTION, LEFT_FAIL), above(sure, PAINTED_CAUTION, PAINTED_FAIL)])
    said = f"of pure noise {left:.2f} SDs are left"
    said += f", {sure:.2f} of it the same for other noise: painted" if sure > PAINTED_CAUTION else ""
    figures = {"left": left, "common": painted, "common error": error, "floor": RAYLEIGH_MEAN if is_rician else 0.0}
    limits = {"left caution": LEFT_CAUTION, "left fail": LEFT_FAIL}
    return Check(NOISE, TITLES[NOISE], verdict, said, figures, {**limits, "common fail": PAINTED_FAIL})


def _common(products: Tensor, side: int = 16) -> tuple[float, float]:
    """Mean of (frame, z, y, x) and its error, from blocks of 16 x 16 that are taken as independent."""
    frames, slices = products.shape[:2]
    blocks = torch.nn.functional.avg_pool2d(products.flatten(0, 1)[:, None].double(), side, ceil_mode=True)
    per = blocks.reshape(frames * slices, -1).mean(0) if frames * slices > 1 else blocks.flatten()
    return float(products.double().mean()), float(per.std() / max(len(per) - 1, 1) ** 0.5)
