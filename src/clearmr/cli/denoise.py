"""`clearmr denoise`: whatever holds an image or raw k-space, denoised."""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr.cli import common, denoise_repeats, denoise_series
from clearmr.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from clearmr.denoiser import Denoiser
    from clearmr.scan import SnrImage

NAME = "denoise"
EXAMPLE = "clearmr denoise scan.h5 -o clean.nii.gz --report"


def run(
    inputs: Annotated[list[Path], typer.Argument(help="Raw scan or image; several are repeats of one subject.")],
    out: Annotated[Path, typer.Option("-o", "--out", help=".npz, .nii.gz or .h5.")],
    method: Annotated[
        str,
        typer.Option(
            help="auto (the model's own), snraware, mr-self-noise2noise (3D; with --model), deformed2self (a series, "
            "learnt from itself), noise2average (two or more repeats), or a peer: bm4d, bm3d, nlm, asm, mppca; "
            "learning from the image alone, for minutes to hours: dip, self2self, noise2void."
        ),
    ] = "auto",
    model: Annotated[
        str | None,
        typer.Option(
            help="A bundled model's name, a .safetensors file, or a training run's folder. Of deformed2self: joint "
            "(from the shipped network), scratch (from nothing but the series), paper (as published, hours)."
        ),
    ] = None,
    strength: Annotated[float, typer.Option(help="0 to 1: original + strength (denoised - original).")] = 1.0,
    along: Annotated[
        str, typer.Option(help="Neighbours to learn a voxel from: time, depth, volume (all three axes), none or auto.")
    ] = "auto",
    gmap: common.GMap = None,
    noise_sd: common.NoiseSd = None,
    noise_scan: common.NoiseScan = None,
    estimate_noise: common.EstimateNoise = False,
    keep_complex: Annotated[
        bool, typer.Option("--complex", help="NIfTI with both parts instead of magnitude.")
    ] = False,
    memory: Annotated[
        str, typer.Option(help="Most memory that denoising may take, as 4G, 800M or bytes; larger images are tiled.")
    ] = "3G",
    batch: Annotated[int, typer.Option(help="Series or slices that go through the network together.")] = 1,
    precision: Annotated[
        str, typer.Option(help="float32, bf16, or auto: bf16 where it is fast and differs by under 1 % of the noise.")
    ] = "auto",
    budget: Annotated[
        str | None, typer.Option(help="deformed2self: stop by then with the best so far, as 2m, 90s, 1h.")
    ] = None,
    fields: Annotated[
        Path | None, typer.Option(help="deformed2self: write the fields of motion too, .npz or .nii.gz.")
    ] = None,
    refine: Annotated[
        int | None,
        typer.Option(min=0, help="snraware: rounds of the filter after the network, at most; 0: none, quickest."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="noise2average: where the loss counts; else the brain is found.")
    ] = None,
    register: Annotated[
        bool, typer.Option("--register", help="noise2average: repeats are moved onto the first.")
    ] = False,
    rounds: Annotated[int | None, typer.Option(help="noise2average: at the most; it stops when one is worse.")] = None,
    subsets: Annotated[
        int | None, typer.Option(help="noise2average: 2, two sets of volumes from one diffusion series by its tensor.")
    ] = None,
    bvals: Annotated[Path | None, typer.Option(help="b values for --subsets; else IN.bval.")] = None,
    bvecs: Annotated[Path | None, typer.Option(help="Directions for --subsets; else IN.bvec.")] = None,
    keep_repeats: Annotated[
        bool, typer.Option("--keep-repeats", help="noise2average: write each denoised repeat too, as OUT_repeat1 ...")
    ] = False,
    work: Annotated[Path | None, typer.Option(help="noise2average: folder that keeps the state of each round.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="noise2average: go on with the run in --work.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Write OUT_results/ and OUT_report.html too.")] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="All trust checks, as with --report: five more runs on a part.")
    ] = False,
    replicas: Annotated[
        int, typer.Option(help="With --report: a map of what is uncertain, by so many pseudo-replicas (as many runs).")
    ] = 0,
    device: common.Device = "auto",
    threads: common.Threads = 0,
    seed: common.Seed = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
    as_json: common.AsJson = False,
) -> None:
    """Denoise an image of known noise. Raw scans are reconstructed first; images that do not say get an estimate.

    A large volume in little memory: [b]clearmr denoise t1w.nii.gz -o clean.nii.gz --noise-sd 12 --memory 1500M[/b]

    Slices that lie far apart, eight at once, 70 % of the way: [b]clearmr denoise stack.nii.gz -o clean.nii.gz
    --along none --batch 8 --strength 0.7[/b]

    With a model of one's own: [b]clearmr denoise scan.h5 -o clean.npz --model run/[/b]

    With one of MR-self Noise2Noise, slices in all three orientations: [b]clearmr denoise scan3d.h5 -o clean.nii.gz
    --method mr-self-noise2noise --model run/ --along volume[/b]

    A cine, perfusion or DCE series from itself, within five minutes, and its motion: [b]clearmr denoise cine.nii.gz
    -o clean.nii.gz --method deformed2self --budget 5m --fields motion.npz[/b]

    Repeats of one subject, into one volume: [b]clearmr denoise run1.nii.gz run2.nii.gz -o clean.nii.gz --method
    noise2average --mask brain.nii.gz[/b]
    """
    if replicas and (replicas < 2 or not report):
        raise InputError("--replicas of 2 or more, with --report", str(replicas), "add --report, or leave it out")
    asked = denoise_repeats.Asked(mask, register, rounds, subsets, bvals, bvecs, keep_repeats, work, resume)
    kept = denoise_repeats.files_of(out, 2 if subsets else len(inputs)) if keep_repeats else []
    _refuse_existing(out, fields, kept, report=report, force=force)
    budget_s = denoise_series.seconds_of(budget)
    from clearmr import road
    from clearmr.cli import results

    clock, used = common.Clock(), common.set_up(device, threads)
    with common.progress_bar("denoise", quiet=quiet) as progress:
        ready = functools.partial(
            road.denoiser, method, model=model, strength=strength, along=along, memory=memory, batch=batch,
            precision=precision, device=used, seed=seed, budget_s=budget_s, keep_fields=fields is not None,
            refine=refine, progress=progress,
        )  # fmt: skip
        denoise_repeats.check(ready(), inputs, asked)  # a wrong option is said before the work
        images = [
            road.to_image(
                path, noise_scan=noise_scan, estimate_noise=estimate_noise, noise_sd=noise_sd, gmap=gmap, device=used
            )
            for path in inputs
        ]
        denoiser = ready(is_complex=images[0].is_complex)
        done = _denoised(denoiser, images, inputs, asked, keep_fields=fields is not None)
    summary = results.model_summary(denoiser)
    provenance = common.provenance(
        seed=seed, device=used, noise_source=done.noisy.noise_source, model=summary, **common.inputs(inputs)
    )
    done = dataclasses.replace(done, image=common.with_provenance(done.image, provenance))
    judged = results.judge(
        done.noisy, done.image, title=f"{inputs[0].name}, denoised", model=summary, provenance=provenance,
        denoiser=denoiser, again=trust or (report and not results.takes_long(denoiser)), seed=seed,
    )  # fmt: skip
    written = road.save(done.image, out, keep_complex=keep_complex, force=force)
    if keep_repeats:
        written += denoise_repeats.write(done.each, out, provenance, force=force)
    if fields is not None and done.motion is not None:
        written += denoise_series.write(done.motion, fields, done.image, provenance, force=force)
    if report:
        left = results.uncertainty_of(done.noisy, denoiser, replicas=replicas, seed=seed) if replicas else None
        written += _write_report(out, judged, done, force, left)
    _say(written, done.image, judged, clock.seconds(), quiet, as_json)


def _refuse_existing(out: Path, fields: Path | None, kept: Sequence[Path], *, report: bool, force: bool) -> None:
    """Before the work: files that exist, or that would be written twice."""
    results_folder, page = _report_of(out)
    common.refuse_existing([out, *([results_folder, page] if report else [])], force=force)
    denoise_series.refuse_fields(fields, [*common.refuse_image(out, force=force), results_folder, page], force=force)
    for path in kept:
        common.refuse_image(path, force=force)


def _report_of(out: Path) -> tuple[Path, Path]:
    """The folder of results and the page beside an output file."""
    stem = out.name.removesuffix(".gz").rsplit(".", 1)[0]
    return out.with_name(f"{stem}_results"), out.with_name(f"{stem}_report.html")


@dataclass(frozen=True)
class Done:
    """What was denoised, and the result; of a method that makes them the denoised repeats, or a series' motion."""

    noisy: "SnrImage"
    image: "SnrImage"
    each: "tuple[SnrImage, ...]" = ()
    motion: "Tensor | None" = None


def _denoised(
    denoiser: "Denoiser", images: Sequence["SnrImage"], inputs: Sequence[Path], asked: denoise_repeats.Asked, *,
    keep_fields: bool,
) -> Done:  # fmt: skip
    """Repeats by a method that takes them; by any other their average. Raises InputError as the methods do."""
    from clearmr import road

    if denoise_repeats.takes(denoiser):
        return Done(*denoise_repeats.run(denoiser, [road.with_caution(image) for image in images], inputs, asked))
    noisy = road.with_caution(road.average(images))
    denoise_series.refuse_single_frames(denoiser, images)
    noisy = road.fitting(noisy, denoiser)
    image, motion = denoise_series.run(denoiser, noisy, keep_fields=keep_fields)
    return Done(noisy, image, motion=motion)


def _write_report(
    out: Path, judged: dict[str, Any], done: Done, force: bool, uncertainty: "Tensor | None" = None
) -> list[Path]:
    from clearmr import report as report_room
    from clearmr.cli import results

    folder, page = _report_of(out)
    results.write(folder, judged, done.noisy, done.image, uncertainty=uncertainty, force=force)
    return [folder, report_room.write_report(folder, page, force=force)]


def _say(
    written: list[Path], denoised: "SnrImage", judged: dict[str, Any], seconds: float, quiet: bool, as_json: bool
) -> None:
    from clearmr.cli import results

    common.say_warnings(denoised, quiet=quiet)
    done = denoised.meta["steps"][-1]
    if as_json:
        common.emit(
            {
                "written": [str(path) for path in written],
                "shape": list(denoised.image.shape),
                "noise_source": denoised.noise_source,
                "method": judged["method"],
                "removed_sd": judged["statistics"]["sd"],
                "trust": judged["trust"],
                "trust_verdict": judged["trust_verdict"],
                "snr": judged["snr"],
                "warnings": judged["warnings"],
                "seconds": seconds,
                **{key: done[key] for key in ("device", "precision", "tiles", "strength") if key in done},
            }
        )
    sd, noise = judged["statistics"]["sd"], denoised.noise_source
    common.say(
        f"{written[0]}: {common.shape(denoised.image)} (frame, z, y, x), noise {noise}, "
        f"removed {sd:.2f} of its SD, {seconds} s{_how(done)}",
        quiet=quiet,
    )
    for line in [*(str(path) for path in written[1:]), *results.trust_lines(judged)]:
        common.say(line, quiet=quiet)


def _how(done: dict[str, Any]) -> str:
    """What is out of the ordinary in how it was done, and the hardware."""
    parts = [f" on {done['device']}"] if "device" in done else []
    if "precision" in done:
        parts.append(f" in {done['precision']}")
    if done.get("tiles", 1) > 1:
        parts.append(f", {done['tiles']} tiles each" if done.get("series", 1) > 1 else f", {done['tiles']} tiles")
    if done.get("strength", 1) < 1:
        parts.append(f", at strength {done['strength']:g}")
    return "".join(parts)
