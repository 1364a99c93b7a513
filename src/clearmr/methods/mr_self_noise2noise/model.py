"""The 2.5D U-net of MR-self Noise2Noise (Jung et al. 2022, Fig. 1b), and what goes into it.

Input (B, C, S, H, W): of S neighbouring slices the magnitude, or real and imaginary part, then, where the network is
told of the noise, its SD. Output (B, 1 or 2, 1, H, W): the centre slice.
"""

import math

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from clearmr.errors import InputError
from clearmr.methods.mr_self_noise2noise.config import NetConfig
from clearmr.nets import SlicesUNet

PEAK = 0.999  # quantile of the magnitude that stands for a scan's brightest parts
SAMPLE = 10**6


def channels_out(config: NetConfig) -> int:
    """Real and imaginary part, or the magnitude."""
    return 2 if config.image == "complex" else 1


def build(config: NetConfig) -> SlicesUNet:
    """The network of a configuration, weights from torch's global generator. Raises InputError where it cannot be."""
    if config.slices < 1 or config.slices % 2 == 0:
        raise InputError("net.slices an odd number", str(config.slices), "the paper has 7")
    if not config.channels or min(config.channels) < 1:
        raise InputError("net.channels of one resolution level or more", str(config.channels), "write them like 32,64")
    for name, value, known in (
        ("image", config.image, ("magnitude", "complex")),
        ("scale", config.scale, ("noise", "peak")),
    ):
        if value not in known:
            raise InputError(f"net.{name} among {', '.join(known)}", value, "choose one of them")
    out = channels_out(config)
    channels = {"slices": config.slices, "channels": config.channels, "bias": config.bias}
    return SlicesUNet(out + config.noise_map, out, **channels)  # type: ignore[arg-type]


def parameters(config: NetConfig) -> int:
    """How many numbers the network holds; no memory is taken for them."""
    with torch.device("meta"):
        return sum(p.numel() for p in build(config).parameters())


def to_channels(
    image: Inexact[Tensor, "B S H W"], noise_sd: Float[Tensor, "B S H W"], *, net: NetConfig
) -> Float[Tensor, "B C S H W"]:
    """What the network is given. image: complex; of a magnitude network also magnitudes; both in its unit."""
    parts = torch.view_as_real(image).movedim(-1, 1) if net.image == "complex" else image.abs()[:, None]
    return torch.cat((parts, noise_sd[:, None]), dim=1) if net.noise_map else parts


def mirrored(indices: Tensor, n: int) -> Tensor:
    """Indices beyond 0 ... n - 1 reflected at the ends, which are not repeated; all 0 where n is 1."""
    if n == 1:
        return torch.zeros_like(indices)
    phase = indices % (2 * (n - 1))
    return torch.minimum(phase, 2 * (n - 1) - phase)


def unit_of(image: Inexact[Tensor, "..."], noise_sd: Float[Tensor, "..."], *, net: NetConfig) -> float:
    """What a scan is divided by: the median of its positive noise SDs, or its peak; 0 where there is none."""
    if net.scale == "peak":
        values = _sampled(image).abs()
        return float(values.kthvalue(max(1, math.ceil(PEAK * len(values)))).values)
    values = _sampled(noise_sd)
    positive = values[values > 0]
    return float(positive.median()) if len(positive) else 0.0


def _sampled(values: Tensor) -> Tensor:
    """About a million of the values at the most, evenly picked."""
    step = max(1, math.ceil((values.numel() / SAMPLE) ** (1 / 3)))
    return values[..., ::step, ::step, ::step].flatten()
