"""Table 1 of Xu & Adalsteinsson 2021 (Deformed2Self): every method on a phantom and a cine, noise by noise."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from clearmr.reproduce import Options, kept
from clearmr.reproduce import deformed2self_picture as picture
from clearmr.reproduce import deformed2self_runs as runs
from clearmr.reproduce.deformed2self_data import Noise, Source
from clearmr.reproduce.deformed2self_methods import LEFT, TAKEN
from clearmr.reproduce.deformed2self_runs import Job
from clearmr.reproduce.kept import Found
from clearmr.reproduce.published import DEFORMED2SELF_COLUMNS, DEFORMED2SELF_TABLE1
from clearmr.reproduce.results import Cell, Check, Results, Spread, Table

ABOUT = "Deformed2Self, Table 1: PSNR and SSIM of eleven methods by noise, on a phantom and a cine"
DATA = "a simulated phantom; the cine with --data FOLDER (PNG frames, or one series)"
TINY = "some core-hours"
NOTES = (
    "Data differ from the paper's: PINCAT-like, not the original (drawn anew, NCAT being under a licence of its own; "
    "128 x 128 pixels of 1.5 mm, 0 to 1, the middle frame as target). The paper's cine is ACDC's, 100 subjects at ED "
    "and ES; ours is the one series that --data names, where the phases are unknown: {targets}.",
    "PSNR in dB and SSIM (7 x 7, uniform) of target frames, data range 1, nothing clipped; one draw of the noise, the "
    "same for all methods. Cells: PSNR / SSIM, the paper's in the row below.",
    "BM4D on the volume (t, y, x) stands in VBM4D's place, whose licence keeps it out. NLM, ASM and N2V are not in the "
    "paper's table, and neither are ours: scratch (nothing but the series, the noise known) and joint (the default: "
    "from the shipped network, the noise known).",
    "D2S as published is told nothing of the noise, nor are DIP, S2S and N2V; BM3D, BM4D, NLM, ASM and ours are told "
    "its level, of Poisson counts through Anscombe's transform. BM3D, DIP and S2S see the target frame, D2S five "
    "frames, N2V, BM4D, NLM, ASM and ours all.",
    "Rician: the paper leaves Rice's bias in every method's result; so do the columns that say so (BM3D, BM4D, NLM and "
    "ASM then take the noise for Gaussian). In the others it is taken out, the noise level being known.",
)
BIASES = {LEFT: "", TAKEN: ", bias taken out"}
Column = tuple[Source, Noise, str]
KNOWN = {"pincat": "PINCAT-like", "cine": "cine"}


def run(options: Options) -> Results:
    """Run what is not done yet, and put the table together. Raises InputError."""
    scale = runs.SCALES[options.scale]()
    made = runs.wanted(scale, options, [name for name, _, _ in runs.METHODS], scale.noises)
    found = kept.done(made, runs.work, options)
    picture.panels(options.folder, made, found)
    return table(made, found, options.scale)


def table(made: Sequence[Job], found: Sequence[Found], scale: str) -> Results:
    """The phantom's table, and below it the cine's where there is one, and how long each method took."""
    sources = list(dict.fromkeys(job.source for job in made))
    first, *others = [_columns(made, source) for source in sources]
    more = [
        Table(_title(source), _head(columns), _rows(columns, found))
        for source, columns in zip(sources[1:], others, strict=True)
    ]
    more.append(
        Table(
            "CPU seconds for the target frames of one noise, as other work on the machine let them be",
            ("method", *(KNOWN[source] for source in sources)),
            _seconds(sources, found),
        )
    )
    return Results(
        name="deformed2self-table1",
        scale=scale,
        title=f"Deformed2Self, Table 1: {_title(sources[0])}",
        notes=(*notes(made), settings(made, scale), *missing()),
        columns=_head(first),
        rows=_rows(first, found),
        checks=checks([column for columns in (first, *others) for column in columns], found),
        figures={"runs": [{key: one[key] for key in one if key != "settings"} for one in found]},
        more=tuple(more),
    )


def notes(made: Sequence[Job]) -> tuple[str, ...]:
    """Where data and methods differ from the paper's."""
    targets = " and ".join(made[0].sizes.targets)
    head, *others = NOTES
    return (head.format(targets=f"its {targets} frame"), *others)


def settings(made: Sequence[Job], scale: str) -> str:
    """Sizes and lengths of what was run."""
    said = []
    for source in dict.fromkeys(job.source for job in made):
        job = next(job for job in made if job.source == source)
        lengths, sizes = job.lengths, job.sizes
        _, _, *plane = job.data().clean.shape
        cut = ", cut round the heart" if source == "cine" and sizes.crop else ""
        learnt = lengths.paper.train
        said.append(
            f"{KNOWN[source]}: {len(job.data().clean)} frames of {plane[0]} x {plane[1]}{cut}; "
            f"D2S {learnt.steps} steps and {learnt.passes} passes, DIP {lengths.dip or 1800}, "
            f"S2S {lengths.self2self or 4000}, N2V {lengths.noise2void or 3000} steps"
        )
    return f"Scale {scale}. {'. '.join(said)}. Lengths of DIP and S2S were chosen on the phantom of another seed."


