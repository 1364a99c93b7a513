"""`clearmr evaluate`: images against a reference, and what volumetry makes of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr.cli import common, evaluate_dti
from clearmr.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from clearmr.scan import SnrImage

NAME = "evaluate"
EXAMPLE = "clearmr evaluate --reference truth.npz --test clean.npz"


def run(
    reference: Annotated[Path | None, typer.Option(help="The image taken for true.")] = None,
    test: Annotated[list[Path] | None, typer.Option(help="Image to judge; more may follow it.")] = None,
    more: Annotated[list[Path] | None, typer.Argument(help="Further images to judge.")] = None,
    mask: common.Mask = None,
    tissues: Annotated[
        bool, typer.Option("--tissues", help="Segment CSF, grey and white matter of each (DIPY); Dice and volumes.")
    ] = False,
    contrast: Annotated[str, typer.Option(help="For --tissues: t1 or t2.")] = "t1",
    reference_labels: Annotated[Path | None, typer.Option(help="Label map taken for true, of any program.")] = None,
    test_labels: Annotated[
        list[Path] | None, typer.Option(help="Label map to judge, one per image; may be repeated.")
    ] = None,
    names: Annotated[str | None, typer.Option(help="Name the labels: fsl-fast, fsl-first or freesurfer.")] = None,
    dti: evaluate_dti.Dti = False,
    bvals: evaluate_dti.BVals = None,
    bvecs: evaluate_dti.BVecs = None,
    edge: Annotated[
        str | None, typer.Option(help="Width of the edge on a line: frame,z,y,x,y,x in voxels from 0; low to high.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--json", help="Write the figures here instead of stdout.")] = None,
    complex_difference: Annotated[
        bool, typer.Option("--complex", help="Count complex differences, not those of magnitudes.")
    ] = False,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """PSNR, SSIM, NRMSE and the ratio of mean signals, of magnitudes, over all voxels or in a mask; volumetry."""
    common.refuse_existing([out] if out else [], force=force)
    tests, maps = [*(test or []), *(more or [])], test_labels or []
    _check(reference, tests, reference_labels, maps, tissues)
    _check_of_images(reference, dti, bvals or bvecs, edge)
    between: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = [{"test": str(path)} for path in tests or maps]
    if reference:
        between = _add_figures(results, reference, tests, mask, complex_difference)
    if reference and edge:
        _add_edges(results, reference, tests, edge)
    if reference and dti:
        _add_dti(results, reference, tests, (bvals, bvecs), mask)
    if reference and tissues:
        _add_tissues(results, reference, tests, mask, contrast)
    if reference_labels:
        _add_labels(results, reference_labels, maps, names)
    value = results[0] if len(results) == 1 else {"results": results}
    value |= {"tests": between} if between else {}
    used = [path for path in (reference, *tests, mask, reference_labels, *maps) if path]
    value |= {"provenance": common.provenance(**common.inputs(used))}
    if out is None:
        common.emit(value)
        return
    common.write_json(value, out, force=force)
    common.say(f"{out}: {len(results)} image(s) judged", quiet=quiet)


def _check(reference: Path | None, tests: list[Path], labels: Path | None, maps: list[Path], tissues: bool) -> None:
    if not reference and not labels:
        raise InputError("--reference and --test, or --reference-labels and --test-labels", "neither", "give a pair")
    if bool(reference) != bool(tests):
        raise InputError("--reference and --test together", "one of them", "give both images")
    if bool(labels) != bool(maps):
        raise InputError("--reference-labels and --test-labels together", "one of them", "give both label maps")
    if labels and tests and len(maps) != len(tests):
        raise InputError(f"a --test-labels for each of {len(tests)} image(s)", str(len(maps)), "give as many")
    if tissues and (labels or not reference):
        raise InputError("--tissues of images, without label maps", "other options", "run it once for each")


def _check_of_images(reference: Path | None, dti: bool, gradients: Path | None, edge: str | None) -> None:
    for option, given in (("--dti", dti), ("--edge", edge is not None)):
        if given and not reference:
            raise InputError(f"{option} of images, with --reference and --test", "no reference", "name both")
    if gradients and not dti:
        raise InputError("--bvals and --bvecs with --dti", "no --dti", "add it, or leave them out")


def _add_dti(
    results: list[dict[str, Any]],
    reference: Path,
    tests: list[Path],
    gradients: tuple[Path | None, Path | None],
    mask: Path | None,
) -> None:
    """Tensors of all images inside one mask: the given one, or the reference's foreground."""
    truth, images = _loaded(reference), [_loaded(path) for path in tests]
    inside = None if mask is None else _inside(mask)
    found = evaluate_dti.figures(truth, images, reference, *gradients, inside)
    for result, figures in zip(results, found, strict=True):
        result["dti"] = figures


