"""`clearmr train mr-self-noise2noise`: from a folder of raw 3D scans to a denoiser, no clean image needed."""

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr.cli import common, train_inputs, train_pairs
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.methods.mr_self_noise2noise.config import SelfNoise2NoiseConfig
    from clearmr.methods.mr_self_noise2noise.store import StoredPair

    Cases = list[train_inputs.Case[StoredPair]]

NAME = "mr-self-noise2noise"
EXAMPLE = "clearmr train mr-self-noise2noise -d raw/ -o run/ --cache pairs/"
RECORD = "data.json"  # of a run: which pairs it learns from
SNR_SCANS = 8  # that the SNR of the training set is measured on, at the most
FIXED = ("split", "net", "data", "blend")  # settings that a resumed run keeps; those of the loop are in its state


def run(
    data: Annotated[
        list[Path], typer.Option("-d", "--data", help="Raw 3D scan (MRD, twix) or a folder of them; may be repeated.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the run: checkpoints, metrics, pairs, model.")],
    validation: Annotated[
        list[Path] | None, typer.Option(help="The same, of other subjects; if not given, 5 % of the subjects.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Name of a set of settings; a wrong one lists all.")] = "small",
    settings: Annotated[list[str] | None, typer.Option("--set", help="part.name=value; may be repeated.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Begin with the weights of this model, not at random.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps the split scans, to be shared by runs; else RUN/pairs.")
    ] = None,
    noise_scan: Annotated[Path | None, typer.Option(help="Raw file with the noise lines of all scans.")] = None,
    estimate_noise: Annotated[bool, typer.Option("--estimate-noise", help="Estimate the noise from the data.")] = False,
    name: Annotated[str, typer.Option(help="Name of the model.")] = "model",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    devices: Annotated[int, typer.Option(min=1, help="Processes (GPUs) on each machine.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; torchrun and SLURM tell it themselves.")] = 1,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
) -> None:
    """Train MR-self Noise2Noise on routine raw 3D scans: each is split into two images of independent noise.

    Scans are split once and kept; those that cannot be split are named and skipped. Whose a scan is: sub-XX in its
    path, else the folder it lies in below DATA, else its file's name. Two subjects are the least: one is held out.

    With phase kept, for SWI and QSM: [b]clearmr train mr-self-noise2noise -d raw/ -o run/ --set net.image=complex[/b]
    """
    train_inputs.check_run(out, resume)
    if noise_scan is not None and not noise_scan.is_file():
        raise InputError("an existing noise scan", f"no {noise_scan}", "check the name given with --noise-scan")
    from clearmr.methods.mr_self_noise2noise import method as room
    from clearmr.methods.mr_self_noise2noise import model
    from clearmr.train import launch

    config = _config(preset, settings or [])
    model.parameters(config.net)  # what is wrong with the network, or the model to begin with, is said before the work
    if start is not None:
        room.load(start)
    used, first = common.set_up(device, threads), launch.first_process()
    quiet = quiet or not first
    splitting = train_pairs.Splitting(config.split, cache or out / "pairs", noise_scan, estimate_noise, used, quiet)
    cases, checks, skipped = _cases(data, validation, out, splitting, config.net.slices)
    if first:
        _say_snr(cases, config, quiet)
    record = _record(config, cases, checks, skipped)
    with (
        _kept(record, out, resume=resume, first=first),
        common.progress_bar("train", quiet=quiet) as progress,
        train_inputs.stoppable(quiet=quiet),
    ):
        denoiser = room.fit(
            [case.data for case in cases], [case.data for case in checks], config, seed, run=out,
            start=start, name=name, resume=resume, device=used, devices=devices, nodes=nodes, progress=progress,
        )  # fmt: skip
    if not launch.first_process():
        return
    card = {
        "name": name,
        "preset": preset,
        "from": start,
        "config": dataclasses.asdict(config),
        "data": {**train_inputs.described(cases), "skipped": skipped},
        "validation": train_inputs.described(checks),
        "provenance": common.provenance(seed=seed, device=used, **common.inputs(train_inputs.sources(cases))),
    }
    room.save(denoiser, out / f"{name}.safetensors", common.plain(card))
    common.say(f"{out / f'{name}.safetensors'}: {_found(denoiser.card)}", quiet=quiet)


def _config(preset: str, settings: Sequence[str]) -> "SelfNoise2NoiseConfig":
    from clearmr.methods.mr_self_noise2noise.presets import PRESETS
    from clearmr.train.settings import with_settings

    return with_settings(train_inputs.preset_of(PRESETS, preset), train_inputs.settings_of(settings))


def _cases(
    data: Sequence[Path], validation: Sequence[Path] | None, out: Path, splitting: train_pairs.Splitting, slices: int
) -> tuple["Cases", "Cases", dict[str, str]]:
    """To train on and to validate on, as given or split by subject; and what was skipped, with the reasons."""
    quiet = splitting.quiet
    ours = (out.resolve(), splitting.cache.resolve())
    scans = train_pairs.scans_of(data, without=ours, quiet=quiet)
    others = [] if validation is None else train_pairs.scans_of(validation, without=ours, quiet=quiet)
    if validation is None:
        _two_subjects({scan.subject for scan in scans})
    with common.progress_bar("split", quiet=quiet) as progress:
        found = train_pairs.gather(scans, splitting, progress, slices=slices)
        checked = train_pairs.Gathered([])
        if others:
            checked = train_pairs.gather(others, splitting, progress, slices=slices)
    skipped = found.skipped | checked.skipped
    _say_counts(len(scans) + len(others), found, checked, quiet)
    if validation is not None:
        return found.cases, _apart(found.cases, checked.cases, quiet), skipped
    _two_subjects({case.subject for case in found.cases})
    kept, checks = train_inputs.split(found.cases)
    subjects = sorted({case.subject for case in checks})
    more = f" and {len(subjects) - 8} more" if len(subjects) > 8 else ""
    told = f"{len({case.subject for case in kept})} subjects to train on; {len(subjects)} to validate on"
    common.say(f"{told}: {', '.join(subjects[:8])}{more}", quiet=quiet)
    return kept, checks, skipped