def missing() -> tuple[str, ...]:
    """A line for each method whose package is not there."""
    named = {label: runs.absent(name) for name, label, _ in runs.METHODS}
    return tuple(f"{label} has a dash: {why}." for label, why in named.items() if why)


def _title(source: Source) -> str:
    return "PINCAT-like phantom" if source == "pincat" else "real cine"


def _columns(made: Sequence[Job], source: Source) -> list[Column]:
    """Of Rician noise two: as published, and with the bias taken out."""
    noises = dict.fromkeys(job.noise for job in made if job.source == source)
    return [(source, noise, bias) for noise in noises for bias in BIASES if bias == LEFT or noise.kind == "rician"]


def _head(columns: Sequence[Column]) -> tuple[str, ...]:
    return ("method", "whose", *(label_of(noise, bias) for _, noise, bias in columns))


def label_of(noise: Noise, bias: str) -> str:
    """Of a column; of Rician noise also what became of the bias."""
    return noise.label + (", bias left" if noise.kind == "rician" and bias == LEFT else BIASES[bias])


def _rows(columns: Sequence[Column], found: Sequence[Found]) -> tuple[tuple[Cell, ...], ...]:
    rows: list[tuple[Cell, ...]] = []
    for name, label, printed in runs.METHODS:
        rows.append((label, "ours", *(cell(of(found, name, column)) for column in columns)))
        if printed:
            rows.append(("", f"paper's {printed}", *(_paper(printed, column) for column in columns)))
    return tuple(rows)


def of(found: Sequence[Found], name: str, column: Column) -> dict[str, float] | None:
    """Figures of a method in a column; None where there are none."""
    source, noise, bias = column
    for one in found:
        if (one["method"], one["source"], one["noise"]) == (name, source, noise.name):
            figures: dict[str, float] | None = one["figures"].get(bias)
            return figures
    return None


def cell(figures: dict[str, float] | None, prefix: str = "") -> str | None:
    """PSNR / SSIM."""
    return figures and f"{figures[f'{prefix}psnr']:.2f} / {figures[f'{prefix}ssim']:.3f}"  # type: ignore[return-value]


def _paper(printed: str, column: Column) -> str | None:
    source, noise, bias = column
    places = DEFORMED2SELF_COLUMNS[source]
    if bias != LEFT or (noise.kind, noise.level) not in places:
        return None
    psnr, ssim = DEFORMED2SELF_TABLE1[source][printed][places.index((noise.kind, noise.level))]
    return f"{psnr:.2f} / {ssim:.3f}"


def _seconds(sources: Sequence[Source], found: Sequence[Found]) -> tuple[tuple[Cell, ...], ...]:
    def mean(name: str, source: Source) -> float | None:
        values = [one["cpu_seconds"] for one in found if (one["method"], one["source"]) == (name, source)]
        return fmean(values) if values else None

    return tuple((label, *(mean(name, source) for source in sources)) for name, label, _ in runs.METHODS[1:])


def checks(columns: Sequence[Column], found: Sequence[Found]) -> tuple[Check, ...]:
    """What the paper found, and what our default is for; by PSNR, in the column where it is least."""
    claims = (
        ("d2s", "self2self", "D2S better than S2S"),
        ("d2s", "bm3d", "D2S better than BM3D frame by frame"),
        ("d2s", "bm4d", "D2S better than BM4D, of which the paper says so of VBM4D but for low Gaussian noise"),
        ("joint", "bm4d", "our default better than BM4D"),
        ("joint", "d2s", "our default better than D2S as published"),
    )
    made = [_better(claim, a, b, columns, found) for a, b, claim in claims]
    return tuple(check for check in made if check is not None)


def _better(claim: str, a: str, b: str, columns: Sequence[Column], found: Sequence[Found]) -> Check | None:
    return everywhere(claim, [gain(a, b, column, found) for column in columns], "psnr", "dB")


def gain(a: str, b: str, column: Column, found: Sequence[Found]) -> dict[str, Any] | None:
    """Figures of one method less another's in a column that both have."""
    one, other = of(found, a, column), of(found, b, column)
    return {key: one[key] - other[key] for key in one} if one and other else None


def everywhere(claim: str, gains: Sequence[dict[str, Any] | None], key: str, unit: str) -> Check | None:
    """Holds where the gain is over 0 in every column that there is; None where there is none."""
    values = [one[key] for one in gains if one is not None]
    if not values:
        return None
    said = f"{claim} in {'the column' if len(values) == 1 else f'all {len(values)} columns'} ({unit}, the least)"
    return Check(said, min(values) > 0, Spread.of([min(values)]))
