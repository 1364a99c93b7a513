"""`clearmr study analyse`: the readers' files and the key in, tables out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr import files
from clearmr.cli import common
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.report.study_answers import Answers
    from clearmr.report.study_design import Design

EXAMPLE = "clearmr study analyse study/key.json reader-1.json reader-2.json -o analysis/"
_FEW = 6  # cases: of fewer, no exact two-sided p of Wilcoxon's test is below 0.05


def run(
    key: Annotated[Path, typer.Argument(help="key.json of clearmr study make.")],
    answers: Annotated[list[Path], typer.Argument(help="The file that each reader downloaded.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for table.md, table.html, results.json; else stdout.")
    ] = None,
    against: Annotated[str | None, typer.Option(help="Arm with which the others are compared; the first.")] = None,
    weights: Annotated[str, typer.Option(help="Of kappa: quadratic or linear.")] = "quadratic",
    as_json: common.AsJson = False,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Unblind and analyse: mean and SD per arm and item, Wilcoxon p, weighted kappa between and within readers."""
    if out:
        files.refuse_existing(out, force=force)
    from clearmr.cli import study_statistics
    from clearmr.report import study_answers, study_tables

    design = study_answers.read_key(key)
    arm = _arm(design, against)
    given = study_answers.read_answers(answers, design)
    found = study_statistics.analyse(design, given, against=arm, weights=weights)
    found["warnings"] = _warnings(design, given)
    found["provenance"] = common.provenance(**common.inputs([key, *answers]))
    for warning in found["warnings"]:
        common.say(f"warning: {warning}", quiet=quiet)
    if out:
        _write(out, found, force)
        common.say(f"{out}: table.md, table.html, results.json", quiet=quiet)
    if as_json:
        common.emit(found)
    elif not out:
        typer.echo(study_tables.markdown(found), nl=False)


def _arm(design: "Design", against: str | None) -> int:
    if against is not None and against not in design.arms:
        raise InputError(f"--against {' or '.join(design.arms)}", against, "choose one of them")
    return 0 if against is None else design.arms.index(against)


def _warnings(design: "Design", given: "tuple[Answers, ...]") -> list[str]:
    said = []
    if len(given) < len(design.orders):
        there = {one.reader for one in given}
        absent = [str(reader + 1) for reader in range(len(design.orders)) if reader + 1 not in there]
        said.append(f"no answers of reader {', '.join(absent)}")
    said += [f"reader {one.reader}: {one.missing} of {len(one.scores)} scores missing" for one in given if one.missing]
    if len(design.cases) < _FEW:
        said.append(f"{len(design.cases)} cases are too few to trust p: Wilcoxon's test needs {_FEW} or more")
    return said


def _write(out: Path, found: dict[str, Any], force: bool) -> None:
    from clearmr.report import study_tables

    with files.whole_folder(out, force=force) as folder:
        (folder / "table.md").write_text(study_tables.markdown(found), encoding="utf-8")
        (folder / "table.html").write_text(study_tables.page(found), encoding="utf-8")
        (folder / "results.json").write_text(common.as_json(found), encoding="utf-8")
