"""`clearmr demo`: the whole road on one scan, ending with a web page."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr.cli import common

if TYPE_CHECKING:
    from clearmr.denoiser import Denoiser
    from clearmr.scan import RawScan, SnrImage

NAME = "demo"
EXAMPLE = "clearmr demo -o demo/"
SCENE: dict[str, Any] = {"matrix": (1, 144, 144), "n_frames": 16, "n_coils": 12, "acceleration": 3, "snr": 16.0}
WRITES = ("cine.h5", "noisy.npz", "denoised.npz", "results", "panel.png", "report.html")


def run(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")] = Path("demo"),
    raw: Annotated[Path | None, typer.Option(help="Your own raw scan instead of a simulated one.")] = None,
    model: Annotated[str | None, typer.Option(help="A bundled model's name or a .safetensors file.")] = None,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    threads: common.Threads = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Walk the road: a raw scan (simulated, or yours), an image in SNR units, a denoised image, a report."""
    if out.is_dir():
        common.refuse_existing([out / name for name in WRITES[bool(raw) :]], force=force)
    else:
        common.refuse_existing([out], force=False)
    from clearmr import road
    from clearmr.cli import results
    from clearmr.cli.recon import raw_scan

    used, clock = common.set_up(device, threads), common.Clock()
    denoiser = road.denoiser(model=model, device=used)
    scan, silent, source = (raw_scan(raw), None, raw) if raw else _simulated(out, seed, force)
    noisy, denoised, reference = _walk(scan, silent, denoiser, used, quiet)
    common.say(f"raw scan      {source}: {common.shape(scan.kspace)} (frame, coil, k2, k1, k0)", quiet=quiet)
    common.say(f"recon         {common.shape(noisy.image)} in SNR units, noise {noisy.noise_source}, "
               f"median g {float(noisy.gmap.median()):.2f}", quiet=quiet)  # fmt: skip
    summary = results.model_summary(denoiser)
    provenance = common.provenance(
        seed=seed, device=used, noise_source=noisy.noise_source, model=summary, **common.inputs([source])
    )
    noisy, denoised = (common.with_provenance(image, provenance) for image in (noisy, denoised))
    judged = results.judge(
        noisy, denoised, title=f"{source.name}: the road, walked", model=summary, provenance=provenance,
        reference=reference, denoiser=denoiser, again=not raw, seed=seed,
    )  # fmt: skip
    page = _write(out, judged, noisy, denoised, reference, force)
    _say(judged, denoiser, denoised, quiet)
    common.say(f"report        {page} ({clock.seconds()} s in all)", quiet=quiet)


def _simulated(out: Path, seed: int, force: bool) -> tuple["RawScan", "RawScan", Path]:
    """A cine written as MRD and read back, so that the demo walks the whole road; and the same without noise."""
    from clearmr import formats, simulate
    from clearmr.cli.recon import raw_scan

    silent = simulate.simulate("cine", seed=seed, **{**SCENE, "snr": None, "noise_sd": 0.0}).scan
    noisy = simulate.simulate("cine", seed=seed, **SCENE).scan
    out.mkdir(exist_ok=True)
    path = formats.save_raw(noisy, out / WRITES[0], force=force)
    return raw_scan(path), silent, path


def _walk(
    scan: "RawScan", silent: "RawScan | None", denoiser: "Denoiser", device: str, quiet: bool
) -> tuple["SnrImage", "SnrImage", "SnrImage | None"]:
    """Noisy and denoised image, and the signal in the noisy one: the noise-free scan through the same calibration.

    Noise that the file does not tell is estimated, which the image's warnings say.
    """
    from clearmr import recon

    unknown = scan.noise is None or scan.noise.dwell_us <= 0 or scan.dwell_us <= 0
    with common.progress_bar("reconstruct", quiet=quiet) as progress:
        calibration = recon.calibrate(scan, estimate_noise=unknown, device=device)
        noisy = recon.apply(scan, calibration, progress=progress)
    with common.progress_bar("denoise", quiet=quiet) as progress:
        denoised = dataclasses.replace(denoiser, progress=progress)(noisy)  # type: ignore[type-var]
    if silent is None:
        return noisy, denoised, None
    return noisy, denoised, recon.apply(dataclasses.replace(scan, kspace=silent.kspace), calibration)


def _write(
    out: Path,
    judged: dict[str, Any],
    noisy: "SnrImage",
    denoised: "SnrImage",
    reference: "SnrImage | None",
    force: bool,
) -> Path:
    from clearmr import report, road
    from clearmr.cli import results
    from clearmr.report.figures import panel

    out.mkdir(exist_ok=True)
    noisy_path, denoised_path, folder, picture, page = (out / name for name in WRITES[1:])
    road.save(noisy, noisy_path, force=force)
    road.save(denoised, denoised_path, force=force)
    results.write(folder, judged, noisy, denoised, reference=reference, force=force)
    panel(report.Results.load(folder), picture, force=force)
    return report.write_report(folder, page, force=force)


def _say(judged: dict[str, Any], denoiser: "Denoiser", denoised: "SnrImage", quiet: bool) -> None:
    sd, snr = judged["statistics"]["sd"], judged["snr"]
    common.say(f"denoise       {denoiser.name}: removed noise / noise_sd has SD {sd:.2f}", quiet=quiet)
    if snr["before"] and snr["after"]:
        common.say(f"SNR           {snr['before']:.1f} -> {snr['after']:.1f} (median of the object)", quiet=quiet)
    if judged["metrics"]:
        before, after = (judged["metrics"][k]["psnr"] for k in ("noisy", "denoised"))
        common.say(f"signal known  PSNR {before:.1f} dB -> {after:.1f} dB", quiet=quiet)
    common.say_warnings(denoised, quiet=quiet)
