"""`clearmr evaluate --dti`: tensors of diffusion-weighted images, and their errors in white matter."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from clearmr.scan import SnrImage

Dti = Annotated[bool, typer.Option("--dti", help="Fit tensors (DIPY): FA, MD, V1 errors in white matter.")]
BVals = Annotated[Path | None, typer.Option(help="For --dti: b values; default: the .bval beside the reference.")]
BVecs = Annotated[Path | None, typer.Option(help="For --dti: directions; default: the .bvec beside the reference.")]


def figures(
    reference: "SnrImage", tests: "list[SnrImage]", path: Path, bvals: Path | None, bvecs: Path | None, mask: Any
) -> list[dict[str, Any]]:
    """Of each test image: fa_error, md_error (mm^2/s), v1_error (degrees), biases, voxels of white matter.

    The tensors of the reference tell where white matter is, inside `mask` where one is given. Every image has the
    reference's b values and directions. Raises InputError.
    """
    from clearmr import evaluate
    from clearmr.formats import gradients

    found = gradients.read(path, bvals=bvals, bvecs=bvecs, volumes=reference.image.shape[0])
    where = foreground(reference) if mask is None else mask
    known = evaluate.fit_dti(reference.image.abs(), found.bvals, found.bvecs, where)
    white = evaluate.white_matter(known, where)
    made = []
    for test in tests:
        maps = evaluate.fit_dti(test.image.abs(), found.bvals, found.bvecs, where)
        errors = evaluate.dti_errors(known, maps, white)
        made.append({**errors, "units": {"md_error": "mm^2/s", "v1_error": "degrees"}, "fit": "dipy-wls"})
    return made


def foreground(image: "SnrImage") -> Any:
    """(z, y, x): over half of Otsu's threshold of the mean over volumes."""
    from clearmr.evaluate.brain_mask import otsu

    mean = image.image.abs().mean(0).numpy()
    return mean > 0.5 * otsu(mean)
