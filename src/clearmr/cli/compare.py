"""`clearmr compare`: any number of denoisers on one input: a table, a page, every image."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr.cli import common, compare_entrants, denoise_series, machine

if TYPE_CHECKING:
    from clearmr.cli.compare_folder import Folder
    from clearmr.cli.compare_run import Given
    from clearmr.scan import SnrImage

NAME = "compare"
EXAMPLE = "clearmr compare noisy.npz -o comparison/ --reference clean.npz"
BUDGET = "5m"


def run(
    inputs: Annotated[list[Path], typer.Argument(help="Raw scan or image; several are repeats of one subject.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder: table.md, compare.html, compare.json, images/.")],
    reference: Annotated[Path | None, typer.Option(help="The image taken for true, in the unit of the input.")] = None,
    mask: common.Mask = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="NAME or NAME=MODEL, instead of all that need no hours; all: those too. May be repeated."),
    ] = None,
    also: Annotated[list[str] | None, typer.Option(help="NAME or NAME=MODEL beside those. May be repeated.")] = None,
    image: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE: what another tool made of the input. May be repeated.")
    ] = None,
    gmap: common.GMap = None,
    noise_sd: common.NoiseSd = None,
    noise_scan: common.NoiseScan = None,
    estimate_noise: common.EstimateNoise = False,
    budget: Annotated[str, typer.Option(help="deformed2self: stop by then with the best so far, as 2m, 1h.")] = BUDGET,
    timeout: Annotated[
        str | None, typer.Option(help="Leave out whoever takes longer than this in all, as 30m, 2h.")
    ] = None,
    memory: Annotated[str, typer.Option(help="Most memory that a method of ours may take, as 4G or 800M.")] = "3G",
    quick: Annotated[
        bool, typer.Option("--quick", help="No trust checks that run a denoiser again (six times, on a crop).")
    ] = False,
    ending: Annotated[
        str, typer.Option("--format", help="Of the images: npz, nii.gz, or auto (as the input).")
    ] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on in a folder; who is done is not run again.")] = False,
    device: common.Device = "auto",
    threads: common.Threads = 0,
    seed: common.Seed = 0,
    quiet: common.Quiet = False,
    as_json: common.AsJson = False,
) -> None:
    """Run denoisers on one input, each in a process of its own, and set them side by side.

    One that cannot be run (package absent, needs a series, a model, repeats) or fails is left out, and a line says why.

    With a trained model and a result of another tool: [b]clearmr compare t1.nii.gz -o c/ --also
    mr-self-noise2noise=run/ --image fsl=susan.nii.gz[/b]
    """
    from clearmr.cli import compare_folder

    budget_s, limit = denoise_series.seconds_of(budget), denoise_series.seconds_of(timeout, "--timeout")
    methods, left_out = compare_entrants.of_methods(method or [], also or [], budget_s=budget_s or 0.0)
    entrants = compare_entrants.together(methods, compare_entrants.of_images(image or []))
    options = {"gmap": gmap, "noise_sd": noise_sd, "noise_scan": noise_scan, "estimate_noise": estimate_noise}
    files = [*inputs, *(path for path in (reference, mask, gmap, noise_scan) if path)]
    files += [Path(noise_sd)] if noise_sd and Path(noise_sd).exists() else []
    compare_folder.refuse(out, resume=resume, ending=ending, files=files)
    used = common.set_up(device, threads)
    clock = common.Clock()
    images = _images(inputs, options, used, quiet)
    compare_folder.check(images, reference=reference, mask=mask)
    asked = {**common.inputs(files), "options": options, "seed": seed, "memory": memory}
    folder = compare_folder.opened(out, asked, ending=ending, inputs=inputs)
    given = folder.given(images, reference=reference, mask=mask)
    given = dataclasses.replace(given, device=used, threads=threads, seed=seed, memory=memory, quick=quick)
    left_out |= _run_all(folder, given, entrants, limit, quiet)
    provenance = common.provenance(seed=seed, device=used, **common.inputs(inputs), **machine.made_with())
    value = folder.finish(given, entrants, left_out, {**provenance, "seconds": clock.seconds()})
    _say(folder, value, quiet, as_json)


def _images(inputs: list[Path], options: dict[str, Any], device: str, quiet: bool) -> "list[SnrImage]":
    from clearmr import road

    with common.progress_bar("read", quiet=quiet) as progress:
        return [road.to_image(path, **options, device=device, progress=progress) for path in inputs]


def _run_all(
    folder: "Folder",
    given: "Given",
    entrants: list[compare_entrants.Entrant],
    limit: float | None,
    quiet: bool,
) -> dict[str, str]:
    """Every entrant that is not done yet; why each that gave nothing is left out."""
    left_out = {}
    for number, entrant in enumerate(entrants, 1):
        if folder.done(entrant):
            common.say(f"{entrant.name}: done before", quiet=quiet)
            continue
        reason = compare_entrants.absent(entrant)
        if not reason:
            with common.progress_bar(f"{entrant.name} ({number} of {len(entrants)})", quiet=quiet) as progress:
                reason = folder.run(given, entrant, progress, limit=limit)
        if reason:
            left_out[entrant.name] = reason
        common.say(f"{entrant.name}: {reason or folder.line(entrant)}", quiet=quiet)
    return left_out


def _say(folder: "Folder", value: dict[str, Any], quiet: bool, as_json: bool) -> None:
    if as_json:
        common.emit(value)
    else:
        typer.echo(folder.table.read_text(encoding="utf-8"), nl=False)
    common.say(f"{folder.page}", quiet=quiet)
