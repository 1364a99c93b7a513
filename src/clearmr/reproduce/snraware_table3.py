"""Table 3 of Xue et al. 2025 (SNRAware): SNR and CNR of blood and wall before and after, by pseudo-replicas."""

from dataclasses import dataclass
from typing import Any

from clearmr import evaluate, road
from clearmr.denoiser import Denoiser
from clearmr.reproduce import Options, published
from clearmr.reproduce.heart import BLOOD, MYOCARDIUM, Heart, Scan, perfusion, realtime_cine
from clearmr.reproduce.results import Cell, Results, Spread

ABOUT = "SNRAware, Table 3: SNR and CNR gains in real-time cine and perfusion, by pseudo-replicas"
DATA = "simulated"
TINY = "4 minutes on a core"
CINE, PERFUSION = "real-time cine, R=5", "perfusion, R=4"
FIRST_SEED = 400  # of subjects that are in no training
NOTES = (
    "Data differ from the paper's (10 patients of each kind): simulated hearts, raw data of 16 coils, reconstructed by "
    "GRAPPA in SNR units; blood and wall from the geometry that was drawn.",
    "SNR of a region: mean signal over mean noise SD, over replicas. CNR: 2 (S_a - S_b) / (n_a + n_b), the paper's "
    "formula; the CNR printed in the paper's table is to the last digit the difference of the two SNRs.",
    "Each replica is the series with as much noise added as is in it, and the denoiser is told so: it works at an SNR "
    "that is lower by sqrt(2) than the series' own.",
    "Paired t-test over series, two-sided.",
)


@dataclass(frozen=True)
class Scale:
    """Scans, replicas, and series of each kind."""

    cine: Scan
    perfusion: Scan
    series: int
    replicas: int


SCALES = {
    "tiny": Scale(Scan((1, 80, 80), 10, 16, 5, 120.0), Scan((1, 80, 80), 10, 16, 4, 50.0), series=3, replicas=8),
    "full": Scale(Scan((1, 192, 192), 30, 16, 5, 120.0), Scan((1, 192, 192), 60, 16, 4, 50.0), series=10, replicas=64),
}
Figures = dict[str, list[tuple[float, float]]]  # (before, after) of each series


def run(options: Options) -> Results:
    """Denoise the replicas of every series with `options.model` (default: the bundled one). Raises InputError."""
    scale = SCALES[options.scale]
    denoiser = road.denoiser(model=options.model, device=options.device)
    kinds = {CINE: (realtime_cine, scale.cine), PERFUSION: (perfusion, scale.perfusion)}
    total = len(kinds) * scale.series
    found: dict[str, Figures] = {}
    for k, (kind, (make, scan)) in enumerate(kinds.items()):
        figures: Figures = {}
        for index in range(scale.series):
            gains = _gains(make(scan, FIRST_SEED + options.seed + index), denoiser, scale.replicas, options.seed)
            for key, pair in gains.items():
                figures.setdefault(key, []).append(pair)
            options.progress(k * scale.series + index + 1, total)
        found[kind] = figures
    return table(found, options.scale, denoiser.name, scale)


def _gains(heart: Heart, denoiser: Denoiser, replicas: int, seed: int) -> dict[str, tuple[float, float]]:
    """(before, after) of each SNR, of the CNR, and the regions' median g."""
    gains = evaluate.denoiser_gains(heart.image, denoiser, heart.regions, replicas=replicas, seed=seed)
    contrast = gains.contrasts[0]
    assert (contrast.a, contrast.b) == (BLOOD, MYOCARDIUM)
    snr = {f"SNR {region.name}": region.snr for region in gains.regions}
    return {**snr, f"CNR {contrast.a} - {contrast.b}": contrast.cnr}


def table(found: dict[str, Figures], scale_name: str, model: str, scale: Scale) -> Results:
    """A row per kind of series and figure: mean and SD before and after, gain, p, and the paper's."""
    rows = [_row(kind, key, pairs) for kind, figures in found.items() for key, pairs in figures.items()]
    size = f"Scale {scale_name}: {scale.series} series of each kind, {scale.replicas} replicas, model {model}."
    return Results(
        name="snraware-table3",
        scale=scale_name,
        title="SNRAware, Table 3: SNR and CNR before and after denoising",
        notes=(*NOTES, size),
        columns=("series", "figure", "before", "after", "gain", "p", "paper's before", "paper's after", "paper's p"),
        rows=tuple(rows),
        figures={"series": _plain(found)},
    )


def _row(kind: str, key: str, pairs: list[tuple[float, float]]) -> tuple[Cell, ...]:
    before, after = (Spread.of([pair[k] for pair in pairs]) for k in (0, 1))
    p = evaluate.paired_t_test(*zip(*pairs, strict=True)).p if len(pairs) > 1 else None
    printed = published.TABLE3[kind][key]
    gain = f"x {after.mean / before.mean:.2f}"
    return (kind, key, before.text(2), after.text(2), gain, None if p is None else f"{p:.2g}", *printed)


def _plain(found: dict[str, Figures]) -> dict[str, Any]:
    return {
        kind: {key: [{"before": b, "after": a} for b, a in pairs] for key, pairs in figures.items()}
        for kind, figures in found.items()
    }
