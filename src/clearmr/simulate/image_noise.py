"""Noise laid on images of intensities near [0, 1], without any scan: the models of Xu & Adalsteinsson 2021.

For noise that goes through coils and k-space, scan the images instead (`scan_of`).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from clearmr.errors import InputError
from clearmr.scan import SnrImage

Clean = Float[Tensor, "frame z y x"]
Mm = tuple[float, float, float]


def gaussian_noise(
    clean: Clean, level: float, generator: torch.Generator, *, spacing: Mm = (1.0, 1.0, 1.0)
) -> SnrImage:
    """clean + n with n ~ N(0, level^2): real and signed, nothing is clipped. `level` is the SD in the image's unit.

    clean (frame, z, y, x) float32; noise_sd is `level` everywhere, spacing (z, y, x) in mm. Raises InputError for a
    level that is not over 0, for NaN or infinite values. Xu & Adalsteinsson 2021, section 3.1 (15, 20, 25 %).
    """
    _check(clean, level, "a noise SD")
    noisy = clean + level * _normal(clean, generator)
    return _image(noisy, torch.full((1, 1, 1, 1), float(level)), {"model": "gaussian", "sd": level}, spacing)


def rician_noise(clean: Clean, level: float, generator: torch.Generator, *, spacing: Mm = (1.0, 1.0, 1.0)) -> SnrImage:
    """|clean + n_r + i n_i| with n_r, n_i ~ N(0, level^2) (Gudbjartsson & Patz 1995), as a magnitude image has it.

    noise_sd is `level`, the SD of each of the real and imaginary parts before the magnitude was taken; that of the
    magnitude itself is lower where the signal is weak. Otherwise as `gaussian_noise`; clean must not be negative.
    """
    _check(clean, level, "a noise SD", negative=False)
    real, imaginary = clean + level * _normal(clean, generator), level * _normal(clean, generator)
    return _image(
        torch.hypot(real, imaginary), torch.full((1, 1, 1, 1), float(level)), {"model": "rician", "sd": level}, spacing
    )


def poisson_noise(clean: Clean, level: float, generator: torch.Generator, *, spacing: Mm = (1.0, 1.0, 1.0)) -> SnrImage:
    """y = z / P with z ~ Pois(P clean) and P = `level`, counts per unit intensity: mean clean, variance clean / P.

    The true SD sqrt(clean / P) is nobody's to know, so noise_sd is the usual stand-in made of the noisy image,
    sqrt(max(y, 1 / P) / P): its square has the right mean, and no voxel without counts passes for noise-free (one count
    is the least that is assumed). clean must not be negative. Xu & Adalsteinsson 2021, section 3.1 (P = 40, 20, 10).
    """
    _check(clean, level, "counts per unit intensity", negative=False)
    noisy = torch.poisson(clean * level, generator=generator) / level
    return _image(noisy, (noisy.clamp(min=1 / level) / level).sqrt(), {"model": "poisson", "counts": level}, spacing)


NOISE_MODELS: dict[str, Callable[..., SnrImage]] = {
    "gaussian": gaussian_noise,
    "rician": rician_noise,
    "poisson": poisson_noise,
}


def image_noise(
    model: str, clean: Clean, level: float, generator: torch.Generator, *, spacing: Mm = (1.0, 1.0, 1.0)
) -> SnrImage:
    """Noise of "gaussian", "rician" or "poisson" on `clean`; see the three functions. Raises InputError for others."""
    if model not in NOISE_MODELS:
        raise InputError(f"a noise model out of {', '.join(NOISE_MODELS)}", repr(model), "choose one of them")
    return NOISE_MODELS[model](clean, level, generator, spacing=spacing)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)


def _image(noisy: Tensor, noise_sd: Tensor, told: dict[str, object], spacing: Mm) -> SnrImage:
    meta = {"steps": [{"step": "image noise", **told}]}
    return SnrImage(noisy.to(torch.float32), noise_sd, torch.ones(1, 1, 1, 1), "given", spacing=spacing, meta=meta)


def _check(clean: Tensor, level: float, meaning: str, *, negative: bool = True) -> None:
    if not 0 < level < float("inf"):
        raise InputError(f"{meaning} over 0", str(level), "give for example 0.1 (an SD) or 20 (counts)")
    if not bool(torch.isfinite(clean).all()):
        raise InputError("an image of finite numbers", "NaN or infinite voxels", "replace them first")
    if not negative and bool((clean < 0).any()):
        raise InputError("intensities of 0 or more", f"{float(clean.min()):.3g}", "give a magnitude image")
