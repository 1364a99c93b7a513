"""g-factor maps to shape noise with: R = 1 and 2..8 of simulated coil arrays (Fig. 1a of Xue et al. 2025)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from clearmr.errors import InputError
from clearmr.fourier import to_kspace
from clearmr.recon import calibrate_grappa, gmap, unmixing
from clearmr.simulate.coils import coil_maps

SIZE = 128
ACS_LINES = 32
GMAP_MAX = 8.0
MEDIAN_MAX = 3.5  # of a whole map: beyond it nobody would scan, and nothing is left to learn


def simulated_gmaps(n_arrays: int, generator: torch.Generator, *, size: int = SIZE) -> Float[Tensor, "n y x"]:
    """Maps (n, y, x) of `n_arrays` arrays of 8 to 32 coils: GRAPPA calibrated on a disc with 32 lines, R = 1..8."""
    maps = [torch.ones(size, size)]
    for _ in range(n_arrays):
        maps += _of_array(_drawn_array(size, generator), generator)
    return torch.stack(maps)


def array_gmaps(shape: tuple[int, int], generator: torch.Generator) -> tuple[tuple[int, ...], Float[Tensor, "r y x"]]:
    """(accelerations, maps (R, y, x)) of one such array: R = 2, 3 ... as far as it reaches, over frames of `shape`."""
    maps = torch.stack(_of_array(_drawn_array(SIZE, generator), generator))
    fitted = F.interpolate(maps[None], size=shape, mode="bilinear", align_corners=True)[0]
    return tuple(range(2, 2 + len(maps))), fitted


def usable(gmap: Tensor) -> bool:
    """Whether anybody would scan with this g: its median over the object (g > 0) is at most `MEDIAN_MAX`."""
    inside = gmap[gmap > 0]
    return bool(len(inside)) and bool(inside.median() <= MEDIAN_MAX)


def _drawn_array(size: int, generator: torch.Generator) -> Tensor:
    n_coils = int(torch.randint(8, 33, (), generator=generator))
    distance = 1.05 + 0.4 * float(torch.rand((), generator=generator))
    seed = int(torch.randint(2**31, (), generator=generator))
    return coil_maps((1, size, size), n_coils=n_coils, distance=distance, seed=seed)


def _of_array(csm: Tensor, generator: torch.Generator) -> list[Tensor]:
    unit = csm / torch.linalg.vector_norm(csm, dim=0).clamp_min(1e-6)
    axis = torch.linspace(-1, 1, csm.shape[-1])
    disc = (axis[:, None].square() + axis.square() < 0.8).to(csm.dtype)
    noise = torch.complex(*torch.randn((2, *csm.shape), generator=generator)) * 1e-3
    kspace = to_kspace(csm * disc + noise, (-2, -1))
    middle = csm.shape[-2] // 2
    acs = kspace[:, :, middle - ACS_LINES // 2 : middle + ACS_LINES // 2]
    maps = []
    for acceleration in range(2, 9):
        try:
            kernel = calibrate_grappa(acs, (acceleration, 1))
        except InputError:  # fewer coils than the factor needs: no such map
            break
        found = gmap(unmixing(kernel, unit))[0]
        if not usable(found):
            break
        maps.append(found.clamp(max=GMAP_MAX))
    return maps
