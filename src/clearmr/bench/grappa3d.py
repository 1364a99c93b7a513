"""3D GRAPPA of 96x96x64, 16 coils, R = 2x2, 24x24 ACS lines: from k-space to the combined image, and its g map."""

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clearmr.bench.timing import Options, best_of, peak_gb, ratios
from clearmr.fourier import to_image, to_kspace
from clearmr.recon import calibrate_grappa, gmap, unmixing
from clearmr.simulate import simulate
from clearmr.simulate.coils import coil_maps

MATRIX, COILS, R, ACS, SNR = (64, 96, 96), 16, 2, 24, 50.0
KERNEL = (4, 4, 3)  # source lines k2 and k1, samples k0
PEER_WINDOW = (5, 5, 5)  # mdgrappa's own default: every acquired line among 5 x 5 round a missing one
RUNS = 3


@dataclass(frozen=True)
class Problem:
    """csm (coil, z, y, x) of unit norm; kspace and acs (coil, k2, k1, k0): lines of the lattice, and of the ACS.

    `reference` (z, y, x) is the combined image of all lines, with their noise: only what undersampling adds is judged.
    """

    csm: Tensor
    kspace: Tensor
    acs: Tensor
    reference: Tensor


def problem() -> Problem:
    """The simulated brain seen by 16 simulated coils, white noise at a mean SNR of 50."""
    truth = simulate("brain", matrix=MATRIX, n_coils=2, seed=0).truth[0]
    maps = coil_maps(MATRIX, n_coils=COILS, seed=0)
    csm = maps / torch.linalg.vector_norm(maps, dim=0).clamp_min(1e-6)
    generator = torch.Generator().manual_seed(0)
    sd = float(truth.abs()[truth.abs() > 0.1].mean()) / SNR
    full = to_kspace(csm * truth, (1, 2, 3)) + torch.complex(*torch.randn((2, *csm.shape), generator=generator)) * sd
    first2, first1 = MATRIX[0] // 2 - ACS // 2, MATRIX[1] // 2 - ACS // 2
    acs = full[:, first2 : first2 + ACS, first1 : first1 + ACS].clone()
    lattice = torch.zeros(MATRIX[:2])
    lattice[MATRIX[0] // 2 % R :: R, MATRIX[1] // 2 % R :: R] = 1
    return Problem(csm, full * lattice[:, :, None], acs, _combined(to_image(full, (1, 2, 3)), csm))


def run(options: Options) -> dict[str, Any]:
    """Seconds, and NRMSE of the combined image against that of all lines, of clearmr and of pygrappa's mdgrappa.

    Both begin with k-space and ACS and end with the image combined by the same maps; clearmr gives a g map as well.
    The peak of memory is the process's so far, clearmr first.
    """
    given = problem()
    entry: dict[str, Any] = {"clearmr": _row(given, *best_of(lambda: _clearmr(given), runs=RUNS))}
    if importlib.util.find_spec("pygrappa") is None:
        entry["pygrappa mdgrappa"] = {"skipped": "pygrappa is not installed"}
    else:
        entry["pygrappa mdgrappa"] = _row(given, *_once(lambda: _pygrappa(given)))
    return {**entry, "times slower than clearmr": ratios(entry)}


def _once(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds of a single run: the peer takes long, and has nothing to warm up."""
    began = time.perf_counter()
    image = work()
    return time.perf_counter() - began, image


def _row(given: Problem, seconds: float, image: Tensor) -> dict[str, Any]:
    error = float((image - given.reference).norm() / given.reference.norm())
    return {"seconds": seconds, "nrmse": error, "process peak GB": peak_gb()}


def _clearmr(given: Problem) -> Tensor:
    unmix = unmixing(calibrate_grappa(given.acs, (R, R), kernel=KERNEL), given.csm)
    gmap(unmix)
    return (unmix * to_image(given.kspace, (1, 2, 3))).sum(0) * R**2


def _pygrappa(given: Problem) -> Tensor:
    from pygrappa import mdgrappa

    filled = mdgrappa(given.kspace.numpy(), given.acs.numpy(), kernel_size=PEER_WINDOW, coil_axis=0)
    images = to_image(torch.from_numpy(np.ascontiguousarray(filled)).to(torch.complex64), (1, 2, 3))
    return _combined(images, given.csm)


def _combined(images: Tensor, csm: Tensor) -> Tensor:
    return (csm.conj() * images).sum(0)
