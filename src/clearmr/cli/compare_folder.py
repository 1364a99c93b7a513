"""The folder of a comparison: what was asked, the input, each image and its figures; then table, JSON and page."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clearmr import files, road
from clearmr.cli import common, compare_judge, compare_run
from clearmr.cli.compare_entrants import NOISY, Entrant
from clearmr.cli.compare_run import Given
from clearmr.denoiser import Progress
from clearmr.errors import InputError
from clearmr.formats import nifti
from clearmr.report import compare as compare_page
from clearmr.report import compare_table
from clearmr.scan import SnrImage

ENDINGS = ("npz", "nii.gz")
ASKED, RESULT, TABLE, PAGE = "asked.json", "compare.json", "table.md", "compare.html"
IMAGES, ENTRANTS, INPUT = "images", "entrants", "input.npz"


def refuse(out: Path, *, resume: bool, ending: str, files: Sequence[Path]) -> None:
    """Before any work: files that are not there, a folder in use, an ending that is none. Raises InputError."""
    if ending not in ("auto", *ENDINGS):
        raise InputError(f"--format auto, {' or '.join(ENDINGS)}", ending, "choose one of them")
    for path in files:
        if not path.exists():
            raise InputError("an existing file", f"no {path}", "check the name")
    begun = out.is_dir() and any(out.iterdir())
    if begun and not resume:
        raise InputError("a new folder", f"files in {out}", "pass --resume or choose another folder")
    if begun and not (out / ASKED).exists():
        raise InputError("a folder of clearmr compare", f"other files in {out}", "choose another folder")
    if resume and not begun:
        raise InputError("a folder to go on in", f"nothing in {out}", "start without --resume")
    if not out.is_dir():
        common.refuse_existing([out], force=False)


def check(images: Sequence[SnrImage], *, reference: Path | None, mask: Path | None) -> None:
    """Before anything is written: repeats, reference and mask of one shape. Raises InputError where they are not."""
    if mask is not None and reference is None:
        raise InputError("--reference with --mask", "no reference", "leave --mask out")
    noisy = road.average(images)
    compare_judge.noisy_row(Given(Path(), reference=reference, mask=mask), noisy)


def opened(out: Path, asked: Mapping[str, Any], *, ending: str, inputs: Sequence[Path]) -> "Folder":
    """A new folder, or the one of the same question. Raises InputError where it is of another one."""
    plain = common.plain(asked)
    path = out / ASKED
    if path.exists():
        before = _read(path)
        if {**before, "input": None} != {**plain, "input": None}:
            differ = ", ".join(key for key in plain if key != "input" and before.get(key) != plain[key])
            raise InputError("the input and options of before with --resume", f"other {differ}", "use another folder")
    out.mkdir(exist_ok=True)
    for name in (IMAGES, ENTRANTS):
        (out / name).mkdir(exist_ok=True)
    common.write_json(plain, path, force=True)
    is_nifti = inputs[0].name.lower().endswith(nifti.ENDINGS)
    return Folder(out, ("nii.gz" if is_nifti else "npz") if ending == "auto" else ending, tuple(inputs))


@dataclass(frozen=True)
class Folder:
    """Where a comparison lies. ending: of the images' names."""

    path: Path
    ending: str
    inputs: tuple[Path, ...]

    @property
    def table(self) -> Path:
        return self.path / TABLE

    @property
    def page(self) -> Path:
        return self.path / PAGE

    def given(self, images: Sequence[SnrImage], *, reference: Path | None, mask: Path | None) -> Given:
        """The input as files that processes can read."""
        noisy = road.with_caution(road.average(images))
        road.save(dataclasses.replace(noisy, header=None), self.path / INPUT, force=True)
        repeats = []
        for number, image in enumerate(images if len(images) > 1 else [], 1):
            repeats += [self.path / f"input_{number}.npz"]
            road.save(dataclasses.replace(image, header=None), repeats[-1], force=True)
        return Given(self.path / INPUT, tuple(repeats), reference, mask)

    def file(self, entrant: Entrant) -> Path:
        """Its image."""
        return self.path / IMAGES / f"{entrant.stem}.{self.ending}"

    def record(self, entrant: Entrant) -> Path:
        """Its figures."""
        return self.path / ENTRANTS / f"{entrant.stem}.json"

    def done(self, entrant: Entrant) -> bool:
        """Whether the same entrant was judged before, and its image is there."""
        record = self.record(entrant)
        if not record.exists() or not self.file(entrant).exists():
            return False
        return bool(_read(record).get("asked") == common.plain(entrant.asked()))

    def run(self, given: Given, entrant: Entrant, progress: Progress, *, limit: float | None) -> str:
        """Run and judge it; what is left is its image and its figures. The reason where there are none."""
        if entrant.image is not None:
            ended = self._of_another_tool(given, entrant)
        else:
            work = self.path / IMAGES / f"{entrant.stem}.npz"
            ended = compare_run.apart(compare_run.entered, given, entrant, work, progress, limit=limit)
            if ended.figures is not None and self.ending != "npz":
                self._convert(work, entrant, given)
        if ended.figures is None:
            return ended.reason.replace("--model", f"--also {entrant.method}=MODEL")
        row = {"name": entrant.name, "file": f"{IMAGES}/{self.file(entrant).name}", **ended.figures}
        common.write_json({"asked": entrant.asked(), "row": row}, self.record(entrant), force=True)
        return ""

    def _of_another_tool(self, given: Given, entrant: Entrant) -> compare_run.Ended:
        assert entrant.image is not None
        noisy = compare_run.image_of(given.noisy)
        try:
            image = compare_judge.fitted(noisy, compare_run.image_of(entrant.image))
            figures = compare_judge.judged(given, noisy, image)
        except InputError as error:
            return compare_run.Ended(None, str(error))
        note = compare_judge.unit_note(noisy, image, entrant.name)
        self._save(image, entrant)
        return compare_run.Ended({**figures, "notes": [*figures["notes"], *([note] if note else [])]})

    def _convert(self, work: Path, entrant: Entrant, given: Given) -> None:
        """From the exchange form to NIfTI, with the header of the input."""
        self._save(compare_run.image_of(work), entrant)
        work.unlink()

    def _save(self, image: SnrImage, entrant: Entrant) -> None:
        path = self.file(entrant)
        road.save(image, path, keep_complex=True, force=True)
        if self.ending != "npz":  # the maps are those of the input, which is kept
            for what in ("noisesd", "gmap"):
                nifti.sidecar(path, what).unlink(missing_ok=True)

    def line(self, entrant: Entrant) -> str:
        """Its figures in one line."""
        row = _read(self.record(entrant))["row"]
        return ", ".join(f"{c.head} {compare_table.cell(row, c)}" for c in compare_table.shown([row]))

    def rows(self, given: Given, entrants: Sequence[Entrant]) -> list[dict[str, Any]]:
        """The input, the entrants of this command that are done, and those of commands before."""
        noisy = compare_run.image_of(given.noisy)
        first = {"name": NOISY, "file": INPUT, **compare_judge.noisy_row(given, noisy)}
        asked = [self.record(entrant) for entrant in entrants]
        others = sorted(set((self.path / ENTRANTS).glob("*.json")) - set(asked))
        return [first, *(_read(path)["row"] for path in [*asked, *others] if path.exists())]

    def finish(
        self, given: Given, entrants: Sequence[Entrant], left_out: dict[str, str], provenance: dict[str, Any]
    ) -> dict[str, Any]:
        """Write table, JSON and page; the JSON's value. Raises InputError where no entrant gave anything."""
        noisy = compare_run.image_of(given.noisy)
        rows = self.rows(given, entrants)
        if len(rows) < 2:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
            raise InputError("a denoiser that can be run", f"none ({reasons})", "name others with --method")
        notes = [f"{row['name']}: {said}" for row in rows for said in (*row["notes"], *row.get("warnings", []))]
        title = f"{self.inputs[0].name}: {len(rows) - 1} denoisers compared"
        value = {
            "title": title,
            "shape": list(noisy.image.shape),
            "repeats": len(self.inputs),
            "spacing": list(noisy.spacing),
            "noise_source": noisy.noise_source,
            "reference": str(given.reference) if given.reference else None,
            "columns": [dataclasses.asdict(column) for column in compare_table.shown(rows)],
            "rows": rows,
            "left_out": left_out,
            "warnings": list(noisy.meta.get("warnings", [])),
            "provenance": provenance,
        }
        with files.whole_file(self.table, force=True) as temporary:
            temporary.write_text(compare_table.markdown(title, rows, left_out, notes), encoding="utf-8")
        common.write_json(value, self.path / RESULT, force=True)
        compare_page.write(self._comparison(given, noisy, value, notes), self.page)
        return common.plain(value)  # type: ignore[no-any-return]

    def _comparison(
        self, given: Given, noisy: SnrImage, value: Mapping[str, Any], notes: Sequence[str]
    ) -> compare_page.Comparison:
        images = {row["name"]: functools.partial(_array, self.path / row["file"]) for row in value["rows"]}
        if given.reference is not None:
            images[compare_page.REFERENCE] = functools.partial(_array, given.reference)
        return compare_page.Comparison(
            value["title"],
            value["rows"],
            images,
            noisy.noise_sd.cpu().numpy(),
            spacing=noisy.spacing,
            left_out=value["left_out"],
            notes=notes,
            warnings=value["warnings"],
            provenance=value["provenance"],
        )


def _array(path: Path) -> np.ndarray:
    array: np.ndarray = compare_run.image_of(path).image.cpu().numpy()
    return array


def _read(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"JSON in {path}", str(error), "remove that file: its entrant runs again") from error
    return value
