"""`clearmr snr`: Monte-Carlo SNR maps, before and after a denoiser; SNR and CNR of regions, of one scan or several."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr.cli import common, snr_regions
from clearmr.errors import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from clearmr.denoiser import Denoiser, Progress
    from clearmr.evaluate import ReplicaResult
    from clearmr.scan import RawScan, SnrImage

NAME = "snr"
EXAMPLE = "clearmr snr scan.h5 -o snr.npz --roi blood.nii.gz --roi myocardium.nii.gz"


@dataclasses.dataclass(frozen=True)
class Options:
    """How every input is measured."""

    denoiser: "Denoiser"
    device: str
    replicas: int
    seed: int
    rois: tuple[str, ...]
    noise_scan: Path | None
    estimate_noise: bool
    quiet: bool


@dataclasses.dataclass(frozen=True)
class Measured:
    """One input: its maps (frame, z, y, x) and what is said of it."""

    maps: dict[str, "Tensor"]
    summary: dict[str, Any]


def run(
    sources: Annotated[list[Path], typer.Argument(help="Raw scan, or image of known noise; several: one per subject.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Maps of one input (.npz: snr_before, snr_after, ...); or .json.")
    ],
    replicas: Annotated[int, typer.Option(min=2, help="Replicas; the error of a map falls with their root.")] = 64,
    roi: Annotated[
        list[str] | None,
        typer.Option(help="Mask or labels of a region; may be repeated. {name} in it stands for the input's name."),
    ] = None,
    method: Annotated[str, typer.Option(help="auto or a method's name.")] = "auto",
    model: Annotated[str | None, typer.Option(help="A bundled model's name or a .safetensors file.")] = None,
    refine: Annotated[int | None, typer.Option(min=0, help="As in denoise; 0: quickest.")] = None,
    noise_scan: common.NoiseScan = None,
    estimate_noise: common.EstimateNoise = False,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    threads: common.Threads = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
    as_json: common.AsJson = False,
) -> None:
    """Noise and SNR of every voxel from pseudo-replicas (Robson et al. 2008), before and after denoising.

    Each replica is the data with as much noise added as is in them; the denoiser is told so. The SNR is the mean over
    the replicas over their SD. With --roi also SNR per region and CNR, 2 (S_a - S_b) / (n_a + n_b), per pair of them;
    of several inputs their mean, SD and a paired t-test.
    """
    _check_out(out, len(sources))
    common.refuse_existing([out], force=force)
    from clearmr import road

    used = common.set_up(device, threads)
    denoiser = road.denoiser(method, model=model, refine=refine, device=used)
    options = Options(denoiser, used, replicas, seed, tuple(roi or ()), noise_scan, estimate_noise, quiet)
    found = [_measure(source, options) for source in sources]
    summaries = [one.summary for one in found]
    value = summaries[0] if len(found) == 1 else {"inputs": summaries, "together": snr_regions.together(summaries)}
    origin = common.provenance(seed=seed, device=used, **common.inputs(sources))
    _write(out, {**value, "provenance": origin}, found[0].maps, force)
    _say(value, summaries, out, quiet, as_json)


def _check_out(out: Path, inputs: int) -> None:
    if out.suffix.lower() not in (".npz", ".json"):
        raise InputError("an output ending in .npz or .json", out.name, "choose one of these endings")
    if inputs > 1 and out.suffix.lower() == ".npz":
        raise InputError("an output ending in .json for several inputs", out.name, "write maps (.npz) one by one")


def _measure(source: Path, options: Options) -> Measured:
    """The replicas of one input; its regions are read before the work begins."""
    from clearmr import evaluate, formats, road
    from clearmr.scan import RawScan

    loaded = formats.load(source, noise_scan=options.noise_scan)
    if isinstance(loaded, RawScan):
        image, replicas_of = _of_scan(loaded, options)
    else:
        image, replicas_of = _of_image(road.to_image(source, estimate_noise=options.estimate_noise), options)
    regions = snr_regions.read(options.rois, source, tuple(image.image.shape))
    with common.progress_bar("replicas", quiet=options.quiet) as progress:
        result = replicas_of(progress)
    maps = _maps(result)
    gains = evaluate.region_gains(result, regions)
    summary = {"input": str(source), **_summary(maps, image, options.denoiser.name, result), **snr_regions.plain(gains)}
    common.say_warnings(image, quiet=options.quiet)
    return Measured(maps, summary)


def _of_scan(scan: "RawScan", options: Options) -> tuple["SnrImage", Any]:
    """Replicas of the raw data: receiver noise of the scan's covariance, where something was sampled."""
    import torch

    from clearmr import evaluate, recon

    calibration = recon.calibrate(scan, estimate_noise=options.estimate_noise, device=options.device)
    inverse = torch.linalg.inv(calibration.prewhitening.to("cpu", torch.complex128))
    covariance = 2 * inverse @ inverse.mH  # of one imaging sample: W C W^H is unit noise, 2 I
    read = torch.zeros(scan.kspace.shape[-1], dtype=torch.bool)
    read[slice(*scan.readout)] = True
    sampled = scan.sampled[:, None, :, :, None] & read

    def draw(generator: "Generator") -> "Tensor":
        return evaluate.receiver_noise(covariance, tuple(scan.kspace.shape), generator, sampled=sampled)

    def image_of(kspace: "Tensor") -> "SnrImage":
        return recon.apply(dataclasses.replace(scan, kspace=kspace), calibration)

    def replicas_of(progress: "Progress") -> "ReplicaResult":
        function = evaluate.before_and_after(image_of, options.denoiser)
        return evaluate.pseudo_replica(
            function, scan.kspace, draw=draw, replicas=options.replicas, seed=options.seed, progress=progress
        )

    return image_of(scan.kspace), replicas_of


def _of_image(image: "SnrImage", options: Options) -> tuple["SnrImage", Any]:
    from clearmr import evaluate

    def replicas_of(progress: "Progress") -> "ReplicaResult":
        return evaluate.denoiser_replicas(
            image, options.denoiser, replicas=options.replicas, seed=options.seed, progress=progress
        )

    return image, replicas_of


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


def _write(out: Path, value: dict[str, Any], maps: dict[str, "Tensor"], force: bool) -> None:
    import numpy as np

    from clearmr import files

    if out.suffix.lower() == ".json":
        common.write_json(value, out, force=force)
        return
    with files.whole_file(out, force=force) as temporary, temporary.open("wb") as file:
        arrays = {name: values.numpy() for name, values in maps.items()}
        np.savez_compressed(file, meta=np.array(common.as_json(value)), **arrays)  # type: ignore[arg-type]


def _say(value: dict[str, Any], summaries: list[dict[str, Any]], out: Path, quiet: bool, as_json: bool) -> None:
    if as_json:
        common.emit({"written": [str(out)], **value})
        return
    for summary in summaries:
        _say_one(summary, f"{summary['input']}: " if len(summaries) > 1 else "")
    for line in snr_regions.lines_together(value.get("together", {})):
        typer.echo(line)
    common.say(f"{out}: {summaries[0]['replicas']} replicas, noise {summaries[0]['noise_source']}", quiet=quiet)


def _say_one(summary: dict[str, Any], prefix: str) -> None:
    medians = summary["median_over_object"]
    if medians["snr_before"] is None:
        typer.echo(f"{prefix}median SNR: no voxel is above the noise")
    else:
        before, after = medians["snr_before"], medians["snr_after"]
        typer.echo(f"{prefix}median SNR {before:.2f} before, {after:.2f} after {summary['denoiser']}")
    for line in snr_regions.lines(summary):
        typer.echo(f"{prefix}{line}")