def _add_figures(
    results: list[dict[str, Any]], reference: Path, tests: list[Path], mask: Path | None, keep_complex: bool
) -> list[dict[str, Any]]:
    """Adds each image's figures; gives the tests between the images, plane by plane."""
    from clearmr import evaluate
    from clearmr.evaluate import planes

    truth, inside = _image(reference, keep_complex), _inside(mask)
    errors = {}
    for result, path in zip(results, tests, strict=True):
        image = _image(path, keep_complex)
        result |= evaluate.evaluate(truth, image, mask=inside)
        errors[str(path)] = planes.plane_errors(truth, image, inside)
    return planes.paired_tests(errors)


def _add_edges(results: list[dict[str, Any]], reference: Path, tests: list[Path], edge: str) -> None:
    """Widths of the edge in the reference and in each image, in voxels."""
    from clearmr.evaluate import edges

    try:
        numbers = [float(number) for number in edge.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 6 or not all(abs(number) < 1e9 for number in numbers):
        raise InputError("--edge frame,z,y,x,y,x", edge, "write for example 0,3,20,31,20,43")
    (frame, z), start, stop = (int(n) for n in numbers[:2]), (numbers[2], numbers[3]), (numbers[4], numbers[5])

    def width(path: Path) -> float:
        image = _image(path, False)
        if not (0 <= frame < image.shape[0] and 0 <= z < image.shape[1]):
            raise InputError(f"a frame and slice of {tuple(image.shape)}", f"{frame}, {z}", "choose others")
        return edges.edge_width(edges.profile(image[frame, z], start, stop, width=3))

    known = width(reference)
    for result, path in zip(results, tests, strict=True):
        result["edge_width"] = {"reference": known, "test": width(path), "unit": "voxels, 10 to 90 %"}


def _add_tissues(
    results: list[dict[str, Any]], reference: Path, tests: list[Path], mask: Path | None, contrast: str
) -> None:
    """Of all images in one mask: the given one, or the reference's brain."""
    from clearmr import evaluate

    if contrast not in ("t1", "t2"):
        raise InputError("--contrast t1 or t2", contrast, "choose one of them")
    truth = _loaded(reference)
    spacing = truth.spacing
    inside = _inside(mask)
    brain = evaluate.brain_mask(_volume(truth, reference), spacing=spacing) if inside is None else inside

    def labels_of(path: Path) -> Any:
        volume = _volume(_loaded(path), path)
        return evaluate.segment_tissues(volume, mask=brain, spacing=spacing, contrast=contrast)  # type: ignore

    known = labels_of(reference)
    for result, path in zip(results, tests, strict=True):
        found = evaluate.volumetry(known, labels_of(path), spacing=spacing, names=evaluate.TISSUES)
        result["volumetry"] = {"labels": "dipy-hmrf", **found}


def _add_labels(results: list[dict[str, Any]], reference: Path, maps: list[Path], names: str | None) -> None:
    from clearmr import evaluate

    if names is not None and names not in evaluate.LABEL_NAMES:
        raise InputError(f"--names {', '.join(evaluate.LABEL_NAMES)}", names, "choose one of them")
    truth, known = _loaded(reference), evaluate.LABEL_NAMES.get(names or "")
    for result, path in zip(results, maps, strict=True):
        found = evaluate.volumetry(truth.image, _loaded(path).image, spacing=truth.spacing, names=known)
        result["volumetry"] = {"labels": str(path), **found}


def _volume(image: "SnrImage", path: Path) -> "Tensor":
    frames, n_z = image.image.shape[:2]
    if frames != 1 or n_z == 1:
        found = f"{frames} frame(s) of {n_z} slice(s) in {path.name}"
        raise InputError("a 3D image of one frame for --tissues", found, "leave --tissues out")
    return image.image[0].abs()


def _inside(mask: Path | None) -> "Tensor | None":
    return _image(mask, False) > 0 if mask else None


def _image(path: Path, keep_complex: bool) -> "Tensor":
    image = _loaded(path).image
    return image if keep_complex else image.abs()


def _loaded(path: Path) -> "SnrImage":
    from clearmr import formats
    from clearmr.scan import SnrImage

    loaded = formats.load(path)
    if not isinstance(loaded, SnrImage):
        raise InputError("an image", f"raw data in {path}", "reconstruct it first: clearmr recon")
    return loaded
