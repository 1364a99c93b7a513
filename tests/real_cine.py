"""`python tests/real_cine.py`: the table of the model card for the real cine of ../shared/data, as Markdown."""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clearmr import road
from clearmr.evaluate import complex_noise, evaluate
from clearmr.scan import SnrImage

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "cine_10frames"
ONE = torch.ones(1, 1, 1, 1)
SEED = 5


def clean_cine() -> Tensor:
    """(frame, z, y, x) complex64 with a smooth phase, mean magnitude 1 in the object (above 15 % of the maximum)."""
    frames = [np.asarray(Image.open(FOLDER / f"clean_{k}.png"), dtype=np.float32) for k in range(10)]
    magnitude = torch.from_numpy(np.stack(frames))[:, None]
    magnitude = magnitude / magnitude[magnitude > 0.15 * magnitude.max()].mean()
    phase = torch.linspace(0, 2, magnitude.shape[-2])[:, None] * torch.linspace(-1, 1, magnitude.shape[-1])
    return torch.polar(magnitude, phase.expand_as(magnitude).contiguous())


def main() -> None:
    """Print gain and mean signal for complex and for magnitude input."""
    unit, denoiser = clean_cine(), road.denoiser()
    inside = unit.abs() > 0.15 * unit.abs().max()
    generator = torch.Generator().manual_seed(SEED)
    sys.stdout.write(
        "| SNR | gain, complex | mean signal | gain, magnitude input | mean signal |\n|---|---|---|---|---|\n"
    )
    for snr in (3.0, 5.0, 10.0, 20.0):
        clean = snr * unit
        noisy = clean + complex_noise(ONE, clean.shape, generator)
        before = evaluate(clean.abs(), noisy.abs())["psnr"]
        cells = []
        for image in (noisy, noisy.abs()):
            result = denoiser(SnrImage(image, ONE, ONE, "given")).image.abs()
            gain = evaluate(clean.abs(), result)["psnr"] - before
            cells += [f"{gain:+.1f} dB", f"{float(result[inside].mean() / clean.abs()[inside].mean()):.3f}"]
        sys.stdout.write(f"| {snr:g} | {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
