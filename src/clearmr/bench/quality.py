"""What the default model does to scenes it never saw, at known SNR: gains, bias, what it makes of noise and of none."""

from typing import Any

import torch
from torch import Tensor

from clearmr import road
from clearmr.bench.timing import Options
from clearmr.denoiser import Denoiser
from clearmr.evaluate import complex_noise, evaluate
from clearmr.scan import SnrImage
from clearmr.simulate import simulate

SCENES: dict[str, dict[str, Any]] = {
    "cine": {"matrix": (1, 144, 144), "n_frames": 10},
    "phantom": {"matrix": (1, 160, 160)},
    "brain": {"matrix": (32, 96, 96)},
}
SNRS = (3.0, 5.0, 10.0, 20.0)
SEED = 11
OBJECT = 0.15  # of the largest magnitude
ONE = torch.ones(1, 1, 1, 1)


def run(options: Options) -> dict[str, Any]:
    """Per scene and SNR (mean of the object over the noise SD): PSNR gain in dB, mean signal ratio, magnitude gain."""
    denoiser = road.denoiser(model=options.model)
    entry: dict[str, Any] = {}
    for scene, size in SCENES.items():
        truth = simulate(scene, n_coils=2, seed=SEED, **size).truth
        inside = truth.abs() > OBJECT * truth.abs().max()
        unit = (truth / truth.abs()[inside].mean()).to(torch.complex64)
        entry[scene] = {f"SNR {snr:g}": _at(denoiser, snr * unit, inside) for snr in SNRS}
    entry["pure noise"] = {"SD left": _noise_left(denoiser)}
    return entry


def _at(denoiser: Denoiser, clean: Tensor, inside: Tensor) -> dict[str, float]:
    noisy = clean + complex_noise(ONE, clean.shape, torch.Generator().manual_seed(SEED))
    result, unchanged = (denoiser(SnrImage(image, ONE, ONE, "given")).image for image in (noisy, clean))
    of_magnitude = denoiser(SnrImage(noisy.abs(), ONE, ONE, "given")).image
    return {
        "PSNR gain": _gain(clean, noisy, result),
        "mean signal": float(result.abs()[inside].mean() / clean.abs()[inside].mean()),
        "PSNR gain, magnitude": _gain(clean, noisy, of_magnitude),
        "mean signal, magnitude": float(of_magnitude[inside].mean() / clean.abs()[inside].mean()),
        "change of a noise-free image": float((unchanged - clean).norm() / clean.norm()),
    }


def _gain(clean: Tensor, noisy: Tensor, result: Tensor) -> float:
    before, after = (evaluate(clean.abs(), image.abs())["psnr"] for image in (noisy, result))
    return after - before


def _noise_left(denoiser: Denoiser) -> float:
    noise = complex_noise(ONE, torch.Size((10, 1, 128, 128)), torch.Generator().manual_seed(SEED))
    return float(denoiser(SnrImage(noise, ONE, ONE, "given")).image.abs().square().mean() / 2) ** 0.5
