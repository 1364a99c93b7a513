"""Diffusion-weighted images of a simulated head, through the tensor model: every voxel has one tensor, which is known.

Tissues' fractions mix the tensors of fluid, grey and white matter. Fibres run from side to side in the corpus callosum,
up and down beside it, to and fro further out, bent by smooth random fields; so does how well they are aligned.
Distances as in `brain`: fractions of half the field of view. b values in s/mm^2, diffusivities in mm^2/s.
"""

import dataclasses
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from clearmr.errors import InputError
from clearmr.simulate.brain import brain, brain_tissues
from clearmr.simulate.shapes import grid_3d, texture

Matrix = tuple[int, int, int]
FOV = (168.0, 224.0, 192.0)  # mm (z, y, x), the scene brain's
FLUID, GREY, WHITE = 3.0e-3, 0.85e-3, 0.75e-3  # mean diffusivities
GREY_FA, WHITE_FA = 0.12, (0.45, 0.85)  # of white matter: the least and most aligned
FAT = 0.1  # of the scalp's signal that fat saturation leaves


@dataclass(frozen=True)
class Protocol:
    """What is measured: `unweighted` volumes, then `directions` evenly spread over the sphere at one b value."""

    directions: int = 32
    bvalue: float = 1000.0
    unweighted: int = 1

    def __post_init__(self) -> None:
        if self.directions < 6 or self.unweighted < 1 or not 0 < self.bvalue < 1e5:
            found = f"{self.directions} directions, {self.unweighted} unweighted, b = {self.bvalue:g}"
            raise InputError(
                "at least 6 directions, one unweighted volume, b over 0", found, "ask for a whole DTI scan"
            )

    @property
    def bvals(self) -> Float[Tensor, "volume"]:
        return torch.tensor([0.0] * self.unweighted + [self.bvalue] * self.directions, dtype=torch.float64)

    @property
    def bvecs(self) -> Float[Tensor, "volume 3"]:
        """(x, y, z), unit length where there is weighting."""
        return torch.cat([torch.zeros(self.unweighted, 3, dtype=torch.float64), even_directions(self.directions)])


@dataclass(frozen=True)
class DwiHead:
    """A head's noise-free DWI (volume, z, y, x), peak 1, its tensors (6, z, y, x: xx xy yy xz yz zz), s0 and brain."""

    image: Float[Tensor, "volume z y x"]
    tensor: Float[Tensor, "6 z y x"]
    s0: Float[Tensor, "z y x"]
    brain: Tensor
    spacing: tuple[float, float, float]


def dwi_head(
    matrix: Matrix = (48, 96, 96), protocol: Protocol = Protocol(), *, seed: int = 0, variety: float = 0.0
) -> DwiHead:
    """The head of a seed (and, with variety, of a person: `brain`) under a protocol. Raises InputError."""
    if min(matrix) < 16:
        raise InputError("a matrix (z, y, x) of at least 16 each", str(matrix), "choose a larger one")
    tissues = brain_tissues(matrix, seed=seed, variety=variety).double()
    s0 = brain(matrix, seed=seed, variety=variety, contrast="t2")[0].abs().double()
    inside = tissues.sum(0)
    s0 = s0 * (inside + FAT * (1 - inside).clamp(min=0))
    tensor = tensors_of(tissues, seed=seed) * (s0 > 0)
    image = s0 * torch.exp(torch.einsum("ve,ezyx->vzyx", _design(protocol), tensor))
    spacing = tuple(f / n for f, n in zip(FOV, matrix, strict=True))
    peak = float(image.max())
    return DwiHead(
        (image / peak).float(),
        tensor.float(),
        (s0 / peak).float(),
        inside > 0.5,
        spacing,  # type: ignore[arg-type]
    )


