"""`clearmr recon`: raw k-space to an image in SNR units."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import typer

from clearmr.cli import common

NAME = "recon"
EXAMPLE = "clearmr recon scan.h5 -o image.nii.gz"


def run(
    raw: Annotated[Path, typer.Argument(help="MRD/ISMRMRD (file or stream) or Siemens twix.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Image in SNR units: .npz, .nii.gz or .h5.")],
    noise_scan: Annotated[Path | None, typer.Option(help="Raw file with the noise lines.")] = None,
    estimate_noise: Annotated[bool, typer.Option("--estimate-noise", help="Estimate the noise from the data.")] = False,
    keep_complex: Annotated[
        bool, typer.Option("--complex", help="NIfTI with both parts instead of magnitude.")
    ] = False,
    kspace_filter: Annotated[float, typer.Option(help="Gaussian s of the k-space filter; 0: none.")] = 0.0,
    coil_maps: Annotated[Literal["inati", "walsh"], typer.Option(help="How coil maps are estimated.")] = "inati",
    all_gmaps: Annotated[Path | None, typer.Option(help="Write g maps for R = 2..8 to this .npz.")] = None,
    device: common.Device = "auto",
    threads: common.Threads = 0,
    seed: common.Seed = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
    as_json: common.AsJson = False,
) -> None:
    """Reconstruct raw multi-coil k-space in SNR units, with gmap and noise_sd beside the image."""
    common.refuse_existing([out, *([all_gmaps] if all_gmaps else [])], force=force)
    from clearmr import recon, road

    clock, used = common.Clock(), common.set_up(device, threads)
    loaded = road.load(raw, noise_scan=noise_scan)
    scan = _raw_only(loaded, raw)
    config = recon.ReconConfig(coil_maps=coil_maps, kspace_filter=kspace_filter or None)
    with common.progress_bar("reconstruct", quiet=quiet) as progress:
        calibration = recon.calibrate(scan, config=config, estimate_noise=estimate_noise, device=used)
        image = recon.apply(scan, calibration, progress=progress)
    image = dataclasses.replace(image, meta={**image.meta, "provenance": common.provenance(seed=seed, device=used)})
    written = road.save(image, out, keep_complex=keep_complex, force=force)
    if all_gmaps:
        written += [_write_gmaps(calibration, all_gmaps, force)]
    _report(image, written, clock.seconds(), quiet, as_json)


def _raw_only(loaded: object, path: Path):  # type: ignore[no-untyped-def]
    from clearmr.errors import InputError
    from clearmr.scan import RawScan

    if not isinstance(loaded, RawScan):
        raise InputError("raw k-space (MRD, twix)", f"an image in {path}", "use clearmr denoise for images")
    return loaded


def _write_gmaps(calibration, path: Path, force: bool) -> Path:  # type: ignore[no-untyped-def]
    import numpy as np

    from clearmr.files import whole_file

    maps = calibration.gmaps(range(2, 9))
    with whole_file(path, force=force) as temporary:
        np.savez_compressed(temporary, **{f"R{r}": gmap.cpu().numpy() for r, gmap in maps.items()})
    return path


def _report(image, written: list[Path], seconds: float, quiet: bool, as_json: bool) -> None:  # type: ignore[no-untyped-def]
    summary = {
        "image": [str(p) for p in written],
        "shape": list(image.image.shape),
        "noise_source": image.noise_source,
        "median_gmap": float(image.gmap.median()),
        "warnings": list(image.meta.get("warnings", [])),
        "seconds": seconds,
    }
    if as_json:
        common.emit(summary)
        return
    for warning in summary["warnings"]:
        common.say(f"warning: {warning}", quiet=quiet)
    shape = " x ".join(str(n) for n in image.image.shape)
    common.say(
        f"{written[0]}: {shape} (frame, z, y, x) in SNR units, noise {image.noise_source}, {seconds} s", quiet=quiet
    )
