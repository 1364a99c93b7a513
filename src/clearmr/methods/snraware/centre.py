"""The centre of k-space is measured well enough: what a network does there can only shift the mean."""

import torch
from jaxtyping import Complex
from torch import Tensor

from clearmr.fourier import to_image, to_kspace

WIDTH = 8.0  # pixels, SD of the Gaussian below whose frequencies the measured image is kept


def keep_centre(
    noisy: Complex[Tensor, "T H W"], denoised: Complex[Tensor, "T H W"], *, width: float = WIDTH
) -> Complex[Tensor, "T H W"]:
    """denoised, with the lowest spatial frequencies of noisy: both in one unit, each frame for itself.

    Complex noise has mean zero, so means over some `width` become those measured; the noise that comes back has an SD
    of 1 / (2 sqrt(pi) width) of the noise: 0.035. Not for magnitudes, whose noise has a mean.
    """
    y, x = (torch.fft.fftshift(torch.fft.fftfreq(n)) for n in noisy.shape[-2:])
    weight = torch.exp(-2 * (torch.pi * width) ** 2 * (y[:, None].square() + x.square()))
    return denoised + to_image(weight * to_kspace(noisy - denoised, (-2, -1)), (-2, -1))
