"""GRAPPA calibration + unmixing + g map of one 256x256 slice, 16 coils, R = 4, 24 ACS lines, kernel 4x5, maps given."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clearmr.bench.timing import Options, best_of, ratios
from clearmr.fourier import to_image, to_kspace
from clearmr.recon import calibrate_grappa, gmap, unmixing
from clearmr.simulate import simulate
from clearmr.simulate.coils import coil_maps

SIZE, COILS, R, ACS, SNR = 256, 16, 4, 24, 50.0
PEER_RUNS = 2


@dataclass(frozen=True)
class Problem:
    """truth (y, x); csm (coil, z, y, x) of unit norm; kspace and acs (coil, z, y, x) and (coil, 1, ACS, x), noisy."""

    truth: Tensor
    csm: Tensor
    kspace: Tensor
    acs: Tensor
    lattice: Tensor


def problem() -> Problem:
    """The static phantom seen by 16 simulated coils, white noise at a mean SNR of 50."""
    truth = simulate("phantom", matrix=SIZE, n_coils=2, seed=0).truth[0]
    maps = coil_maps((1, SIZE, SIZE), n_coils=COILS, seed=0)
    csm = maps / torch.linalg.vector_norm(maps, dim=0).clamp_min(1e-6)
    generator = torch.Generator().manual_seed(0)
    sd = float(truth.abs()[truth.abs() > 0.1].mean()) / SNR
    noise = torch.complex(*torch.randn((2, *csm.shape), generator=generator)) * sd
    kspace = to_kspace(csm * truth, (-2, -1)) + noise
    middle = SIZE // 2
    lattice = torch.zeros(SIZE, dtype=torch.bool)
    lattice[middle % R :: R] = True
    return Problem(truth[0], csm, kspace, kspace[:, :, middle - ACS // 2 : middle + ACS // 2].clone(), lattice)


@dataclass(frozen=True)
class Entrant:
    """`work` is timed: calibration and unmixing (or filling k-space); `image` makes the picture of it, (y, x)."""

    name: str
    module: str
    work: Callable[[Problem], Any]
    image: Callable[[Problem, Any], Tensor]
    runs: int


def run(options: Options) -> dict[str, Any]:
    """Seconds, and NRMSE of the image's magnitude against the truth, of clearmr and of each peer that is installed.

    Magnitudes: a linear phase, which ismrmrd-python-tools' kernels of even length leave, is no error of the picture.
    """
    given = problem()
    entry: dict[str, Any] = {}
    for entrant in ENTRANTS:
        if importlib.util.find_spec(entrant.module) is None:
            entry[entrant.name] = {"skipped": f"{entrant.module} is not installed"}
            continue
        seconds, result = best_of(partial(entrant.work, given), runs=entrant.runs)
        entry[entrant.name] = {"seconds": seconds, "nrmse": _error(entrant.image(given, result), given.truth)}
    return {**entry, "times slower than clearmr": ratios(entry)}


def _clearmr(given: Problem) -> Tensor:
    unmix = unmixing(calibrate_grappa(given.acs, (R, 1), kernel=(1, 4, 5)), given.csm)
    gmap(unmix)
    return unmix[:, 0]


def _ismrmrd_python_tools(given: Problem) -> Tensor:
    from ismrmrdtools.grappa import calculate_grappa_unmixing

    kspace, csm = (value[:, 0].numpy() for value in (given.kspace, given.csm))
    mask = np.zeros((SIZE, SIZE))
    mask[SIZE // 2 - ACS // 2 : SIZE // 2 + ACS // 2] = 1
    unmix, _ = calculate_grappa_unmixing(kspace, R, kernel_size=(4, 5), data_mask=mask, csm=csm)
    return torch.from_numpy(unmix)


def _unmixed(given: Problem, unmix: Tensor) -> Tensor:
    aliased = to_image(given.kspace * given.lattice[:, None], (-2, -1))[:, 0]
    return (unmix * aliased).sum(0) * R


def _pygrappa(given: Problem) -> np.ndarray:
    from pygrappa import mdgrappa

    kspace = (given.kspace * given.lattice[:, None])[:, 0].numpy()
    # A window of 4 R + 1 lines holds four acquired ones round every missing one. No g map, no unmixing: less work.
    return mdgrappa(kspace, given.acs[:, 0].numpy(), kernel_size=(4 * R + 1, 5), coil_axis=0)


def _combined(given: Problem, filled: np.ndarray) -> Tensor:
    images = to_image(torch.from_numpy(np.ascontiguousarray(filled)).to(torch.complex64), (-2, -1))
    return (given.csm[:, 0].conj() * images).sum(0)


def _error(image: Tensor, truth: Tensor) -> float:
    return float((image.abs() - truth.abs()).norm() / truth.norm())


ENTRANTS = (
    Entrant("clearmr", "clearmr", _clearmr, _unmixed, 5),
    Entrant("ismrmrd-python-tools", "ismrmrdtools", _ismrmrd_python_tools, _unmixed, PEER_RUNS),
    Entrant("pygrappa mdgrappa", "pygrappa", _pygrappa, _combined, PEER_RUNS),
)
