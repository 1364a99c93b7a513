"""Noise2Average on repeats of a DTI scan: what becomes of FA, MD and V1 in white matter."""

from collections.abc import Callable, Mapping, Sequence

from clearmr.reproduce import Options, kept
from clearmr.reproduce import noise2average_picture as picture
from clearmr.reproduce import noise2average_runs as runs
from clearmr.reproduce import noise2average_table as tables
from clearmr.reproduce.kept import Found
from clearmr.reproduce.noise2average_data import SIMULATED, Setting, Sizes
from clearmr.reproduce.noise2average_methods import Lengths
from clearmr.reproduce.noise2average_runs import Scale
from clearmr.reproduce.noise2average_table import Figures, Parts
from clearmr.reproduce.results import Check, Results
from clearmr.train.fine_tuning import FineTuning

ABOUT = "Noise2Average on DTI repeats: errors of FA, MD and V1 in white matter beside BM4D, AONLM, MP-PCA, Noise2Noise"
DATA = "a simulated head; instead of it DTI scans with --data FILE.nii.gz (.bval and .bvec beside)"
TINY = "20 minutes on two cores"
MOVED = Setting("moved", shift=0.5, degrees=0.3, gain=0.03)
ALIGNED = Setting("aligned")
COLUMNS = ("method", "FA error", "MD error (1e-3 mm^2/s)", "V1 error (degrees)", "PSNR (dB)", "SSIM", "edges")
FIGURES = (
    ("fa_error", 4, 1.0), ("md_error", 4, 1e3), ("v1_error", 2, 1.0), ("psnr", 2, 1.0), ("ssim", 4, 1.0),
    ("edges", 3, 1.0),
)  # fmt: skip
ERRORS = (("fa_error", "FA", 1.0, "", 4), ("md_error", "MD", 1e3, "1e-3 mm^2/s", 4), ("v1_error", "V1", 1.0, "deg", 2))
NOTES = (
    tables.NO_PAPER,
    "The reference is exact: of a file the tensors of its images after MP-PCA (DIPY, weighted fit), whose signal is "
    "synthesised without noise under the file's own b values and directions; repeats are made of that with Rician "
    "noise. What MP-PCA left of the file's own noise is part of this truth, for every method alike. Without a file: a "
    "simulated head, one tensor in every voxel. B-vectors are not turned with the repeats (at most half a degree).",
    "Errors: mean absolute differences of FA and MD and mean angle between the V1, in white matter (FA over 0.25 and "
    "MD under 1.3e-3 mm^2/s in the reference). PSNR, SSIM and edges over all volumes, inside the brain. Weighted "
    "least squares of DIPY for all. BM4D and AONLM volume by volume, MP-PCA over all volumes; the networks volume by "
    "volume too (the reference's ten-layer net takes all volumes at once: `paper-dwi`).",
    tables.AONLM,
)


def tiny() -> Scale:
    """A slab of 24 x 56 x 48 voxels, two repeats."""
    sizes = Sizes((24, 56, 48), (72, 96, 82), 0.02, place=(0.55, 0.5, 0.5))
    tuning = FineTuning(block=(24, 32, 32), epochs=6, steps=40, learning_rate=1e-4, tile=(24, 56, 48))
    return Scale(sizes, (MOVED, ALIGNED), Lengths(tuning), left_out=(("aligned", "bm4d-each"),))


def full() -> Scale:
    """Whole slices; 20 epochs at 5e-5 as in the reference."""
    sizes = Sizes((32, 128, 128), (84, 112, 96), 0.02)
    return Scale(sizes, (MOVED, ALIGNED), Lengths(FineTuning(block=(32, 64, 64), fade=16)))


SCALES: Mapping[str, Callable[[], Scale]] = {"tiny": tiny, "full": full}


def run(options: Options) -> Results:
    """Run what is not done yet, and put the table together. Raises InputError."""
    scale = SCALES[options.scale]()
    made = runs.wanted("dti", scale, options, [*map(str, options.data)] or [SIMULATED])
    found = kept.done(made, runs.work, options)
    picture.panels(options.folder, made, found)
    return tables.results(TABLE, made, found, options.scale)


def checks(found: Sequence[Found], who: str, setting: Setting, there: Mapping[str, Figures]) -> list[Check]:
    """Errors below those of the noisy fit, Noise2Noise and the best classical baseline; supervised below ours."""
    rivals = ("average", "noise2noise", *tables.CLASSICAL)
    made: list[Check | None] = []
    said = f"{who}, {setting.name}"
    for scheme, name in (("ours", "our default"), ("published", "Noise2Average as published")):
        label = tables.chosen(found, who, setting.name, scheme)
        for key, short, factor, unit, digits in ERRORS:
            how = {"more": False, "factor": factor, "unit": unit, "digits": digits}
            claim = f"{said}: {short} error of {name} below the noisy fit, Noise2Noise and every filter"
            made.append(tables.better(claim, label, rivals, there, key, **how))  # type: ignore[arg-type]
            best = min((s for s in tables.SUPERVISED if s in there), key=lambda s: there[s][key], default=None)
            claim = f"{said}: supervised is the bound, {short} error below {name}"
            made.append(tables.better(claim, best, [label] if label else [], there, key, **how))  # type: ignore[arg-type]
    made += tables.round_checks(found, who, setting.name, said)
    return [check for check in made if check is not None]


def _winners(parts: Parts) -> tuple[str, ...]:
    return tuple(
        f"Least error of all that a user can have, {who}, {setting.name}: "
        + "; ".join(f"{short}: {tables.winner(there, key, more=False)}" for key, short, *_ in ERRORS)
        + "."
        for (who, setting), there in parts.items()
        if len(there) > 2
    )


TABLE = tables.Kind("noise2average-dti", "Noise2Average, DTI repeats", NOTES, COLUMNS, FIGURES, checks, _winners)
