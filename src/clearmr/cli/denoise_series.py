"""What `clearmr denoise` does for a method that learns from the series itself: a time to stop by, fields of motion."""

import dataclasses
import math
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearmr.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from clearmr.denoiser import Denoiser, Progress
    from clearmr.scan import SnrImage

NUMBER = r"(\d+(?:\.\d+)?)"
TIME = re.compile(rf"(?:{NUMBER}h)?(?:{NUMBER}m(?:in)?)?(?:{NUMBER}s?)?")


def seconds_of(budget: str | None, option: str = "--budget") -> float | None:
    """Seconds in a text like 2m, 90s, 1h, 1h30m or 90; None stays None. Raises InputError for anything else."""
    if budget is None:
        return None
    parts = TIME.fullmatch(budget.replace(" ", "").lower())
    hours, minutes, rest = (float(part or 0) for part in (parts.groups() if parts else (None,) * 3))
    seconds = 3600 * hours + 60 * minutes + rest
    if not 0 < seconds < math.inf:
        raise InputError(f"{option} as a time of more than 0", budget or "nothing", "write for example 2m, 90s or 1h")
    return seconds


def refuse_fields(fields: Path | None, others: Sequence[Path], *, force: bool) -> None:
    """Before the work: an ending that is none of fields', files that exist or that this command writes already."""
    if fields is None:
        return
    from clearmr.cli import common
    from clearmr.formats import fields as files

    written = files.files_of(fields)
    if twice := {path.resolve() for path in written} & {path.resolve() for path in others}:
        todo = "give --fields a name of its own"
        raise InputError("--fields apart from the other files", f"{sorted(twice)[0].name} for both", todo)
    common.refuse_existing(written, force=force)


def refuse_single_frames(denoiser: "Denoiser", images: Sequence["SnrImage"]) -> None:
    """Raise InputError where a series was given as a file for each frame: several files are taken as repeats."""
    learns = hasattr(denoiser, "budget_s")
    if learns and len(images) > 1 and all(image.image.shape[0] == 1 for image in images):
        found = f"{len(images)} files of a single frame, which are taken as repeats of one subject"
        raise InputError(
            "one file with all frames of a series", found, "join them into one, for example by fslmerge -t"
        )


def telling_budget(progress: "Progress", budget_s: float) -> "Progress":
    """The same progress, which also tells how many seconds of the budget are left from now on."""
    end = time.monotonic() + budget_s

    def step(done: int, total: int, **info: Any) -> None:
        progress(done, total, **info, **{"seconds of the budget left:": round(max(0.0, end - time.monotonic()))})

    return step


def run(denoiser: "Denoiser", image: "SnrImage", *, keep_fields: bool) -> tuple["SnrImage", "Tensor | None"]:
    """The denoised image and, where wanted, the fields. Raises InputError where the method has found none."""
    budget_s = getattr(denoiser, "budget_s", None)
    if budget_s is not None:
        told: Any = denoiser
        denoiser = dataclasses.replace(told, progress=telling_budget(told.progress, budget_s))
    if not keep_fields:
        return denoiser(image), None
    outcome: Any = denoiser.run(image)  # type: ignore[attr-defined]
    if outcome.fields is None:
        found = "nothing to denoise at --strength 0"
        raise InputError(
            "--fields of a series that is denoised", found, "leave --fields out, or give a strength over 0"
        )
    return outcome.image, outcome.fields


def write(
    fields: "Tensor", path: Path, image: "SnrImage", provenance: dict[str, Any], *, force: bool
) -> list[Path]:  # fmt: skip
    """The fields with the numbers of the frames that they come from, and their provenance."""
    from clearmr.formats import fields as files
    from clearmr.methods.deformed2self.draws import others_of

    frames, n = fields.shape[1:3]
    neighbours = [others_of(frame, frames, n) for frame in range(frames)]
    meta = {"steps": image.meta.get("steps", []), "provenance": provenance}
    return files.save(fields, path, neighbours=neighbours, image=image, meta=meta, force=force)
