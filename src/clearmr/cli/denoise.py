"""`clearmr denoise`: whatever holds an image or raw k-space, denoised."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearmr.cli import common

if TYPE_CHECKING:
    from clearmr.scan import SnrImage

NAME = "denoise"
EXAMPLE = "clearmr denoise scan.h5 -o clean.nii.gz --report"


def run(
    inputs: Annotated[list[Path], typer.Argument(help="Raw scan or image; several are repeats of one subject.")],
    out: Annotated[Path, typer.Option("-o", "--out", help=".npz, .nii.gz or .h5.")],
    method: Annotated[str, typer.Option(help="auto or a method's name.")] = "auto",
    model: Annotated[str | None, typer.Option(help="A bundled model's name or a .safetensors file.")] = None,
    gmap: Annotated[Path | None, typer.Option(help="g-factor map for an image.")] = None,
    noise_sd: Annotated[
        str | None, typer.Option(help="SD of each of real and imaginary: a number or an image file.")
    ] = None,
    noise_scan: Annotated[Path | None, typer.Option(help="Raw file with the noise lines.")] = None,
    estimate_noise: Annotated[bool, typer.Option("--estimate-noise", help="Estimate the noise of raw data.")] = False,
    keep_complex: Annotated[
        bool, typer.Option("--complex", help="NIfTI with both parts instead of magnitude.")
    ] = False,
    memory: Annotated[str, typer.Option(help="Memory for the network; larger images are tiled.")] = "2G",
    report: Annotated[bool, typer.Option("--report", help="Write OUT_results/ and OUT_report.html too.")] = False,
    device: common.Device = "auto",
    threads: common.Threads = 0,
    seed: common.Seed = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
    as_json: common.AsJson = False,
) -> None:
    """Denoise an image of known noise. Raw scans are reconstructed first; magnitude images get an estimated noise level."""
    page, folder = (out.with_name(f"{_stem(out)}{tail}") for tail in ("_report.html", "_results"))
    common.refuse_existing([out, *([page, folder] if report else [])], force=force)
    from clearmr import road

    clock, used, memory_bytes = common.Clock(), common.set_up(device, threads), _bytes(memory)
    with common.progress_bar("reconstruct", quiet=quiet) as progress:
        images = [
            road.to_image(p, noise_scan=noise_scan, estimate_noise=estimate_noise, device=used, progress=progress)
            for p in inputs
        ]
    noisy = _with_options(road.average(images), gmap, noise_sd)
    with common.progress_bar("denoise", quiet=quiet) as progress:
        denoiser = road.denoiser(method, model=model, device=used, memory_bytes=memory_bytes, progress=progress)
        denoised = denoiser(noisy)
    from clearmr.cli import results

    provenance = common.provenance(
        seed=seed, device=used, input=[str(p) for p in inputs], input_sha256=results.input_hash(inputs),
        noise_source=noisy.noise_source, model=denoiser.name,
    )  # fmt: skip
    denoised = dataclasses.replace(denoised, meta={**denoised.meta, "provenance": provenance})
    written = road.save(denoised, out, keep_complex=keep_complex, force=force)
    if report:
        written += _write_report(folder, page, noisy, denoised, denoiser, provenance, force)
    _say(written, noisy, clock.seconds(), quiet, as_json)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


def _bytes(text: str) -> float:
    from clearmr.errors import InputError

    units = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    number, unit = (text[:-1], units[text[-1].upper()]) if text and text[-1].upper() in units else (text, 1.0)
    try:
        value = float(number) * unit
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError("--memory as a size", text, "write for example 4G")
    return value


def _with_options(image: "SnrImage", gmap: Path | None, noise_sd: str | None) -> "SnrImage":
    """The user's own g map and noise level in the place of the image's."""
    from clearmr import road

    if noise_sd is not None:
        image = road.with_given_noise(image, _noise_level(noise_sd, image), source=noise_sd)
    if gmap is not None:
        values = _map(gmap, image, "g map")
        image = dataclasses.replace(image, gmap=values, noise_sd=image.noise_sd * values)
    return image


def _noise_level(text: str, image: "SnrImage"):  # type: ignore[no-untyped-def]
    import torch

    from clearmr.errors import InputError

    if Path(text).exists():
        return _map(Path(text), image, "noise map")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise InputError(
            "--noise-sd as a positive number or an image file", text, "give the SD of each of real and imaginary"
        )
    return torch.full((1, 1, 1, 1), value)


def _map(path: Path, image: "SnrImage", what: str):  # type: ignore[no-untyped-def]
    import torch

    from clearmr import formats
    from clearmr.errors import InputError
    from clearmr.scan import SnrImage

    loaded = formats.load(path)
    if not isinstance(loaded, SnrImage):
        raise InputError(f"an image as {what}", f"raw data in {path}", "give a NIfTI, npy or npz file")
    values = loaded.image.abs()
    try:
        fits = torch.broadcast_shapes(values.shape, image.image.shape) == image.image.shape
    except RuntimeError:
        fits = False
    if not fits or not bool((values >= 0).all()) or not bool((values > 0).any()):
        found = f"{tuple(values.shape)} in {path}"
        raise InputError(
            f"a positive {what} of shape {tuple(image.image.shape)} or with 1 for an axis", found, "give one that fits"
        )
    return values


def _write_report(folder, page, noisy, denoised, denoiser, provenance, force):  # type: ignore[no-untyped-def]
    from clearmr import report as report_room
    from clearmr.cli import results

    title = f"{provenance['input'][0].rsplit('/', 1)[-1]}, denoised"
    results.write_results(folder, noisy, denoised, title=title, model=model_summary(denoiser), provenance=provenance)
    return [folder, report_room.write_report(folder, page, force=force)]


def model_summary(denoiser) -> dict:  # type: ignore[no-untyped-def,type-arg]
    """What the report says of a model."""
    parameters = sum(p.numel() for p in denoiser.net.parameters())
    return {
        "name": denoiser.name,
        "parameters": parameters,
        **{k: denoiser.card[k] for k in ("sha256", "licence") if k in denoiser.card},
    }


def _say(written: list[Path], noisy: "SnrImage", seconds: float, quiet: bool, as_json: bool) -> None:
    warnings = list(noisy.meta.get("warnings", []))
    if as_json:
        summary = {
            "written": [str(p) for p in written],
            "shape": list(noisy.image.shape),
            "noise_source": noisy.noise_source,
        }
        common.emit({**summary, "warnings": warnings, "seconds": seconds})
        return
    for warning in warnings:
        common.say(f"warning: {warning}", quiet=quiet)
    shape = " x ".join(str(n) for n in noisy.image.shape)
    common.say(f"{written[0]}: {shape} (frame, z, y, x), noise {noisy.noise_source}, {seconds} s", quiet=quiet)
    for path in written[1:]:
        common.say(f"{path}", quiet=quiet)
