"""`clearmr snr`: Monte-Carlo SNR maps, before and after a denoiser."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr.cli import common
from clearmr.errors import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from clearmr.denoiser import Denoiser
    from clearmr.evaluate import ReplicaResult
    from clearmr.scan import RawScan, SnrImage

NAME = "snr"
EXAMPLE = "clearmr snr scan.h5 -o snr.npz --replicas 64"


def run(
    source: Annotated[Path, typer.Argument(help="Raw scan, or image of known noise.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Maps (.npz): snr_before, snr_after, noise SDs.")],
    replicas: Annotated[int, typer.Option(min=2, help="Replicas; the error of a map falls with their root.")] = 64,
    method: Annotated[str, typer.Option(help="auto or a method's name.")] = "auto",
    model: Annotated[str | None, typer.Option(help="A bundled model's name or a .safetensors file.")] = None,
    noise_scan: Annotated[Path | None, typer.Option(help="Raw file with the noise lines.")] = None,
    estimate_noise: Annotated[bool, typer.Option("--estimate-noise", help="Estimate the noise of the data.")] = False,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    threads: common.Threads = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
    as_json: common.AsJson = False,
) -> None:
    """Noise and SNR of every voxel from pseudo-replicas (Robson et al. 2008), before and after denoising.

    Each replica is the data with as much noise added as is in them; the denoiser is told so. The SNR is the mean over
    the replicas over their SD.
    """
    if out.suffix.lower() != ".npz":
        raise InputError("an output ending in .npz", out.name, "choose this ending")
    common.refuse_existing([out], force=force)
    import numpy as np

    from clearmr import files, formats, road
    from clearmr.scan import RawScan

    used = common.set_up(device, threads)
    denoiser = road.denoiser(method, model=model, device=used)
    loaded = formats.load(source, noise_scan=noise_scan)
    if isinstance(loaded, RawScan):
        image, result = _of_scan(loaded, denoiser, estimate_noise, used, replicas, seed, quiet)
    else:
        image = road.to_image(source, estimate_noise=estimate_noise)
        result = _of_image(image, denoiser, replicas, seed, quiet)
    maps = _maps(result)
    summary = _summary(maps, image, denoiser.name, result)
    origin = common.provenance(seed=seed, device=used, **common.inputs([source]))
    with files.whole_file(out, force=force) as temporary, temporary.open("wb") as file:
        meta = np.array(common.as_json({**summary, "provenance": origin}))
        np.savez_compressed(file, meta=meta, **{name: values.numpy() for name, values in maps.items()})  # type: ignore[arg-type]
    _say(summary, image, out, quiet, as_json)


def _of_scan(
    scan: "RawScan", denoiser: "Denoiser", estimate_noise: bool, device: str, replicas: int, seed: int, quiet: bool
) -> tuple["SnrImage", "ReplicaResult"]:
    """Replicas of the raw data: receiver noise of the scan's covariance, where something was sampled."""
    import torch

    from clearmr import evaluate, recon

    calibration = recon.calibrate(scan, estimate_noise=estimate_noise, device=device)
    inverse = torch.linalg.inv(calibration.prewhitening.to("cpu", torch.complex128))
    covariance = 2 * inverse @ inverse.mH  # of one imaging sample: W C W^H is unit noise, 2 I
    read = torch.zeros(scan.kspace.shape[-1], dtype=torch.bool)
    read[slice(*scan.readout)] = True
    sampled = scan.sampled[:, None, :, :, None] & read

    def draw(generator: "Generator") -> "Tensor":
        return evaluate.receiver_noise(covariance, tuple(scan.kspace.shape), generator, sampled=sampled)

    def image_of(kspace: "Tensor") -> "SnrImage":
        return recon.apply(dataclasses.replace(scan, kspace=kspace), calibration)

    function = _before_and_after(image_of, denoiser)
    return image_of(scan.kspace), _replicas(function, scan.kspace, draw, replicas, seed, quiet)


def _of_image(image: "SnrImage", denoiser: "Denoiser", replicas: int, seed: int, quiet: bool) -> "ReplicaResult":
    """Replicas of an image: complex noise of `noise_sd`; of a magnitude image the magnitude is taken again."""
    import torch

    from clearmr import evaluate

    def draw(generator: "Generator") -> "Tensor":
        return evaluate.complex_noise(image.noise_sd, tuple(image.image.shape), generator)

    def image_of(noisy: "Tensor") -> "SnrImage":
        return dataclasses.replace(image, image=noisy if image.is_complex else noisy.abs())

    data = image.image.to(torch.complex64)
    return _replicas(_before_and_after(image_of, denoiser), data, draw, replicas, seed, quiet)


def _before_and_after(image_of: "Callable[[Tensor], SnrImage]", denoiser: "Denoiser") -> "Callable[[Tensor], Tensor]":
    """Data to (2, frame, z, y, x): the image, and the denoised one."""
    import torch

    def function(data: "Tensor") -> "Tensor":
        noisy = image_of(data)
        told = dataclasses.replace(noisy, noise_sd=noisy.noise_sd * 2**0.5)
        return torch.stack([noisy.image, denoiser(told).image])

    return function


def _replicas(
    function: "Callable[[Tensor], Tensor]",
    data: "Tensor",
    draw: "Callable[[Generator], Tensor]",
    replicas: int,
    seed: int,
    quiet: bool,
) -> "ReplicaResult":
    from clearmr import evaluate

    with common.progress_bar("replicas", quiet=quiet) as progress:
        return evaluate.pseudo_replica(function, data, draw=draw, replicas=replicas, seed=seed, progress=progress)


def _maps(result: "ReplicaResult") -> dict[str, "Tensor"]:
    """Maps (frame, z, y, x) float32; SNR is 0 where there is no noise and so no image."""
    import torch

    snr = torch.where(result.noise_sd > 0, result.snr, torch.zeros_like(result.snr))
    maps = {"snr": snr, "noise_sd": result.noise_sd, "mean": result.mean.abs()}
    return {f"{name}_{when}": both[k] for name, both in maps.items() for k, when in enumerate(("before", "after"))}


def _summary(maps: dict[str, "Tensor"], image: "SnrImage", denoiser: str, result: "ReplicaResult") -> dict[str, Any]:
    inside = maps["mean_after"] > 2 * image.noise_sd
    inside = inside & (maps["noise_sd_after"] > 0) & (maps["noise_sd_before"] > 0)
    medians = {
        f"{name}_{when}": float(maps[f"{name}_{when}"][inside].median()) if inside.any() else None
        for name in ("snr", "noise_sd")
        for when in ("before", "after")
    }
    return {
        "median_over_object": medians,
        "voxels": int(inside.sum()),
        "replicas": result.replicas,
        "relative_error_of_a_voxel": result.relative_error,
        "denoiser": denoiser,
        "noise_source": image.noise_source,
        "warnings": list(image.meta.get("warnings", [])),
    }


def _say(summary: dict[str, Any], image: "SnrImage", out: Path, quiet: bool, as_json: bool) -> None:
    common.say_warnings(image, quiet=quiet)
    medians = summary["median_over_object"]
    if as_json:
        common.emit({"written": [str(out)], **summary})
    elif medians["snr_before"] is None:
        typer.echo("median SNR: no voxel is above the noise")
    else:
        typer.echo(
            f"median SNR {medians['snr_before']:.2f} before, {medians['snr_after']:.2f} after {summary['denoiser']}"
        )
    common.say(f"{out}: {summary['replicas']} replicas, noise {summary['noise_source']}", quiet=quiet)
