"""`clearmr train`: prepare a corpus, and train a method's network, one subcommand each."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr.cli import common, train_inputs, train_noise2average, train_prepare, train_self_noise2noise
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.methods.snraware.config import SnrAwareConfig
    from clearmr.methods.snraware.inference import SnrAware
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
    after: Annotated[
        str | None,
        typer.Option(
            help="Train a second network, which mends what the filter leaves after this model, or go on with the "
            "one it has; with a preset of that kind, such as small-second."
        ),
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
    first = _first(config, after, start, used)
    quiet = quiet or not launch.first_process()
    cases, checks = _cases(data or [], validation, quiet)
    maps = gmaps.simulated_gmaps(config.data.coil_arrays, torch.Generator().manual_seed(seed))
    out.mkdir(exist_ok=True)
    where: dict[str, Any] = {"resume": resume, "device": used, "devices": devices, "nodes": nodes}
    learnt = {
        "preset": preset,
        "scheme": scheme,
        "validation": train_inputs.described(checks),
        "config": dataclasses.asdict(config),
        "provenance": common.provenance(seed=seed, device=used, **common.inputs(train_inputs.sources(cases))),
    }
    with common.progress_bar("train", quiet=quiet) as progress, train_inputs.stoppable(quiet=quiet):
        given, held_out = ([case.data for case in each] for each in (cases, checks))
        where |= {"gmaps": maps, "run": out, "progress": progress}
        if first is not None:
            denoiser = room.fit_second(first, given, held_out, config, seed, **where)
            card: dict[str, Any] = {"name": name, "second": {"after": after, **learnt}}
        else:
            denoiser = room.fit(given, held_out, config, seed, start=start, name=name, **where)
            card = {"name": name, "from": start, **learnt}
    if not launch.first_process():
        return
    room.save(denoiser, out / f"{name}.safetensors", common.plain(card))
    common.say(f"{out / f'{name}.safetensors'}", quiet=quiet)


def _first(config: "SnrAwareConfig", after: str | None, start: str | None, device: str) -> "SnrAware | None":
    """The model after which a second network is trained; None: a first is. Raises InputError where they do not fit."""
    from clearmr.methods.snraware import method

    if after is None and config.net.pilots:
        raise InputError("--after MODEL with settings of a second network", "none", "name the model that it follows")
    if after is None:
        return None
    if start is not None:
        raise InputError("--after or --from", "both", "leave --from out: --after tells the start too")
    first = method.load(after, device=device)
    method.refuse_apart(first, config)
    return first


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
