"""`clearmr simulate dwi -o image`: diffusion-weighted images of a simulated head, one file for each repeat."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr.cli import common
from clearmr.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from clearmr.scan import SnrImage
    from clearmr.simulate.dwi import DwiHead, Protocol

SCENE = "dwi"
NOISE_SD = 0.02  # of the largest signal: about 16 for the b = 0 SNR of white matter

Directions = Annotated[int | None, typer.Option(min=6, help="Of dwi: directions beside one b = 0 volume (default 32).")]
BValue = Annotated[float | None, typer.Option(help="Of dwi: b value in s/mm^2 (default 1000).")]
Repeats = Annotated[int | None, typer.Option(min=1, help="Of dwi: repeats, each with its own noise and file.")]
Misalign = Annotated[
    str | None, typer.Option(help="Of dwi: MM,DEGREES by which the repeats lie off the truth, for example 0.25,0.3.")
]


def write(
    out: Path,
    *,
    matrix: int | None,
    noise_sd: float | None,
    snr: float | None,
    variety: float | None,
    directions: int | None,
    bvalue: float | None,
    repeats: int | None,
    misalign: str | None,
    refused: dict[str, Any],
    truth: Path | None,
    seed: int,
    force: bool,
    quiet: bool,
) -> None:
    """Make and write the repeats, the b values and directions beside each, and the noise-free images where asked for.

    refused: options of scans and their usual values, as (given, usual). Raises InputError where one was given.
    """
    asked = ", ".join(f"--{name}" for name, (given, usual) in refused.items() if given != usual)
    if asked:
        raise InputError("options of dwi (see --help)", asked, "leave that out: dwi makes images, no raw scan")
    files = names(out, repeats or 1)
    _refuse([*files, *([truth] if truth else [])], force=force)
    protocol, head = _head(matrix, directions, bvalue, variety or 0.0, seed)
    made = {"seed": seed, "scene": SCENE}
    images = noisy(head, len(files), level=_level(head, noise_sd, snr), misalign=misalign, seed=seed)
    for path, image in zip(files, images, strict=True):
        _save(image, path, protocol, made, force)
        common.say(f"{path}: {common.shape(image.image)} (volume, z, y, x), .bval and .bvec beside", quiet=quiet)
    if truth:
        _save(clean(head), truth, protocol, made, force)


def names(out: Path, repeats: int) -> list[Path]:
    """The file itself for one repeat; of more NAME_repeat1, NAME_repeat2 ... Raises InputError for no NIfTI."""
    if not out.name.lower().endswith((".nii", ".nii.gz")):
        raise InputError("an output ending in .nii.gz or .nii for dwi", out.name, "rename the output")
    if repeats == 1:
        return [out]
    stem, _, ending = out.name.partition(".nii")
    return [out.with_name(f"{stem}_repeat{k}.nii{ending}") for k in range(1, repeats + 1)]


def noisy(head: "DwiHead", n: int, *, level: float, misalign: str | None, seed: int) -> "tuple[SnrImage, ...]":
    """n repeats with Rician noise of this SD, where asked for off the truth."""
    import torch

    from clearmr.simulate.repeats import Move, draw_moves, repeats

    generator = torch.Generator().manual_seed(seed + 1)
    shift, degrees = _misaligned(misalign)
    if (shift or degrees) and n < 2:
        raise InputError("--misalign of two or more repeats", "one", "add for example --repeats 2")
    moves = (Move(),) * n
    if shift or degrees:
        moves = draw_moves(n, shift=shift, degrees=degrees, gain=0.0, generator=generator)
    return repeats(head.image, moves, level, generator, spacing=head.spacing)


def clean(head: "DwiHead") -> "SnrImage":
    """The noise-free images."""
    import torch

    from clearmr.scan import SnrImage

    one: Tensor = torch.ones(1, 1, 1, 1)
    return SnrImage(head.image, 0 * one, one, "given", spacing=head.spacing)


def _head(
    matrix: int | None, directions: int | None, bvalue: float | None, variety: float, seed: int
) -> "tuple[Protocol, DwiHead]":
    from clearmr.simulate.dwi import Protocol, dwi_head

    protocol = Protocol(directions or 32, 1000.0 if bvalue is None else bvalue)
    size = matrix or 96
    return protocol, dwi_head((size // 2, size, size), protocol, seed=seed, variety=variety)


def _level(head: "DwiHead", noise_sd: float | None, snr: float | None) -> float:
    """The noise SD, given or by the mean SNR of the brain without diffusion weighting."""
    if noise_sd is not None and snr is not None:
        raise InputError("either --noise-sd or --snr", "both", "give one of them")
    if snr is None:
        return NOISE_SD if noise_sd is None else noise_sd
    if not 0 < snr < float("inf"):
        raise InputError("--snr over 0", str(snr), "give the mean SNR of the brain without weighting, for example 20")
    return float(head.s0[head.brain].mean()) / snr


def _misaligned(text: str | None) -> tuple[float, float]:
    if text is None:
        return 0.0, 0.0
    try:
        shift, degrees = (float(part) for part in text.split(","))
    except ValueError:
        shift = degrees = -1.0
    if not (0 <= shift < 100 and 0 <= degrees < 90):
        raise InputError("--misalign as MM,DEGREES", text or "nothing", "write for example 0.25,0.3")
    return shift, degrees


def _refuse(files: list[Path], *, force: bool) -> None:
    from clearmr.formats.gradients_write import beside

    for path in files:
        common.refuse_image(path, force=force)
        common.refuse_existing(beside(path), force=force)


def _save(image: "SnrImage", path: Path, protocol: "Protocol", made: dict[str, Any], force: bool) -> None:
    import dataclasses

    from clearmr import formats
    from clearmr.formats.gradients_write import save_gradients

    meta = {**image.meta, "provenance": common.provenance(**made)}
    formats.save(dataclasses.replace(image, meta=meta), path, force=force)
    save_gradients(path, protocol.bvals.numpy(), protocol.bvecs.numpy(), affine=image.affine, force=force)
