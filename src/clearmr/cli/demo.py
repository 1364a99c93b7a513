"""`clearmr demo`: the whole road on one scan, ending with a web page."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr.cli import common

if TYPE_CHECKING:
    from clearmr.scan import RawScan, SnrImage

NAME = "demo"
EXAMPLE = "clearmr demo -o demo/"
SCENE: dict[str, Any] = {"matrix": (1, 144, 144), "n_frames": 16, "n_coils": 12, "acceleration": 4, "snr": 24}


def run(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")] = Path("demo"),
    raw: Annotated[Path | None, typer.Option(help="Your own raw scan instead of a simulated one.")] = None,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    threads: common.Threads = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Walk the road: a raw scan (simulated, or yours), an image in SNR units, a denoised image, a report."""
    page = out / "report.html"
    if out.is_dir():
        common.refuse_existing([page], force=force)
    from clearmr import report, road
    from clearmr.cli import denoise, results
    from clearmr.report.figures import panel

    used, clock = common.set_up(device, threads), common.Clock()
    out.mkdir(parents=True, exist_ok=True)
    scan, truth, source = _given(raw) if raw else _simulated(out, seed, force)
    common.say(f"raw scan      {source}: {_shape(scan.kspace)} (frame, coil, k2, k1, k0)", quiet=quiet)
    with common.progress_bar("reconstruct", quiet=quiet) as progress:
        noisy = road.reconstruct(scan, estimate_noise=scan.noise is None, device=used, progress=progress)
    common.say(f"recon         {_shape(noisy.image)} in SNR units, noise {noisy.noise_source}, "
               f"median g {float(noisy.gmap.median()):.2f}", quiet=quiet)  # fmt: skip
    with common.progress_bar("denoise", quiet=quiet) as progress:
        denoiser = road.denoiser(device=used, progress=progress)
        denoised = denoiser(noisy)
    provenance = common.provenance(
        seed=seed, device=used, input=[str(source)], input_sha256=results.input_hash([source])
    )
    reference = results.scaled_to(truth, noisy) if truth is not None else None
    denoised = dataclasses.replace(denoised, meta={**denoised.meta, "provenance": provenance})
    road.save(noisy, out / "noisy.npz", force=force)
    road.save(denoised, out / "denoised.npz", force=force)
    judged = results.write_results(
        out / "results", noisy, denoised, title="The road, walked", model=denoise.model_summary(denoiser),
        provenance=provenance, reference=reference,
    )  # fmt: skip
    common.say(
        f"denoise       {denoiser.name}: removed noise / noise_sd has SD {judged['statistics']['sd']:.2f}", quiet=quiet
    )
    if judged["metrics"]:
        before, after = (judged["metrics"][k]["psnr"] for k in ("noisy", "denoised"))
        common.say(f"against truth PSNR {before:.1f} dB -> {after:.1f} dB", quiet=quiet)
    for warning in judged["warnings"]:
        common.say(f"warning: {warning}", quiet=quiet)
    report.write_report(out / "results", page, force=force)
    panel(report.Results.load(out / "results"), out / "panel.png")
    common.say(f"report        {page} ({clock.seconds()} s in all)", quiet=quiet)


def _shape(tensor: Any) -> str:
    return " x ".join(str(n) for n in tensor.shape)


def _given(raw: Path) -> tuple["RawScan", None, Path]:
    from clearmr import road
    from clearmr.errors import InputError
    from clearmr.scan import RawScan

    scan = road.load(raw)
    if not isinstance(scan, RawScan):
        raise InputError("raw k-space (MRD, twix)", f"an image in {raw}", "use clearmr denoise for images")
    return scan, None, raw


def _simulated(out: Path, seed: int, force: bool) -> tuple["RawScan", "SnrImage", Path]:
    """A cine written as MRD and read back, so that the demo walks the whole road."""
    import torch

    from clearmr import formats, simulate
    from clearmr.scan import SnrImage

    simulated = simulate.simulate("cine", seed=seed, **SCENE)
    path = out / "cine.h5"
    formats.save_raw(simulated.scan, path, force=force)
    scan, _, _ = _given(path)
    one = torch.ones(1, 1, 1, 1)
    return scan, SnrImage(simulated.truth, 0 * one, one, "given"), path
