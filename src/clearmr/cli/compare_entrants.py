"""Who enters a comparison: methods of ours, peers, images that other tools made; and why one is left out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearmr.errors import InputError

NOISY, REFERENCE = "noisy", "reference"  # the row of the input itself, the picture of the reference


@dataclass(frozen=True)
class Entrant:
    """One row to be. `method` with its model, or an `image` made by another tool; `budget_s` where it takes one."""

    name: str
    method: str = ""
    model: str | None = None
    budget_s: float | None = None
    image: Path | None = None

    @property
    def stem(self) -> str:
        """For names of files."""
        return re.sub(r"[^\w.+-]+", "-", self.name)

    def asked(self) -> dict[str, Any]:
        """What its result depends on beside the input; a result of the same is not made again."""
        if self.image is not None:
            from clearmr.cli import common

            return common.inputs([self.image])
        return {"method": self.method, "model": self.model, "budget_s": self.budget_s}


def of_methods(names: Sequence[str], also: Sequence[str], *, budget_s: float) -> tuple[list[Entrant], dict[str, str]]:
    """Entrants for `names` (none: all that need no hours; "all": those too) and `also`, each NAME or NAME=MODEL.

    And why those were left out that nobody named. Raises InputError for an unknown or repeated one.
    """
    from clearmr import baselines, methods

    known = [*map(methods.dashed, methods.METHODS), *baselines.BASELINES]
    every = not names or list(names) == ["all"]
    given = [] if every else [_split(text) for text in names]
    more = [_split(text) for text in also]
    for name, _ in [*given, *more]:
        if name not in known:
            raise InputError(f"--method all, or among {', '.join(known)}", name, "choose one of them")
    listed, left = given, {}
    if every:
        named = {name for name, _ in more}
        listed = [(name, None) for name in known if name not in named]
        if not names:
            left = {name: reason for name, _ in listed if (reason := _long(name))}
        listed = [one for one in listed if one[0] not in left]
    entrants = [_entrant(name, model, budget_s) for name, model in [*listed, *more]]
    return _single(entrants), left


def of_images(texts: Sequence[str]) -> list[Entrant]:
    """Entrants for NAME=FILE. Raises InputError for a text without a name, or a file that is not there."""
    found = []
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not path:
            raise InputError("--image as NAME=FILE", text, "write for example --image fsl=fsl.nii.gz")
        if not Path(path).exists():
            raise InputError(f"an existing file for --image {name}", f"no {path}", "check the name")
        found.append(Entrant(name, image=Path(path)))
    return found


def together(methods: Sequence[Entrant], images: Sequence[Entrant]) -> list[Entrant]:
    """All of them. Raises InputError where two have one name, or one that the table itself uses."""
    return _single([*methods, *images])


def absent(entrant: Entrant) -> str:
    """The package that it needs and that is not installed, in words; empty where nothing is missing."""
    from clearmr import baselines

    if entrant.method not in baselines.BASELINES:
        return ""
    room = baselines.room(entrant.method)
    reason = baselines.absent(room.PACKAGE)
    return f'{reason}: pip install "clearmr[baselines]"' if reason else ""


def _long(name: str) -> str:
    from clearmr import baselines

    if name in baselines.BASELINES and baselines.room(name).LEARNS:
        return f"it learns for minutes to hours: name it with --also {name}"
    return ""


def _split(text: str) -> tuple[str, str | None]:
    name, _, model = text.partition("=")
    return name.replace("_", "-"), model or None


def _entrant(name: str, model: str | None, budget_s: float) -> Entrant:
    shown = name if model is None else f"{name} {Path(model).name.removesuffix('.safetensors')}"
    return Entrant(shown, name, model, budget_s if name == "deformed2self" else None)


def _single(entrants: Sequence[Entrant]) -> list[Entrant]:
    seen = {NOISY, REFERENCE}
    for entrant in entrants:
        if entrant.stem in seen:
            raise InputError("a name of its own for each row", f"{entrant.name} twice", "rename one of them")
        seen.add(entrant.stem)
    return list(entrants)
