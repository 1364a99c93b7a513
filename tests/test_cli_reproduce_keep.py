"""Results that are kept in the documentation, and their index."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from clearmr.cli import machine, reproduce_keep
from cli_runs import done, refused

MADE = {
    "name": "snraware-table2",
    "scale": "tiny",
    "seconds": 12.0,
    "provenance": {"command": "clearmr reproduce snraware-table2 -o t", "version": "1", "date": "2026-11-21T10:00:00"},
}


def a_run(folder: Path, number: str = "41.5", pictures: tuple[str, ...] = ("table2", "slices"), **other: Any) -> Path:
    """A folder as `clearmr reproduce` leaves it."""
    folder.mkdir(exist_ok=True)
    value = MADE | other
    (folder / "results.json").write_text(json.dumps(value))
    line = "" if "seconds" not in value else reproduce_keep.made(value)
    (folder / "table.md").write_text(f"# A table: of networks\n\n| a |\n| --- |\n| {number} |\n\n{line}\n")
    for name in pictures:
        Image.new("L", (4, 4)).save(folder / f"{name}.png")
    return folder


def docs_of(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    return tmp_path / "docs"


def test_a_run_is_kept_under_its_name_and_scale(tmp_path: Path) -> None:
    docs, run = docs_of(tmp_path), a_run(tmp_path / "run")
    said = done("reproduce", "-o", run, "--keep", docs)
    names = {"snraware-table2-tiny.md", "snraware-table2-tiny.png", "snraware-table2-tiny-slices.png", "README.md"}
    assert {path.name for path in docs.iterdir()} == names
    assert all(f"{docs / name}" in said.err for name in names)
    page = (docs / "snraware-table2-tiny.md").read_text()
    assert "| 41.5 |" in page and "(snraware-table2-tiny-slices.png)" in page and "12 s in this command" in page
    index = (docs / "README.md").read_text()
    assert "| [snraware-table2](snraware-table2-tiny.md) | tiny | A table: of networks | 2026-11-21 |" in index


def test_what_was_written_by_hand_stays(tmp_path: Path) -> None:
    docs, run = docs_of(tmp_path), a_run(tmp_path / "run")
    reproduce_keep.keep(run, docs)
    page = docs / "snraware-table2-tiny.md"
    page.write_text(page.read_text() + "\nIt holds.\n")
    reproduce_keep.keep(a_run(run, "42.7"), docs)
    text = page.read_text()
    assert text.endswith("\n\nIt holds.\n") and text.count("It holds") == 1
    assert "42.7" in text and "41.5" not in text and text.count(reproduce_keep.READ) == 1


def test_the_index_names_commit_and_date_of_all(tmp_path: Path) -> None:
    docs = docs_of(tmp_path)
    (docs / "b-full.md").write_text("# B | two\n\n`clearmr x`, commits bd6c314 to a0c1ca1, 2026-11-20, a GPU\n")
    reproduce_keep.keep(a_run(tmp_path / "run", pictures=()), docs)
    lines = (docs / "README.md").read_text().splitlines()
    assert "| [b](b-full.md) | full | B / two | 2026-11-20, bd6c314 to a0c1ca1 |" in lines
    assert sum(line.startswith("| [") for line in lines) == 2


def test_mistakes(tmp_path: Path) -> None:
    docs, run = docs_of(tmp_path), a_run(tmp_path / "run")
    assert "no folder" in refused(tmp_path, "reproduce", "-o", run, "--keep", tmp_path / "none")
    assert "whole reproduction" in refused(tmp_path, "reproduce", "-o", docs, "--keep", docs)
    (docs / "snraware-table2-tiny.md").write_text("# by hand\n")
    assert reproduce_keep.READ in refused(tmp_path, "reproduce", "-o", run, "--keep", docs)
    (run / "table.md").unlink()
    assert "table.md" in refused(tmp_path, "reproduce", "-o", run, "--keep", docs)
    (run / "results.json").write_text("[1]")
    assert "whole reproduction" in refused(tmp_path, "reproduce", "-o", run, "--keep", docs)


def test_the_machine_and_the_commit() -> None:
    found = machine.made_with()
    assert found["machine"]["cores"] >= 1 and found["machine"]["cpu"] and found["machine"]["torch"]
    said = machine.said(found["machine"])
    assert f"{found['machine']['cores']} cores of " in said and "torch" in said


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearmr.__file__", str(tmp_path / "a" / "b" / "clearmr" / "__init__.py"))
    assert machine.commit() is None and reproduce_keep.result_of("snraware-table2", ("tiny",)) == ""
