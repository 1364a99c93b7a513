"""Jobs whose figures and images are kept in a folder: what is done is not done again, with other settings refused."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from clearmr.errors import InputError
from clearmr.reproduce import Options, jobs
from clearmr.train import checkpoint

Found = dict[str, Any]


class Job(ABC):
    """One method on one noisy scan, by value: it is sent to another process. `folder` is that of all jobs."""

    folder: Path
    source: str

    @property
    @abstractmethod
    def name(self) -> str:
        """Of its files, and for --only."""

    @property
    @abstractmethod
    def settings(self) -> Found:
        """All that decides the result, as JSON holds it."""

    @abstractmethod
    def data(self) -> object:
        """What it works on. Raises InputError where there is none."""

    @property
    def figures_file(self) -> Path:
        return self.folder / "runs" / f"{self.name}.json"

    @property
    def images_file(self) -> Path:
        return self.figures_file.with_suffix(".safetensors")

    def known(self) -> Found | None:
        """What it found, if it is done. Raises InputError where it was done with other settings."""
        return read(self.figures_file, self.settings) if self.images_file.is_file() else None

    def keep(self, found: Found, images: Mapping[str, Tensor]) -> Found:
        """Write images and figures; the figures with the settings."""
        found = {**found, "settings": self.settings}
        self.figures_file.parent.mkdir(exist_ok=True)
        checkpoint.save_tensors({name: image.contiguous() for name, image in images.items()}, self.images_file)
        checkpoint.save_json(found, self.figures_file)
        return found


AnyJob = TypeVar("AnyJob", bound=Job)


def done(made: Sequence[AnyJob], work: Callable[[AnyJob], Found], options: Options) -> list[Found]:
    """What is known of the jobs, and what is found of those that `options.only` selects, in their order."""
    chosen = [job for job in made if not options.only or job.name.startswith(options.only)]
    if not chosen:
        named = ", ".join(job.name for job in made[:3])
        raise InputError(f"--only as the start of one of {named} ...", options.only[0], "choose others")
    for job in {job.source: job for job in made}.values():
        job.data()  # refuses before anything is run
    before = {job.name: job.known() for job in made}
    left = [job for job in chosen if before[job.name] is None]
    there = len(made) - len(left)

    def progress(done: int, total: int, **info: Any) -> None:
        options.progress(there + done, len(made), **info)

    new = jobs.run_all(work, left, workers=options.workers, progress=progress)
    found = {**before, **{one["name"]: one for one in new}}
    return [one for job in made if (one := found[job.name]) is not None]


def read(path: Path, settings: Found) -> Found | None:
    """The figures in a file, None where there is none. Raises InputError where its settings are others."""
    if not path.is_file():
        return None
    found: Found = json.loads(path.read_text(encoding="utf-8"))
    if found.get("settings") != settings:
        raise InputError("what was begun with the same settings", f"others in {path}", "choose another folder")
    return found


def as_json(values: Mapping[str, Any]) -> Found:
    """Values as they come back from a file: tuples are lists, paths are text."""
    return dict(json.loads(json.dumps(values, default=str)))
