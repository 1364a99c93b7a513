"""Small lesions in clean patches, so that a network learns to keep what is small and seen only a few noise SDs."""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from clearmr.methods.snraware.draws import chance, pick, uniform

MOST = 6  # in one patch
RADII = (1.2, 3.0)  # voxels
CONTRAST = (3.0, 10.0)  # in noise SDs
BRIGHTER = 0.7  # of them, the others are darker than what is round them
THROUGH = 0.5  # of the patches: discs in every frame (a series), in the others balls (a volume)
BODY = 0.05  # of the largest magnitude: lesions are inside


def inserted(
    clean: Complex[Tensor, "frame y x"], noise_sd: Float[Tensor, "#frame y x"], generator: torch.Generator
) -> Complex[Tensor, "frame y x"]:
    """The patch with up to `MOST` lesions, their contrast in units of the noise there; phase kept, nothing below 0."""
    magnitude = clean.abs()
    body = magnitude > BODY * magnitude.max()
    sd = noise_sd.expand(clean.shape)
    through = chance(THROUGH, generator)
    added = torch.zeros_like(magnitude)
    for _ in range(1 + pick(MOST, generator)):
        place = [pick(n, generator) for n in clean.shape]
        sign = 1 if chance(BRIGHTER, generator) else -1
        contrast = sign * uniform(generator, *CONTRAST) * sd[place[0], place[1], place[2]]
        inside = _ball(tuple(clean.shape), place, uniform(generator, *RADII), through)
        added = torch.where(inside > 0.01, contrast * inside, added)
    added = torch.maximum(added, -magnitude) * body
    return clean + added * clean / magnitude.clamp_min(1e-6)


def _ball(shape: tuple[int, ...], place: list[int], radius: float, through: bool) -> Tensor:
    """1 inside, 0 outside, half at the radius; a disc in every frame where it goes `through`."""
    axes = [(torch.arange(n, dtype=torch.float32) - at).square() for n, at in zip(shape, place, strict=True)]
    square = axes[1][:, None] + axes[2] + (0 if through else axes[0][:, None, None])
    return torch.sigmoid(4 * (radius - square.sqrt())).expand(shape)
