"""Noise2Average on T1-weighted repeats: beside averaging, Noise2Noise, BM4D, AONLM and the supervised bound."""

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

ABOUT = "Noise2Average on T1-weighted repeats: rounds, Noise2Noise, BM4D, AONLM, supervised; PSNR, SSIM, sharpness"
DATA = "a simulated head; heads in files with --data, none that the shipped network has seen"
TINY = "20 minutes on two cores with a file, half of it without"
MOVED = Setting("moved", shift=0.25, degrees=0.3, gain=0.03)
ALIGNED = Setting("aligned")
COLUMNS = ("method", "PSNR (dB)", "SSIM", "edges", "gradient energy", "residual structure")
FIGURES = (
    ("psnr", 2, 1.0), ("ssim", 4, 1.0), ("edges", 3, 1.0), ("gradient_energy", 3, 1.0), ("residual_structure", 3, 1.0)
)  # fmt: skip
NOTES = (
    tables.NO_PAPER,
    "PSNR (data range: the largest clean value) and SSIM (7 x 7, uniform, planes of z) inside the brain, against the "
    "clean image, in whose middle the repeats lie. Edges: the share of the clean image's gradients that is there (1: "
    "all; noise does not count); gradient energy: that of all gradients, noise among them. Residual structure: "
    "correlation of what was removed from the plain average with the clean image's detail (0: only noise was).",
    tables.AONLM,
)


def tiny() -> Scale:
    """A piece of cortex and white matter of 64^3 voxels, two repeats."""
    sizes = Sizes((64, 64, 64), (112, 150, 128), 0.08, place=(0.62, 0.55, 0.33))
    tuning = FineTuning(block=(32, 32, 32), epochs=6, learning_rate=1e-4, tile=(64, 64, 64))
    return Scale(sizes, (MOVED, ALIGNED), Lengths(tuning))


def full() -> Scale:
    """As the reference: blocks of 64^3, 20 epochs at 5e-5, on 128 x 160 x 128 voxels."""
    sizes = Sizes((128, 160, 128), (168, 224, 192), 0.08)
    return Scale(sizes, (MOVED, ALIGNED), Lengths(FineTuning(fade=16)))


SCALES: Mapping[str, Callable[[], Scale]] = {"tiny": tiny, "full": full}


def run(options: Options) -> Results:
    """Run what is not done yet, and put the table together. Raises InputError."""
    scale = SCALES[options.scale]()
    sources = [*map(str, options.data), SIMULATED]
    made = runs.wanted("t1w", scale, options, sources)
    found = kept.done(made, runs.work, options)
    picture.panels(options.folder, made, found)
    return tables.results(TABLE, made, found, options.scale)


def checks(found: Sequence[Found], who: str, setting: Setting, there: Mapping[str, Figures]) -> list[Check]:
    """What issue and paper claim of repeats that are a little apart; of all, that the supervised one is the bound."""
    ours, scheme = (tables.chosen(found, who, setting.name, name) for name in ("ours", "published"))
    rivals = ("average", "noise2noise", *tables.CLASSICAL)
    made: list[Check | None] = []
    said = f"{who}, {setting.name}"
    for label, name in ((ours, "our default"), (scheme, "Noise2Average as published")) if setting.shift else ():
        for key, unit, digits in (("psnr", "dB", 2), ("ssim", "", 4)):
            claim = f"{said}: {name} above averaging, Noise2Noise, BM4D and AONLM in {key.upper()}"
            made.append(tables.better(claim, label, rivals, there, key, unit=unit, digits=digits))
        claim = f"{said}: {name} sharper than Noise2Noise, share of edges"
        made.append(tables.better(claim, label, ("noise2noise",), there, "edges", digits=3))
    made += tables.round_checks(found, who, setting.name, said)
    for label, name in ((ours, "our default"), (scheme, "Noise2Average as published")):
        claim = f"{said}: supervised is the bound, above {name}"
        best = max((s for s in tables.SUPERVISED if s in there), key=lambda s: there[s]["psnr"], default=None)
        made.append(tables.better(claim, best, [label] if label else [], there, "psnr", unit="dB"))
    return [check for check in made if check is not None]


def _winners(parts: Parts) -> tuple[str, ...]:
    return tuple(
        f"Best of all that a user can have, {who}, {setting.name}: {tables.winner(there, 'psnr')} in PSNR, "
        f"{tables.winner(there, 'ssim')} in SSIM."
        for (who, setting), there in parts.items()
        if len(there) > 2
    )


TABLE = tables.Kind(
    "noise2average-t1w", "Noise2Average, T1-weighted repeats", NOTES, COLUMNS, FIGURES, checks, _winners
)
