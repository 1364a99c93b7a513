"""`clearmr train`: train a method's network."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from clearmr.cli import common

NAME = "train"
EXAMPLE = "clearmr train snraware -d corpus/ -o run/ --preset tiny"


def run(
    method: Annotated[str, typer.Argument(help="snraware.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the run: checkpoints, metrics, model.")],
    data: Annotated[
        list[Path] | None, typer.Option("-d", "--data", help="Image or folder of images; may be repeated.")
    ] = None,
    validation: Annotated[list[Path] | None, typer.Option(help="Images of subjects that are not trained on.")] = None,
    preset: Annotated[str, typer.Option(help="tiny.")] = "tiny",
    settings: Annotated[list[str] | None, typer.Option("--set", help="part.name=value; may be repeated.")] = None,
    name: Annotated[str, typer.Option(help="Name of the model.")] = "model",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
) -> None:
    """Train on clean high-SNR images with noise made on the fly. Without data: on dead-leaves images alone."""
    import torch

    from clearmr import methods
    from clearmr.errors import InputError
    from clearmr.methods.snraware import config as presets
    from clearmr.methods.snraware import gmaps
    from clearmr.methods.snraware import method as room

    methods.room(method)
    if preset not in presets.PRESETS:
        raise InputError(f"a preset among {', '.join(presets.PRESETS)}", preset, "choose one of them")
    config = presets.with_settings(presets.PRESETS[preset](), _pairs(settings or []))
    if (out / "state.json").exists() and not resume:
        raise InputError("a new run folder", f"a run in {out}", "pass --resume or choose another folder")
    used = common.set_up(device, threads)
    cases, checks = (_images(paths or []) for paths in (data, validation))
    out.mkdir(parents=True, exist_ok=True)
    maps = gmaps.simulated_gmaps(config.data.coil_arrays, torch.Generator().manual_seed(seed))
    with common.progress_bar("train", quiet=quiet) as progress:
        denoiser = room.fit(
            cases, checks, config, seed, gmaps=maps, run=out, name=name, resume=resume, device=used, progress=progress
        )
    card = {
        "name": name,
        "preset": preset,
        "config": dataclasses.asdict(config),
        "data": [str(p) for p in data or []],
        "validation": [str(p) for p in validation or []],
        "provenance": common.provenance(seed=seed, device=used),
    }
    room.save(denoiser, out / f"{name}.safetensors", card)
    common.say(f"{out / f'{name}.safetensors'}", quiet=quiet)


def _pairs(settings: list[str]) -> dict[str, str]:
    from clearmr.errors import InputError

    for text in settings:
        if "=" not in text:
            raise InputError("--set part.name=value", text, "write for example --set loop.steps=1000")
    return dict(text.split("=", 1) for text in settings)


def _images(paths: list[Path]):  # type: ignore[no-untyped-def]
    from clearmr import formats
    from clearmr.errors import InputError
    from clearmr.scan import RawScan

    files = [
        f for path in paths for f in (sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path])
    ]
    images = [formats.load(file) for file in files]
    for file, image in zip(files, images, strict=True):
        if isinstance(image, RawScan):
            raise InputError("images to train on", f"raw data in {file}", "reconstruct it first: clearmr recon")
    return images