def tensors_of(tissues: Float[Tensor, "3 z y x"], *, seed: int) -> Float[Tensor, "6 z y x"]:
    """Of fractions of fluid, grey and white matter; what is none of them diffuses as grey matter does."""
    generator = torch.Generator().manual_seed(seed + 2)
    shape = tuple(tissues.shape[1:])
    fibre = _fibres(shape, generator)
    aligned = torch.sigmoid(1.2 * texture(shape, min(shape) / 10, generator).double())
    low, high = WHITE_FA
    fluid, _, white = tissues / tissues.sum(0).clamp(min=1)
    fa = GREY_FA + (low + (high - low) * aligned - GREY_FA) * white
    mean = GREY + (FLUID - GREY) * fluid + (WHITE - GREY) * white
    fa = fa * (1 - fluid).clamp(0, 1)
    return mean * _axial(fibre, fa)


def even_directions(n: int) -> Float[Tensor, "n 3"]:
    """n unit vectors (x, y, z) spread over the half sphere as charges that repel each other and their opposites.

    Jones et al. 1999; 400 steps down the gradient from a spiral: the same vectors always.
    """
    k = torch.arange(n, dtype=torch.float64)
    z = (k + 0.5) / n
    angle = k * math.pi * (3 - math.sqrt(5))
    start = torch.stack([(1 - z * z).sqrt() * angle.cos(), (1 - z * z).sqrt() * angle.sin(), z], dim=1)
    vectors = start
    apart = ~torch.eye(n, dtype=torch.bool)
    for step in range(400):
        force = torch.zeros_like(vectors)
        for sign in (1.0, -1.0):
            difference = vectors[:, None] - sign * vectors[None]
            distance = difference.norm(dim=-1).clamp(min=1e-3)
            force += (difference / distance[..., None] ** 3 * apart[..., None]).sum(1)
        force -= (force * vectors).sum(1, keepdim=True) * vectors
        length = 0.5 / n**0.5 * (1 - step / 400)
        vectors = vectors + length * force / force.norm(dim=1).max().clamp(min=1e-9)
        vectors = vectors / vectors.norm(dim=1, keepdim=True)
    return vectors


def _fibres(shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "3 z y x"]:
    """The unit vector (x, y, z) along which fibres run."""
    z, y, x = (axis.double() for axis in grid_3d(shape))
    callosum = torch.exp(-((x / 0.22) ** 2 + ((z - 0.15) / 0.2) ** 2))
    corona = torch.exp(-(((x.abs() - 0.32) / 0.15) ** 2)) * (1 - callosum)
    outer = (1 - callosum - corona).clamp(min=0.05)
    bend = [0.5 * texture(shape, min(shape) / 12, generator).double() for _ in range(3)]
    # Beside the middle they rise and fan out to their own side; further out they go to and fro.
    along_x = callosum + 0.4 * corona * x.sign() + 0.3 * bend[0]
    along_y = outer + 0.5 * corona * y + 0.3 * bend[1]
    along_z = 0.9 * callosum * x.abs() / 0.2 * x.sign() + corona + 0.3 * bend[2]
    fibre = torch.stack([along_x, along_y, along_z])
    return fibre / fibre.norm(dim=0, keepdim=True).clamp(min=1e-6)


def _axial(fibre: Tensor, fa: Tensor) -> Tensor:
    """Elements xx xy yy xz yz zz of an axially symmetric tensor of mean diffusivity 1 and this FA."""
    # FA of eigenvalues (1 + 2d, 1 - d, 1 - d) is 3 d / sqrt(3 + 6 d^2).
    d = fa / (3 - 2 * fa**2).sqrt()
    x, y, z = fibre
    products = torch.stack([x * x, x * y, y * y, x * z, y * z, z * z])
    diagonal = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, 1.0], dtype=fibre.dtype)[:, None, None, None]
    return (1 - d) * diagonal + 3 * d * products


def _design(protocol: Protocol) -> Tensor:
    x, y, z = protocol.bvecs.T
    return -protocol.bvals[:, None] * torch.stack([x * x, 2 * x * y, y * y, 2 * x * z, 2 * y * z, z * z], dim=1)


def with_protocol(head: DwiHead, protocol: Protocol) -> DwiHead:
    """The same head under another protocol, in the same unit."""
    signal = head.s0.double() * torch.exp(torch.einsum("ve,ezyx->vzyx", _design(protocol), head.tensor.double()))
    return dataclasses.replace(head, image=signal.float())
