"""`clearmr evaluate`: images against a reference."""

from pathlib import Path
from typing import Annotated

import typer

from clearmr.cli import common

NAME = "evaluate"
EXAMPLE = "clearmr evaluate --reference truth.npz --test clean.npz"


def run(
    reference: Annotated[Path, typer.Option(help="The image taken for true.")],
    test: Annotated[list[Path], typer.Option(help="Images to judge; repeat the option.")],
    mask: Annotated[Path | None, typer.Option(help="Where to judge: nonzero voxels of this image.")] = None,
    out: Annotated[Path | None, typer.Option("--json", help="Write the figures here instead of stdout.")] = None,
    force: common.Force = False,
) -> None:
    """PSNR, SSIM, NRMSE and the ratio of mean signals, of magnitudes, over all voxels or in a mask."""
    import json

    from clearmr import evaluate
    from clearmr.files import whole_file

    truth = _magnitude(reference)
    inside = _magnitude(mask) > 0 if mask else None
    results = [{"test": str(path), **evaluate.evaluate(truth, _magnitude(path), mask=inside)} for path in test]
    value = results[0] if len(results) == 1 else {"results": results}
    if out is None:
        common.emit(value)
        return
    with whole_file(out, force=force) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")


def _magnitude(path: Path):  # type: ignore[no-untyped-def]
    from clearmr import formats
    from clearmr.errors import InputError
    from clearmr.scan import SnrImage

    loaded = formats.load(path)
    if not isinstance(loaded, SnrImage):
        raise InputError("an image", f"raw data in {path}", "reconstruct it first: clearmr recon")
    return loaded.image.abs()