def _two_subjects(subjects: set[str]) -> None:
    """Refuse one subject alone: the network would be judged, and alpha be chosen, on noise that it has learned."""
    if len(subjects) < 2:
        todo = "give scans of more, or others with --validation; name subjects by sub-XX or a folder each"
        raise InputError("raw scans of two subjects or more", f"one, {', '.join(subjects)}", todo)


def _say_counts(scans: int, found: train_pairs.Gathered, checked: train_pairs.Gathered, quiet: bool) -> None:
    skipped, reused = len(found.skipped | checked.skipped), found.reused + checked.reused
    cached = f"; {reused} split before" if reused else ""
    line = f"{found.used + checked.used} of {scans} scans used{cached}"
    names = ", ".join(Path(path).name for path in [*found.skipped, *checked.skipped][:4])
    common.say(f"{line}; {skipped} skipped: {names}" if skipped else line, quiet=quiet)


def _apart(cases: "Cases", checks: "Cases", quiet: bool) -> "Cases":
    both = {case.subject for case in cases} & {case.subject for case in checks}
    if both:
        found = ", ".join(sorted(both)[:4])
        common.say(
            f"warning: also trained on: {found}; alpha and the validation PSNR are not to be trusted", quiet=quiet
        )
    return checks


def _say_snr(cases: "Cases", config: "SelfNoise2NoiseConfig", quiet: bool) -> None:
    """The SNR of some of the halves, and a warning where their magnitudes are brighter than the signal."""
    from clearmr.methods.mr_self_noise2noise import rician

    looked = cases[:: max(1, len(cases) // SNR_SCANS)][:SNR_SCANS]
    found = rician.mean_of(rician.rician_bias(case.data.whole()) for case in looked)
    of = f"{len(looked)} of {len(cases)} scans" if len(looked) < len(cases) else f"{len(cases)} scans"
    low = f"{100 * found.low:.0f} % of the object below {rician.LOW_SNR:g}"
    common.say(f"median SNR of the halves {found.snr:.1f} ({of}); {low}", quiet=quiet)
    if config.net.image == "magnitude" and (warning := found.warning()):
        common.say(f"warning: {warning}", quiet=quiet)


def _found(card: Mapping[str, Any]) -> str:
    """What was found on the validation scans, in words."""
    alpha, psnr = card["alpha"], card["alpha_psnr"]
    best = max(psnr)
    return (
        f"alpha {alpha:g}, PSNR {best:.2f} dB on the validation scans, {best - psnr[-1]:+.2f} dB over the noisy image"
    )


def _record(
    config: "SelfNoise2NoiseConfig", cases: "Cases", checks: "Cases", skipped: dict[str, str]
) -> dict[str, Any]:
    """What a run learns from, so that a resumed one can be held to it."""
    parts = {"training": cases, "validation": checks}
    rows = {
        part: [[case.subject, str(case.source), case.data.key, case.data.frame] for case in given]
        for part, given in parts.items()
    }
    settings = {part: dataclasses.asdict(getattr(config, part)) for part in FIXED}
    return common.plain({**rows, "skipped": skipped, "settings": settings})  # type: ignore[no-any-return]


@contextmanager
def _kept(record: dict[str, Any], out: Path, *, resume: bool, first: bool) -> Iterator[None]:
    """A new run's record is written, and taken back where it is refused before a step; a resumed run is held to it."""
    path = out / RECORD
    if not first:
        yield
        return
    if resume and path.is_file():
        _hold_to(json.loads(path.read_text(encoding="utf-8")), record)
        yield
        return
    from clearmr.train import checkpoint

    new = not out.exists()
    out.mkdir(exist_ok=True)
    common.write_json(record, path, force=True)
    try:
        yield
    except InputError:
        if not checkpoint.begun(out):
            shutil.rmtree(out) if new else path.unlink()
        raise


def _hold_to(kept: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise InputError where a resumed run's settings or pairs are not those that it began with."""
    for part in FIXED:
        if kept["settings"].get(part) != now["settings"][part]:
            _refuse_change(*(f"{part} {json.dumps(told['settings'].get(part))}" for told in (kept, now)))
    for part in ("training", "validation"):
        before, after = ({tuple(row[2:]): row[1] for row in given[part]} for given in (kept, now))
        if list(before) != list(after):
            odd = sorted({before.get(key) or after[key] for key in before.keys() ^ after.keys()})
            _refuse_change(
                f"{len(before)} pairs for {part}", f"{len(after)}, {', '.join(odd[:2]) or 'in another order'}"
            )


def _refuse_change(kept: str, now: str) -> None:
    todo = "resume with the run's own scans and settings, or start a new one"
    raise InputError(f"the run's own {kept}", now, todo)
