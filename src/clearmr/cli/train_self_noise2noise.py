"""`clearmr train mr-self-noise2noise`: from a folder of raw 3D scans to a denoiser, no clean image needed."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr.cli import common, train_inputs, train_pairs, train_record
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.methods.mr_self_noise2noise.config import SelfNoise2NoiseConfig

    Cases = list[train_record.PairCase]

NAME = "mr-self-noise2noise"
EXAMPLE = "clearmr train mr-self-noise2noise -d raw/ -o run/ --cache pairs/"


def run(
    data: Annotated[
        list[Path], typer.Option("-d", "--data", help="Raw 3D scan (MRD, twix) or a folder of them; may be repeated.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the run: checkpoints, metrics, pairs, model.")],
    validation: train_inputs.Validation = None,
    preset: Annotated[str, typer.Option(help="Name of a set of settings; a wrong one lists all.")] = "small",
    settings: train_inputs.Settings = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Begin with the weights of this model, not at random.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps the split scans, to be shared by runs; else RUN/pairs.")
    ] = None,
    noise_scan: Annotated[Path | None, typer.Option(help="Raw file with the noise lines of all scans.")] = None,
    estimate_noise: common.EstimateNoise = False,
    name: train_inputs.Name = "model",
    resume: train_inputs.Resume = False,
    devices: train_inputs.Devices = 1,
    nodes: train_inputs.Nodes = 1,
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
    from clearmr.methods.mr_self_noise2noise import method as room
    from clearmr.train import launch

    config = _config(preset, settings or [], start)
    train_record.hold_to_settings(out, config, resume=resume)
    used, first = common.set_up(device, threads), launch.first_process()
    quiet = quiet or not first
    splitting = train_pairs.Splitting(config.split, cache or out / "pairs", noise_scan, estimate_noise, used, quiet)
    splitting.check()
    learned = _learned(data, validation, out, splitting, config.net.slices)
    if first:
        _say_snr(learned.cases, config, quiet)
    kept = train_record.kept(learned, config, out, resume=resume) if first else contextlib.nullcontext()
    bar = common.progress_bar("train", quiet=quiet)
    with kept, bar as progress, train_inputs.stoppable(quiet=quiet):
        denoiser = room.fit(
            [case.data for case in learned.cases], [case.data for case in learned.checks], config, seed, run=out,
            start=start, name=name, resume=resume, device=used, devices=devices, nodes=nodes, progress=progress,
        )  # fmt: skip
    if launch.first_process():
        origin = common.provenance(seed=seed, device=used)
        card = {"name": name, "preset": preset, "from": start, **train_record.card_of(learned, config, origin)}
        room.save(denoiser, out / f"{name}.safetensors", common.plain(card))
        common.say(f"{out / f'{name}.safetensors'}: {_found(denoiser.card)}", quiet=quiet)


def _config(preset: str, settings: Sequence[str], start: str | None) -> "SelfNoise2NoiseConfig":
    """The settings; what is wrong with the network, or the model to begin with, is said before the work."""
    from clearmr.methods.mr_self_noise2noise import method as room
    from clearmr.methods.mr_self_noise2noise import model
    from clearmr.methods.mr_self_noise2noise.presets import PRESETS
    from clearmr.train.settings import with_settings

    config = with_settings(train_inputs.preset_of(PRESETS, preset), train_inputs.settings_of(settings))
    model.parameters(config.net)
    if start is not None:
        room.load(start)
    return config


def _learned(
    data: Sequence[Path], validation: Sequence[Path] | None, out: Path, splitting: train_pairs.Splitting, slices: int
) -> train_record.Learned:
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
        return train_record.Learned(found.cases, _apart(found.cases, checked.cases, quiet), skipped)
    _two_subjects({case.subject for case in found.cases})
    kept, checks = train_inputs.split(found.cases)
    subjects = sorted({case.subject for case in checks})
    more = f" and {len(subjects) - 8} more" if len(subjects) > 8 else ""
    told = f"{len({case.subject for case in kept})} subjects to train on; {len(subjects)} to validate on"
    common.say(f"{told}: {', '.join(subjects[:8])}{more}", quiet=quiet)
    return train_record.Learned(kept, checks, skipped)


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

    looked = rician.some(cases)
    found = rician.mean_of(rician.rician_bias(case.data.whole()) for case in looked)
    of = f"{len(looked)} of {len(cases)} scans" if len(looked) < len(cases) else f"{len(cases)} scans"
    low = f"{100 * found.low:.0f} % of the object below {rician.LOW_SNR:g}"
    common.say(f"median SNR of the halves {found.snr:.1f} ({of}); {low}", quiet=quiet)
    if config.net.image == "magnitude" and (warning := found.warning()):
        common.say(f"warning: {warning}", quiet=quiet)


def _found(card: Mapping[str, Any]) -> str:
    """What was found on the validation scans, in words."""
    psnr, noisy = card["alpha_psnr"], "first halves" if card["alpha_image"] == "halves" else "original images"
    return (
        f"alpha {card['alpha']:g}; validation PSNR against the second halves {max(psnr):.2f} dB, "
        f"{max(psnr) - psnr[-1]:+.2f} dB over the noisy {noisy}"
    )
