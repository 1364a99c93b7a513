"""`clearmr train noise2average`: the network that the published Noise2Average begins at, from clean volumes."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearmr.cli import common, train_inputs

if TYPE_CHECKING:
    from clearmr.scan import SnrImage

NAME = "noise2average"
EXAMPLE = "clearmr train noise2average -d t1w_volumes/ -o run/ --preset small"


def run(
    data: Annotated[
        list[Path], typer.Option("-d", "--data", help="High-SNR volume (4D: a diffusion series) or folder; repeatable.")
    ],
    out: train_inputs.Out,
    validation: train_inputs.Validation = None,
    preset: Annotated[str, typer.Option(help="paper (MU-Net), paper-dwi (ten convolutions), small or tiny.")] = "small",
    settings: train_inputs.Settings = None,
    name: train_inputs.Name = "model",
    resume: train_inputs.Resume = False,
    devices: train_inputs.Devices = 1,
    nodes: train_inputs.Nodes = 1,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
) -> None:
    """Train a residual denoiser on high-SNR volumes with simulated Rician noise, for Noise2Average to begin at.

    The default of [b]clearmr denoise --method noise2average[/b] needs none: it begins at the shipped network.

    For diffusion series of 30 volumes: [b]clearmr train noise2average -d dwi/ -o run/ --preset paper-dwi --set
    net.volumes=30[/b]
    """
    train_inputs.check_run(out, resume)
    from clearmr.methods.noise2average import presets, training
    from clearmr.methods.noise2average.inference import METHOD
    from clearmr.train import checkpoint, launch
    from clearmr.train.settings import with_settings

    trained = {known: presets.PRESETS[known] for known in presets.TRAINED}
    config = with_settings(train_inputs.preset_of(trained, preset), train_inputs.settings_of(settings or []))
    used = common.set_up(device, threads)
    quiet = quiet or not launch.first_process()
    cases, checks = _cases(data, validation, quiet)
    out.mkdir(exist_ok=True)
    with common.progress_bar("train", quiet=quiet) as progress, train_inputs.stoppable(quiet=quiet):
        net = training.fit(
            [case.data for case in cases], [case.data for case in checks], config, seed, run=out, resume=resume,
            device=used, devices=devices, nodes=nodes, progress=progress,
        )  # fmt: skip
    if not launch.first_process():
        return
    card = {
        "name": name,
        "method": METHOD,
        "preset": preset,
        "net": dataclasses.asdict(config.net),
        "config": dataclasses.asdict(config),
        "data": train_inputs.described(cases),
        "validation": train_inputs.described(checks),
        "provenance": common.provenance(seed=seed, device=used, **common.inputs(train_inputs.sources(cases))),
    }
    checkpoint.save_model(net, out / f"{name}.safetensors", common.plain(card))
    common.say(f"{out / f'{name}.safetensors'}", quiet=quiet)


Cases = list["train_inputs.Case[SnrImage]"]


def _cases(data: list[Path], validation: list[Path] | None, quiet: bool) -> tuple[Cases, Cases]:
    """To train on and to validate on: as given, or split by subject."""
    cases = _read(data, quiet)
    if validation is not None:
        return cases, _read(validation, quiet)
    kept, checks = train_inputs.split(cases)
    if not checks:
        common.say("warning: one subject only: validated on what is trained on", quiet=quiet)
    return kept, checks


def _read(paths: list[Path], quiet: bool) -> Cases:
    from clearmr.train.subjects import subject_of

    files = train_inputs.files_of(paths, quiet=quiet)
    return [train_inputs.Case(subject_of(file), file, train_inputs.image_of(file)) for file in files]
