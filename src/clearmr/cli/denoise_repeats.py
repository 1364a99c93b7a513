"""What `clearmr denoise` does for a method that takes repeats of one subject: masks, registration, rounds, sets."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearmr.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from clearmr.denoiser import Denoiser
    from clearmr.scan import SnrImage


@dataclass(frozen=True)
class Asked:
    """Options of the command line that are for repeats."""

    mask: Path | None = None
    register: bool = False
    rounds: int | None = None
    subsets: int | None = None
    bvals: Path | None = None
    bvecs: Path | None = None
    keep: bool = False
    work: Path | None = None
    resume: bool = False

    def options(self) -> list[str]:
        """Those that were given, as they are typed."""
        named = {"keep": "keep-repeats"}
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return [f"--{named.get(name, name)}" for name, value in values.items() if value not in (None, False)]


def takes(denoiser: "Denoiser") -> bool:
    """Whether a denoiser is one of repeats."""
    return hasattr(denoiser, "of_repeats")


def check(denoiser: "Denoiser", inputs: Sequence[Path], asked: Asked) -> None:
    """Before the work: raises InputError for options of repeats with another method, one repeat alone, odd subsets."""
    if not takes(denoiser):
        if asked.options():
            found = f"the model {denoiser.name}, which takes none"
            raise InputError(
                f"--method noise2average with {', '.join(asked.options())}", found, "leave it out, or name that method"
            )
        return
    if asked.subsets not in (None, 2):
        raise InputError("--subsets 2", str(asked.subsets), "one acquisition makes two sets")
    if asked.subsets and len(inputs) > 1:
        raise InputError("one diffusion acquisition with --subsets 2", f"{len(inputs)} inputs", "give one of them")
    if asked.subsets and asked.register:
        raise InputError("--subsets 2 or --register", "both", "two sets of one acquisition lie on one another")
    if not asked.subsets and (asked.bvals or asked.bvecs):
        raise InputError("--subsets 2 with --bvals and --bvecs", "them alone", "repeats need no directions")
    if not asked.subsets and len(inputs) < 2:
        todo = "give the other repeats too; of one diffusion series pass --subsets 2"
        raise InputError("at least 2 repeats of one subject", f"{len(inputs)} input", todo)
    if asked.work is not None and asked.work.is_file():
        raise InputError("--work as a folder", f"the file {asked.work}", "name another")
    if asked.resume and asked.work is None:
        raise InputError("--work FOLDER with --resume", "no folder", "name the folder of the run to go on with")


def files_of(out: Path, n: int) -> list[Path]:
    """Where the denoised repeats go: OUT_repeat1, OUT_repeat2 ... with OUT's ending."""
    ending = next((e for e in (".nii.gz", ".nii", ".npz", ".h5") if out.name.lower().endswith(e)), out.suffix)
    stem = out.name[: len(out.name) - len(ending)]
    return [out.with_name(f"{stem}_repeat{k}{out.name[len(stem) :]}") for k in range(1, n + 1)]


def run(
    denoiser: "Denoiser", images: Sequence["SnrImage"], inputs: Sequence[Path], asked: Asked
) -> tuple["SnrImage", "SnrImage", tuple["SnrImage", ...]]:
    """The noisy average, the denoised one, and the repeats denoised. Raises InputError as `of_repeats` does."""
    told: Any = denoiser
    mask = None if asked.mask is None else _mask(asked.mask)
    if asked.subsets:
        images = _sets(images[0], inputs[0], asked, mask, seed=told.seed)
    told = dataclasses.replace(
        told, rounds=asked.rounds, register=asked.register, still=bool(asked.subsets), work=asked.work,
        resume=asked.resume,
    )  # fmt: skip
    outcome = told.of_repeats(images, mask=mask)
    return outcome.noisy, outcome.average, outcome.each


def write(each: Sequence["SnrImage"], out: Path, provenance: dict[str, Any], *, force: bool) -> list[Path]:
    """Every denoised repeat in a file of its own; their paths."""
    from clearmr import road
    from clearmr.cli import common

    written = []
    for path, image in zip(files_of(out, len(each)), each, strict=True):
        written += road.save(common.with_provenance(image, provenance), path, force=force)
    return written


def _sets(image: "SnrImage", path: Path, asked: Asked, mask: "Tensor | None", *, seed: int) -> list["SnrImage"]:
    from clearmr.formats import gradients
    from clearmr.methods.noise2average import subsets

    found = gradients.read(path, bvals=asked.bvals, bvecs=asked.bvecs, volumes=image.image.shape[0])
    return list(subsets.sets_of(image, found.bvals, found.bvecs, mask=mask, seed=seed))


def _mask(path: Path) -> "Tensor":
    """The mask in an image file, (z, y, x). Raises InputError where it is none."""
    from clearmr import formats
    from clearmr.scan import SnrImage

    loaded = formats.load(path)
    if not isinstance(loaded, SnrImage) or loaded.image.shape[0] != 1:
        raise InputError("a mask as an image of one volume", f"another in {path}", "give a NIfTI, npy or npz file")
    return loaded.image[0].abs()
