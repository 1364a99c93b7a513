"""`clearmr recon`: raw k-space to an image in SNR units."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from clearmr.cli import common
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.recon import Calibration
    from clearmr.scan import RawScan, SnrImage

NAME = "recon"
EXAMPLE = "clearmr recon scan.h5 -o image.nii.gz"


def run(
    raw: Annotated[Path, typer.Argument(help="MRD/ISMRMRD (file or stream) or Siemens twix.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Image in SNR units: .npz, .nii.gz or .h5.")],
    noise_scan: common.NoiseScan = None,
    estimate_noise: common.EstimateNoise = False,
    keep_complex: Annotated[
        bool, typer.Option("--complex", help="NIfTI with both parts instead of magnitude.")
    ] = False,
    kspace_filter: Annotated[float, typer.Option(min=0, help="Gaussian s of the k-space filter; 0: none.")] = 0.0,
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
    common.refuse_image(out, force=force)
    from clearmr import recon, road

    clock, used = common.Clock(), common.set_up(device, threads)
    scan = raw_scan(raw, noise_scan)
    config = recon.ReconConfig(coil_maps=coil_maps, kspace_filter=kspace_filter or None)
    with common.progress_bar("reconstruct", quiet=quiet) as progress:
        calibration = recon.calibrate(scan, config=config, estimate_noise=estimate_noise, device=used)
        image = recon.apply(scan, calibration, progress=progress)
    sources = [raw, *([noise_scan] if noise_scan else [])]
    origin = common.provenance(seed=seed, device=used, noise_source=image.noise_source, **common.inputs(sources))
    image = common.with_provenance(image, origin)
    written = road.save(image, out, keep_complex=keep_complex, force=force)
    if all_gmaps:
        written.append(_write_gmaps(calibration, all_gmaps, force=force, quiet=quiet))
    _say(image, written, clock.seconds(), quiet, as_json)


def raw_scan(path: Path, noise_scan: Path | None = None) -> "RawScan":
    """The raw scan in a file. Raises InputError where it holds an image."""
    from clearmr import formats
    from clearmr.scan import RawScan

    loaded = formats.load(path, noise_scan=noise_scan)
    if not isinstance(loaded, RawScan):
        raise InputError("raw k-space (MRD, twix)", f"an image in {path}", "use clearmr denoise for images")
    return loaded


def _write_gmaps(calibration: "Calibration", path: Path, *, force: bool, quiet: bool) -> Path:
    """One array (z, y, x) for each R, named R2 to R8; those that the calibration lines do not support are told."""
    import numpy as np

    from clearmr import files, recon

    maps, absent = recon.gmaps_for(calibration)
    for r, why in absent.items():
        common.say(f"warning: no g map for R = {r}: {why}", quiet=quiet)
    with files.whole_file(path, force=force) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **{f"R{r}": gmap.numpy() for r, gmap in maps.items()})  # type: ignore[arg-type]
    return path


def _say(image: "SnrImage", written: list[Path], seconds: float, quiet: bool, as_json: bool) -> None:
    common.say_warnings(image, quiet=quiet)
    if as_json:
        common.emit(
            {
                "written": [str(path) for path in written],
                "shape": list(image.image.shape),
                "noise_source": image.noise_source,
                "median_gmap": float(image.gmap.median()),
                "warnings": list(image.meta.get("warnings", [])),
                "seconds": seconds,
            }
        )
    shape = common.shape(image.image)
    common.say(f"{written[0]}: {shape} (frame, z, y, x) in SNR units, noise {image.noise_source}, {seconds} s",
               quiet=quiet)  # fmt: skip
    for path in written[1:]:
        common.say(f"{path}", quiet=quiet)
