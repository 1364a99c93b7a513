"""`clearmr train`: prepare a corpus, and train a method's network, one subcommand each."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearmr.cli import common, train_inputs, train_noise2average, train_prepare, train_self_noise2noise

if TYPE_CHECKING:
    from clearmr.methods.snraware.config import SnrAwareConfig
    from clearmr.methods.snraware.store import StoredSeries
    from clearmr.scan import SnrImage

    Cases = list[train_inputs.Case[SnrImage | StoredSeries]]

EXAMPLES = {
    "prepare": train_prepare.EXAMPLE,
    "snraware": "clearmr train snraware -d corpus/ -o run/ --preset tiny --set loop.workers=2",
    train_self_noise2noise.NAME: train_self_noise2noise.EXAMPLE,
    train_noise2average.NAME: train_noise2average.EXAMPLE,
}

app = typer.Typer(help="Train networks: on a corpus or images (snraware), or on raw scans (mr-self-noise2noise).")
app.command(name="prepare", epilog=f"Example: [b]{train_prepare.EXAMPLE}[/b]")(train_prepare.run)
app.command(name=train_self_noise2noise.NAME, epilog=f"Example: [b]{train_self_noise2noise.EXAMPLE}[/b]")(
    train_self_noise2noise.run
)
app.command(name=train_noise2average.NAME, epilog=f"Example: [b]{train_noise2average.EXAMPLE}[/b]")(
    train_noise2average.run
)


@app.command(epilog=f"Example: [b]{EXAMPLES['snraware']}[/b]")
def snraware(
    out: train_inputs.Out,
    data: Annotated[
        list[Path] | None, typer.Option("-d", "--data", help="Corpus, image, or folder of images; may be repeated.")
    ] = None,
    validation: train_inputs.Validation = None,
    preset: Annotated[str, typer.Option(help="Name of a set of settings; a wrong one lists all.")] = "tiny",
    scheme: Annotated[
        str, typer.Option(help="proposed, without-g, without-mr-noise or without-recon: the paper's ablations.")
    ] = "proposed",
    settings: train_inputs.Settings = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Begin with the weights of this model (name or file), not at random.")
    ] = None,
    name: train_inputs.Name = "model",
    resume: train_inputs.Resume = False,
    devices: train_inputs.Devices = 1,
    nodes: train_inputs.Nodes = 1,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
) -> None:
    """Train SNRAware on clean high-SNR series with noise made on the fly. Without data: on dead-leaves images alone."""
    train_inputs.check_run(out, resume)
    import torch

    from clearmr.methods.snraware import gmaps
    from clearmr.methods.snraware import method as room
    from clearmr.train import launch

    config = _config(preset, scheme, settings or [])
    used = common.set_up(device, threads)
    quiet = quiet or not launch.first_process()
    cases, checks = _cases(data or [], validation, quiet)
    maps = gmaps.simulated_gmaps(config.data.coil_arrays, torch.Generator().manual_seed(seed))
    out.mkdir(exist_ok=True)
    with common.progress_bar("train", quiet=quiet) as progress, train_inputs.stoppable(quiet=quiet):
        denoiser = room.fit(
            [case.data for case in cases], [case.data for case in checks], config, seed, gmaps=maps, run=out,
            start=start, name=name, resume=resume, device=used, devices=devices, nodes=nodes, progress=progress,
        )  # fmt: skip
    if not launch.first_process():
        return
    card = {
        "name": name,
        "preset": preset,
        "scheme": scheme,
        "from": start,
        "config": dataclasses.asdict(config),
        "validation": train_inputs.described(checks),
        "provenance": common.provenance(seed=seed, device=used, **common.inputs(train_inputs.sources(cases))),
    }
    room.save(denoiser, out / f"{name}.safetensors", common.plain(card))
    common.say(f"{out / f'{name}.safetensors'}", quiet=quiet)


def _config(preset: str, scheme: str, settings: list[str]) -> "SnrAwareConfig":
    from clearmr.methods.snraware import presets, schemes
    from clearmr.train.settings import with_settings

    chosen = schemes.scheme(train_inputs.preset_of(presets.PRESETS, preset), scheme)
    return with_settings(chosen, train_inputs.settings_of(settings))


def _cases(data: list[Path], validation: list[Path] | None, quiet: bool) -> tuple["Cases", "Cases"]:
    """To train on and to validate on: as given, or split by subject."""
    cases = train_inputs.cases_of(data, quiet=quiet)
    if validation is not None:
        return cases, train_inputs.cases_of(validation, quiet=quiet)
    kept, checks = train_inputs.split(cases)
    if checks:
        subjects = ", ".join(sorted({case.subject for case in checks})[:8])
        common.say(f"{len(kept)} series to train on; {len(checks)} to validate on: {subjects}", quiet=quiet)
    elif cases:
        common.say("warning: one subject only: validated on dead-leaves images", quiet=quiet)
    return kept, checks
