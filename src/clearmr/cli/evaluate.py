"""`clearmr evaluate`: images against a reference."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearmr.cli import common
from clearmr.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

NAME = "evaluate"
EXAMPLE = "clearmr evaluate --reference truth.npz --test clean.npz"


def run(
    reference: Annotated[Path, typer.Option(help="The image taken for true.")],
    test: Annotated[list[Path], typer.Option(help="Image to judge; more may follow it.")],
    more: Annotated[list[Path] | None, typer.Argument(help="Further images to judge.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Where to judge: nonzero voxels of this image.")] = None,
    out: Annotated[Path | None, typer.Option("--json", help="Write the figures here instead of stdout.")] = None,
    complex_difference: Annotated[
        bool, typer.Option("--complex", help="Count complex differences, not those of magnitudes.")
    ] = False,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """PSNR, SSIM, NRMSE and the ratio of mean signals, of magnitudes, over all voxels or in a mask."""
    common.refuse_existing([out] if out else [], force=force)
    from clearmr import evaluate

    truth = _image(reference, complex_difference)
    inside = _image(mask, False) > 0 if mask else None
    tests = [*test, *(more or [])]
    results = [
        {"test": str(path), **evaluate.evaluate(truth, _image(path, complex_difference), mask=inside)} for path in tests
    ]
    value = results[0] if len(results) == 1 else {"results": results}
    value |= {"provenance": common.provenance(**common.inputs([reference, *tests, *([mask] if mask else [])]))}
    if out is None:
        common.emit(value)
        return
    common.write_json(value, out, force=force)
    common.say(f"{out}: {len(results)} image(s) judged", quiet=quiet)


def _image(path: Path, keep_complex: bool) -> "Tensor":
    from clearmr import formats
    from clearmr.scan import SnrImage

    loaded = formats.load(path)
    if not isinstance(loaded, SnrImage):
        raise InputError("an image", f"raw data in {path}", "reconstruct it first: clearmr recon")
    return loaded.image if keep_complex else loaded.image.abs()
