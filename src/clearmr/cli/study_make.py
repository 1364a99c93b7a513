"""`clearmr study make`: images in, a blinded page and its key out."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr import files
from clearmr.cli import common, study_inputs
from clearmr.errors import InputError
from clearmr.report import study_items

if TYPE_CHECKING:
    from clearmr.report.study_design import Design
    from clearmr.report.study_pictures import Stack

EXAMPLE = "clearmr study make s1.nii.gz=s1_clean.nii.gz s2.nii.gz=s2_clean.nii.gz -o study/ --readers 2"
PAGE, KEY = "study.html", "key.json"
_UNEQUAL = 1.5  # ratio of the arms' brightness from which their units are taken to differ


def run(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for study.html (for the readers) and key.json.")],
    images: Annotated[list[str] | None, typer.Argument(help="ORIGINAL=DENOISED, a pair of files per case.")] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="CSV instead: a column per arm, a line per case (case,original,denoised).")
    ] = None,
    arm: Annotated[
        list[str] | None, typer.Option(help="NAME=FOLDER instead, once per arm: files of equal names are a case.")
    ] = None,
    items: Annotated[
        str, typer.Option(help=f'What is scored: {", ".join(study_items.SETS)}, single items, or "key=Title".')
    ] = study_items.DEFAULT,
    readers: Annotated[int, typer.Option(help="Readers; each has an order of their own.")] = 2,
    repeat_share: Annotated[float, typer.Option(help="Share of images shown twice: intra-reader agreement.")] = 0.1,
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="All arms of a case at once, in random places; else one image.")
    ] = False,
    slices: Annotated[str, typer.Option(help="N (spread over the middle 80 %), FROM:TO[:STEP] from 1, or all.")] = "24",
    view: Annotated[str, typer.Option(help="auto (as sliced), axial, coronal, sagittal or stored.")] = "auto",
    own_window: Annotated[
        bool, typer.Option("--own-window", help="A grey scale per image, for arms in different units.")
    ] = False,
    title: Annotated[str, typer.Option(help="Title of the page; the readers see it.")] = "Image quality study",
    key: Annotated[Path | None, typer.Option(help="Write the key here, not beside the page.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of all orders. Not given: drawn, and told in the key; nobody guesses it.")
    ] = None,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Make a blinded, randomised reader study: one page that needs no network, and the key that tells the arms.

    Give study.html to the readers, and keep key.json: it alone tells which image is which.
    """
    for path in (out, *([key] if key else [])):
        files.refuse_existing(path, force=force)
    chosen = study_items.choose(items)
    found = study_inputs.find(images or [], pairs, arm or [])
    _check_title(title, found)
    from clearmr.report import study_design

    drawn = secrets.randbits(63) if seed is None else seed
    if drawn < 0:
        raise InputError("--seed of 0 or more", str(seed), "choose another one")
    design = study_design.draw(
        found.cases, found.arms, chosen, readers=readers, repeat_share=repeat_share, side_by_side=side_by_side,
        seed=drawn,
    )  # fmt: skip
    blocks, series, warnings = _encode(found, design, view, slices, own_window, quiet)
    for warning in warnings:
        common.say(f"warning: {warning}", quiet=quiet)
    record = _provenance(found, drawn, warnings)
    size = _write(out, key, design, blocks, title, series, record, force)
    _tell(out, key, design, size, quiet)


def _check_title(title: str, found: study_inputs.Images) -> None:
    told = [name for name in (*found.arms, *found.cases) if len(name) > 2 and name.lower() in title.lower()]
    if told:
        raise InputError(
            "a --title that tells the readers no arm and no case", f"{told[0]} in it", "choose another one"
        )


def _encode(
    found: study_inputs.Images, design: "Design", view: str, slices: str, own_window: bool, quiet: bool
) -> tuple[dict[str, str], bool, list[str]]:
    """The page's blocks by token, whether some picture is a series, and warnings; case by case, for memory."""
    from clearmr.report import shell, study_page, study_pictures

    tokens = {(picture.case, picture.arm): picture.token for picture in design.pictures}
    blocks: dict[str, str] = {}
    series, warnings = False, []
    with common.progress_bar("images", quiet=quiet) as progress:
        for case, row in enumerate(found.files):
            stacks = [_stack(path, view) for path in row]
            _check_sizes(row, stacks)
            if not own_window and (warning := _units(found.cases[case], stacks)):
                warnings.append(warning)
            for arm, picture in enumerate(study_pictures.encode(stacks, slices=slices, own_window=own_window)):
                blocks[tokens[case, arm]] = shell.json_block(picture)
                series |= picture["frames"] > 1
            study_page.check_size(blocks.values())
            progress(case + 1, len(found.files))
    return blocks, series, warnings


def _stack(path: Path, view: str) -> "Stack":
    from clearmr import formats
    from clearmr.report import study_pictures
    from clearmr.scan import SnrImage

    loaded = formats.load(path)
    if not isinstance(loaded, SnrImage):
        raise InputError("images", f"raw data in {path}", "reconstruct them first: clearmr recon")
    return study_pictures.hang(loaded.image.numpy(), loaded.spacing, loaded.affine, view=view)


def _check_sizes(row: Sequence[Path], stacks: Sequence["Stack"]) -> None:
    """`encode` refuses these too, without the files' names."""
    for path, stack in zip(row[1:], stacks[1:], strict=True):
        if stack.values.shape != stacks[0].values.shape or stack.marks != stacks[0].marks:
            sizes = " and ".join(" x ".join(map(str, s.values.shape)) for s in (stacks[0], stack))
            found = f"{row[0].name} and {path.name}: {sizes}, or turned"
            raise InputError("images of one case on one grid", found, "resample one of them")


def _units(case: str, stacks: Sequence["Stack"]) -> str | None:
    from clearmr.report import study_pictures

    levels = study_pictures.brightness(stacks)
    if min(levels) > 0 and max(levels) / min(levels) < _UNEQUAL:
        return None
    said = " and ".join(f"{level:.3g}" for level in levels)
    return f"{case}: the arms differ in brightness ({said}), which tells them apart; --own-window scales each"


def _provenance(found: study_inputs.Images, seed: int, warnings: list[str]) -> dict[str, Any]:
    table = [dict(zip(found.arms, map(str, row), strict=True)) for row in found.files]
    told = common.provenance(**common.inputs([path for row in found.files for path in row]))
    return {"seed": seed, "files": table, "warnings": warnings, "provenance": told}


def _write(
    out: Path,
    key: Path | None,
    design: "Design",
    blocks: dict[str, str],
    title: str,
    series: bool,
    record: dict[str, Any],
    force: bool,
) -> int:
    from clearmr.report import study_design, study_page

    with files.whole_folder(out, force=force) as folder:
        with (folder / PAGE).open("w", encoding="utf-8", newline="\n") as page:
            page.writelines(study_page.pieces(design, blocks, title=title, series=series))
        size = (folder / PAGE).stat().st_size
        told = study_design.to_key(design, **record)
        common.write_json(told, key or folder / KEY, force=force)
    return size


def _tell(out: Path, key: Path | None, design: "Design", size: int, quiet: bool) -> None:
    readings = len(design.orders[0])
    n = f"{len(design.cases)} case(s) of {len(design.arms)} arms, {readings} readings for each of {len(design.orders)}"
    common.say(f"{out / PAGE}: {n} reader(s), {size / 1e6:.1f} MB: give this file to the readers", quiet=quiet)
    common.say(f"{key or out / KEY}: tells the arms; keep it from the readers", quiet=quiet)
