"""A scan's lattice made thinner: images of every n-th of its lines, with the whole scan's coil maps and ACS."""

from dataclasses import replace
from typing import Literal

from clearmr.errors import InputError
from clearmr.recon.calibration import Calibration, calibrate_for, folded_unmixing, stacked

PAPER_KERNEL = (2, 2, 3)  # (k2, k1, k0): Jung et al. 2022 write 3 x 2 x 2 as k0 x k1 x k2


def thin(
    calibration: Calibration,
    *,
    axis: Literal["kz", "ky"] = "kz",
    factor: int = 2,
    caipi: bool = False,
    kernel: tuple[int, int, int] = PAPER_KERNEL,
) -> Calibration:
    """The calibration of every `factor`-th lattice line along an axis: `apply(scan, thin(...), interleave=i)`.

    `caipi`: the lines taken move by one from each ky line to the next (Breuer et al. 2006), which aliases along both
    axes and so asks less of the coils; `axis` then makes no difference.
    Coil maps, whitening and calibration lines are the whole scan's; the GRAPPA `kernel` (k2 lines, k1 lines, k0
    samples) is fitted to them anew. One kernel, and so one set of unmixing coefficients, serves all interleaves: it
    tells a missing point from its neighbours' distances, wherever the lattice begins, and the aliased images hold
    every line at its true place. Interleaves have no line in common, so the noise of their images is independent, and
    their expected signal is the same: that of the whole scan's image divided by sqrt(factor). `noise_sd` is that of
    each one's own lines. Lines off the scan's lattice (embedded calibration lines) are in none.

    Raises InputError where there is one coil, or where the calibration lines do not hold the kernel.
    """
    lattice = calibration.lattice.thinned(axis, factor, caipi=caipi)
    lines = calibration.axes[0 if axis == "kz" else 1].encoded
    if lines < 2 * factor:
        raise InputError(f"at least {2 * factor} {axis} lines to take every {factor}-th", f"{lines}", "split less")
    config = replace(calibration.config, kernel_3d=kernel)
    kernels = [calibrate_for(acs, lattice, config) for acs in calibration.acs]
    parts = [
        folded_unmixing(fitted, csm, calibration.axes, calibration.prewhitening)
        for fitted, csm in zip(kernels, calibration.csm, strict=True)
    ]
    step = {
        "name": "thin",
        "axis": axis,
        "factor": factor,
        "acceleration": [lattice.r1, lattice.r2],
        "caipi_shift": lattice.shift,
        "kernel": [*kernels[0].lines, kernels[0].weights.shape[-1]],
    }
    power = calibration.power / factor
    return replace(
        calibration,
        unmixing=stacked([part[0] for part in parts]),
        gmap=stacked([part[1] for part in parts]),
        lattice=lattice,
        thinned_from=calibration.thinned_from or calibration.lattice,
        power=power,
        scale=power**-0.5,
        config=config,
        steps=(*calibration.steps, step),
    )
