"""`clearmr train prepare`: raw scans and clean images to a corpus of series in SNR units."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr import files
from clearmr.cli import common, train_inputs
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.methods.snraware.store import Entry

EXAMPLE = "clearmr train prepare scans/ -o corpus/"


def run(
    inputs: Annotated[list[Path], typer.Argument(help="Raw scans, clean images, or folders of them.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the corpus.")],
    noise_scan: Annotated[Path | None, typer.Option(help="Raw file with the noise lines of all raw scans.")] = None,
    estimate_noise: common.EstimateNoise = False,
    noise_sd: Annotated[float | None, typer.Option(help="Noise SD of each of real and imaginary of images.")] = None,
    subject: Annotated[str | None, typer.Option(help="Whose they all are; else by sub-XX or the file's name.")] = None,
    device: common.Device = "auto",
    threads: common.Threads = 0,
    seed: common.Seed = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Turn raw scans and clean images into a corpus: HDF5 series in SNR units with g maps for R = 2..8.

    Magnitude images get a simulated smooth phase, images the g maps of a simulated coil array; noise that an image
    does not tell is estimated from it.
    """
    common.refuse_existing([out], force=force)
    from clearmr.methods.snraware import store

    if out.exists() and not store.is_corpus(out):
        raise InputError("a corpus to replace with --force", f"{out}, which is none", "choose another name")
    used = common.set_up(device, threads)
    if noise_sd is not None and not 0 < noise_sd < float("inf"):
        raise InputError("--noise-sd as a positive number", str(noise_sd), "give the SD of each of real and imaginary")
    paths = train_inputs.files_of(inputs, quiet=quiet, what="raw scans or clean images")
    options = {"noise_scan": noise_scan, "estimate_noise": estimate_noise, "noise_sd": noise_sd, "device": used}
    whole = common.provenance(seed=seed, device=used, input=[str(path) for path in paths])
    index = []
    with common.progress_bar("prepare", quiet=quiet) as progress, files.whole_folder(out, force=force) as folder:
        for number, path in enumerate(paths):
            entry, origin = _entry(path, subject, seed, quiet, options)
            name = f"{number:04d}_{path.name.split('.')[0]}.h5"
            index.append(store.write_series(entry, folder / name, provenance=origin))
            progress(number + 1, len(paths))
        store.write_index(folder, index, provenance=whole)
    subjects = len({line["subject"] for line in index})
    common.say(f"{out}: {len(index)} series of {subjects} subjects", quiet=quiet)


def _entry(
    path: Path, subject: str | None, seed: int, quiet: bool, options: dict[str, Any]
) -> tuple["Entry", dict[str, Any]]:
    """The series of one file and its provenance. Raises InputError that names the file."""
    from clearmr.train.subjects import subject_of

    try:
        origin = common.provenance(seed=seed, device=options["device"], **common.inputs([path]))
        number = int(origin["input_sha256"][:8], 16)  # the same file gets the same phase and coils in any corpus
        return _made(path, subject or subject_of(path), (seed, number), quiet, **options), origin
    except InputError as error:
        line = str(error) if path.name in str(error) else f"{path.name}: {error}"
        raise InputError("files that all can be prepared", line, "leave it out or repair it") from error


def _made(
    path: Path,
    subject: str,
    seeds: tuple[int, int],
    quiet: bool,
    *,
    noise_scan: Path | None,
    estimate_noise: bool,
    noise_sd: float | None,
    device: str,
) -> "Entry":
    import torch

    from clearmr import formats, road
    from clearmr.methods.snraware import prepare
    from clearmr.scan import RawScan
    from clearmr.train.stream import seed_of

    loaded = formats.load(path)
    if isinstance(loaded, RawScan):
        scan = loaded if noise_scan is None else formats.load(path, noise_scan=noise_scan)
        entry, absent = prepare.from_scan(scan, subject=subject, estimate_noise=estimate_noise, device=device)  # type: ignore[arg-type]
        for why in dict.fromkeys(absent.values()):
            left_out = ", ".join(str(r) for r in absent if absent[r] == why)
            common.say(f"warning: {path.name}: no g map for R = {left_out}: {why}", quiet=quiet)
        return entry
    if noise_sd is not None:
        image = road.with_given_noise(loaded, noise_sd * loaded.gmap, source=str(noise_sd))
    elif estimate_noise or loaded.noise_source == "unknown":
        image = road.with_estimated_noise(loaded)
    else:
        image = loaded
    generator = torch.Generator().manual_seed(seed_of(*seeds))
    return prepare.from_image(image, subject=subject, generator=generator)
