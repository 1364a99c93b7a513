"""`clearmr simulate`: a raw scan of a phantom, written as MRD."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearmr.cli import common
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.simulate import Simulated

NAME = "simulate"
EXAMPLE = "clearmr simulate cine -o cine.h5 --acceleration 4"


def run(
    scene: Annotated[str, typer.Argument(help="phantom, cine or brain.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="MRD file (.h5).")],
    coils: Annotated[int, typer.Option(help="Receiver coils.")] = 8,
    acceleration: Annotated[str, typer.Option(help="R, or R1xR2 for 3D.")] = "1",
    noise_sd: Annotated[
        float | None, typer.Option(help="Noise SD of each of real and imaginary, for a peak of 1.")
    ] = None,
    snr: Annotated[
        float | None, typer.Option(help="Mean SNR of the object, fully sampled, instead of --noise-sd.")
    ] = None,
    matrix: Annotated[int | None, typer.Option(min=16, help="Image size, pixels.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames of the series.")] = None,
    acs: Annotated[int, typer.Option(min=0, help="Calibration lines.")] = 24,
    partial_fourier: Annotated[float, typer.Option(help="Acquired fraction of the phase encoding.")] = 1.0,
    truth: Annotated[Path | None, typer.Option(help="Write the noise-free image here too (.npz).")] = None,
    seed: common.Seed = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Simulate a multi-coil scan with correlated receiver noise and a noise scan, and write it as MRD."""
    if out.suffix.lower() not in (".h5", ".mrd"):
        raise InputError("an output ending in .h5 or .mrd", out.name, "MRD is what is written")
    common.refuse_existing([out, *([truth] if truth else [])], force=force)
    factors = _factors(acceleration)
    if truth:
        common.refuse_image(truth, force=force)
    from clearmr import formats, simulate

    simulated = simulate.simulate(
        scene,
        n_coils=coils,
        acceleration=factors,
        noise_sd=noise_sd,
        snr=snr,
        matrix=matrix,
        n_frames=frames,
        acs=acs,
        partial_fourier=partial_fourier,
        seed=seed,
    )
    formats.save_raw(simulated.scan, out, force=force)
    if truth:
        _write_truth(simulated, truth, seed, force)
    shape = common.shape(simulated.scan.kspace)
    common.say(f"{out}: k-space {shape} (frame, coil, k2, k1, k0), R = {acceleration}", quiet=quiet)


def _factors(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if not 1 <= len(parts) <= 2 or not all(p.isascii() and p.isdigit() and int(p) > 0 for p in parts):
        raise InputError("--acceleration as R or R1xR2", text or "nothing", "write for example 4 or 2x2")
    return int(parts[0]), int(parts[1]) if len(parts) == 2 else 1


def _write_truth(simulated: "Simulated", path: Path, seed: int, force: bool) -> None:
    import torch

    from clearmr import formats
    from clearmr.scan import SnrImage

    one, origin = torch.ones(1, 1, 1, 1), {"provenance": common.provenance(seed=seed)}
    affine = simulated.scan.affine
    formats.save(SnrImage(simulated.truth, 0 * one, one, "given", affine=affine, meta=origin), path, force=force)
