"""Table 2 of Xu & Adalsteinsson 2021 (Deformed2Self): what each stage is worth, inside the moving heart."""

from collections.abc import Sequence

from clearmr.reproduce import Options, kept
from clearmr.reproduce import deformed2self_runs as runs
from clearmr.reproduce import deformed2self_table1 as table1
from clearmr.reproduce.deformed2self_methods import ABLATIONS, LEFT
from clearmr.reproduce.deformed2self_runs import Job
from clearmr.reproduce.deformed2self_table1 import Column
from clearmr.reproduce.kept import Found
from clearmr.reproduce.published import DEFORMED2SELF_TABLE2
from clearmr.reproduce.results import Cell, Check, Results

ABOUT = "Deformed2Self, Table 2: without single-image denoising, without registration, inside the heart"
DATA = "a simulated phantom; the cine with --data FOLDER (PNG frames, or one series)"
TINY = "some core-hours"
NOTES = (
    "Data differ from the paper's (ACDC, Gaussian and Rician 10 %, mean over 100 subjects, the heart drawn by hand): "
    "PINCAT-like, not the original, whose own mask of both ventricles and their walls is the region; and the one cine "
    "that --data names, whose region is a mask of motion: where the SD over time, smoothed by 2 pixels, is above its "
    "95 % quantile, the largest piece, closed and filled.",
    "ROI-PSNR in dB (data range 1) and ROI-SSIM (7 x 7, uniform, mean inside the region) of the target frame, one draw "
    "of the noise. Cells: PSNR / SSIM. D2S is paper(): Rice's bias is left in, as published.",
    "Runs have the names and files of Table 1's: a folder that holds those (runs/d2s_*) is gone on with.",
)
LABELS = dict(zip(ABLATIONS, DEFORMED2SELF_TABLE2, strict=True))


def run(options: Options) -> Results:
    """Run what is not done yet, and put the table together. Raises InputError."""
    scale = runs.SCALES[options.scale]()
    made = runs.wanted(scale, options, tuple(ABLATIONS), scale.ablated)
    return table(made, kept.done(made, runs.work, options), options.scale)


def table(made: Sequence[Job], found: Sequence[Found], scale: str) -> Results:
    """The paper's table, with a column for each noise of each source."""
    columns: list[Column] = [
        (source, noise, LEFT) for source, noise in dict.fromkeys((job.source, job.noise) for job in made)
    ]
    head = tuple(f"{table1.KNOWN[source]}, {noise.label}" for source, noise, _ in columns)
    return Results(
        name="deformed2self-table2",
        scale=scale,
        title="Deformed2Self, Table 2: ablations inside the moving heart",
        notes=(*NOTES, _settings(made, scale)),
        columns=("method", *head, "paper's, Gaussian 10%", "paper's, Rician 10%"),
        rows=_rows(columns, found),
        checks=checks(columns, found),
        figures={"runs": [{key: one[key] for key in one if key != "settings"} for one in found]},
    )


def _settings(made: Sequence[Job], scale: str) -> str:
    steps = {job.source: job.lengths.paper.train.steps for job in made}
    targets = " and ".join(made[0].sizes.targets)
    said = ", ".join(f"{count} steps on the {table1.KNOWN[source]}" for source, count in steps.items())
    return f"Scale {scale}: {said}. Targets: the phantom's middle frame; of a cine its {targets} frame."


def _rows(columns: Sequence[Column], found: Sequence[Found]) -> tuple[tuple[Cell, ...], ...]:
    rows: list[tuple[Cell, ...]] = []
    for name, label in LABELS.items():
        ours = (table1.cell(table1.of(found, name, column), "roi_") for column in columns)
        rows.append((label, *ours, *(f"{psnr:.2f} / {ssim:.3f}" for psnr, ssim in DEFORMED2SELF_TABLE2[label])))
    return tuple(rows)


def checks(columns: Sequence[Column], found: Sequence[Found]) -> tuple[Check, ...]:
    """Each ablation loses, in every column."""
    made = []
    for name in list(ABLATIONS)[1:]:
        gains = [table1.gain("d2s", name, column, found) for column in columns]
        claim = f"{LABELS[name].removeprefix('D2S ')} loses ROI-PSNR"
        made.append(table1.everywhere(claim, gains, "roi_psnr", "dB"))
    return tuple(check for check in made if check is not None)
