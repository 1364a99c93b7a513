"""`clearmr train`: train a method's network."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearmr.cli import common
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.scan import SnrImage

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
    _check_run(out, resume)
    import torch

    from clearmr import methods
    from clearmr.methods.snraware import config as presets
    from clearmr.methods.snraware import gmaps
    from clearmr.methods.snraware import method as room

    methods.room(method)
    if preset not in presets.PRESETS:
        raise InputError(f"a preset among {', '.join(presets.PRESETS)}", preset, "choose one of them")
    config = presets.with_settings(presets.PRESETS[preset](), _pairs(settings or []))
    used = common.set_up(device, threads)
    train_files, check_files = (_files(paths or [], quiet) for paths in (data, validation))
    cases, checks = (_images(found) for found in (train_files, check_files))
    maps = gmaps.simulated_gmaps(config.data.coil_arrays, torch.Generator().manual_seed(seed))
    out.mkdir(exist_ok=True)
    with common.progress_bar("train", quiet=quiet) as progress:
        denoiser = room.fit(
            cases, checks, config, seed, gmaps=maps, run=out, name=name, resume=resume, device=used, progress=progress
        )
    card = {
        "name": name,
        "preset": preset,
        "config": dataclasses.asdict(config),
        "validation": [str(path) for path in check_files],
        "provenance": common.provenance(seed=seed, device=used, **common.inputs(train_files)),
    }
    room.save(denoiser, out / f"{name}.safetensors", common.plain(card))
    common.say(f"{out / f'{name}.safetensors'}", quiet=quiet)


def _check_run(out: Path, resume: bool) -> None:
    """A new run needs a new folder (or one without a run), a resumed one the state of a run."""
    begun = (out / "state.json").exists()
    if begun and not resume:
        raise InputError("a new run folder", f"a run in {out}", "pass --resume or choose another folder")
    if resume and not begun:
        raise InputError("a run to resume", f"no {out / 'state.json'}", "start it without --resume")
    if not out.is_dir():
        common.refuse_existing([out], force=False)


def _pairs(settings: list[str]) -> dict[str, str]:
    for text in settings:
        if "=" not in text:
            raise InputError("--set part.name=value", text, "write for example --set loop.steps=1000")
    return dict(text.split("=", 1) for text in settings)


def _files(paths: list[Path], quiet: bool) -> list[Path]:
    """The image files that `paths` name: of a folder all that a format knows, maps beside an image left out."""
    found = []
    for path in paths:
        inside = _of_folder(path, quiet) if path.is_dir() else [path]
        if not inside:
            raise InputError("images to train on", f"none in {path}", "name a folder with NIfTI, .npz or .npy files")
        found += inside
    return found


def _of_folder(folder: Path, quiet: bool) -> list[Path]:
    from clearmr import formats

    found = []
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        is_map = file.name.removesuffix(".gz").removesuffix(".nii").endswith(("_noisesd", "_gmap"))
        if is_map or not any(known.sniff(file) for known in formats.FORMATS):
            common.say(f"left out: {file.name}, which is no image to train on", quiet=quiet)
        else:
            found.append(file)
    return found


def _images(paths: list[Path]) -> list["SnrImage"]:
    from clearmr import formats
    from clearmr.scan import SnrImage

    images = []
    for path in paths:
        loaded = formats.load(path)
        if not isinstance(loaded, SnrImage):
            raise InputError("images to train on", f"raw data in {path}", "reconstruct it first: clearmr recon")
        images.append(loaded)
    return images
