"""The sections of the page, each a function from Results to HTML."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clearmr.report import tables
from clearmr.report.charts import histogram_svg
from clearmr.report.panes import Pane
from clearmr.report.results import Results
from clearmr.report.tables import text
from clearmr.report.words import NOISE_CAUTION, NOISE_WORDS, finite, number


def section(name: str, heading: str, body: str) -> str:
    if not body:
        return ""
    return f'<section class="{name}" aria-labelledby="{name}"><h2 id="{name}">{heading}</h2>{body}</section>'


def figures(results: Results) -> str:
    """The four numbers to see first."""
    sd = results.statistics.get("sd")
    shown = [
        ("SNR before", number(_short(results.snr.get("before"))), ""),
        ("SNR after", number(_short(results.snr.get("after"))), ""),
        ("Removed / noise SD", number(_short(sd)), ""),
        ("Noise level", results.noise_source, " alert" if results.noise_source in NOISE_CAUTION else ""),
    ]
    return "".join(
        f'<div class="figure{mark}"><dt>{name}</dt><dd>{text(value)}</dd></div>' for name, value, mark in shown
    )


def _short(value: Any) -> Any:
    plain = finite(value)
    return value if plain is None else float(f"{plain:.3g}")


def _thousandths(value: Any) -> Any:
    plain = finite(value)
    return value if plain is None else f"{plain:.3f}"


def warnings(results: Results) -> str:
    caution = NOISE_CAUTION.get(results.noise_source)
    sentences = ([caution] if caution else []) + list(results.warnings)
    body = f"<ul>{tables.items(sentences)}</ul>" if sentences else ""
    return section("warnings", "Warnings", body) or '<p class="none">No warnings.</p>'


def shape(image: np.ndarray, spacing: Sequence[float | int]) -> str:
    """Sizes of an image (frame, z, y, x) in words; spacing in mm (z, y, x)."""
    frames, slices, rows, columns = image.shape
    kind = "complex" if np.iscomplexobj(image) else "real"
    counts = [f"{n} {name}{'s' if n > 1 else ''}" for n, name in ((frames, "frame"), (slices, "slice"))]
    size = " × ".join(number(float(s)) for s in spacing)
    return f"{', '.join(counts)}, {rows} × {columns} pixels, {kind}, voxels {size} mm (z, y, x)"


def one_g(results: Results) -> str:
    """The g-factor where it is the same everywhere: a sentence says it better than a picture. Else empty."""
    return f", g-factor {number(float(results.gmap.flat[0]))} everywhere" if np.ptp(results.gmap) == 0 else ""


def strip(results: Results) -> list[Pane]:
    """The panes of the page, in their order."""
    removed = "What was removed in units of the noise SD; without structure if it is noise"
    panes = [
        Pane("noisy", "Noisy", "The image before denoising"),
        Pane("denoised", "Denoised", "The image after denoising, same window", "noisy", "Noisy (before)"),
        Pane("difference", "Difference / noise SD", removed),
    ]
    if not one_g(results):
        panes.append(Pane("gmap", "g-factor", "Map of the noise amplification"))
    if results.reference is not None:
        panes.insert(2, Pane("reference", "Reference", "The reference image, same window"))
    if results.uncertainty is not None:
        alt = "SD of each voxel of the denoised image in units of the noise SD"
        panes.append(Pane("uncertainty", "Uncertainty / noise SD", alt))
    return panes


def noise(results: Results) -> str:
    mark = " alert" if results.noise_source in NOISE_CAUTION else ""
    note = f"<p>{text(results.noise_note)}</p>" if results.noise_note else ""
    body = f'<p class="source{mark}">{NOISE_WORDS[results.noise_source]}</p>{note}'
    return section("noise", "Where the noise level comes from", body)


def removed(results: Results) -> str:
    statistics = results.statistics
    histogram = statistics.get("histogram") or {}
    edges, counts = list(histogram.get("edges", ())), list(histogram.get("counts", ()))
    chart = details = ""
    if counts:
        chart = f'<figure class="plot">{histogram_svg(edges, counts)}<figcaption>{_LEGEND}</figcaption></figure>'
        rows = [
            [f"{number(low)} to {number(high)}", c] for low, high, c in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
        numbers = tables.table(["removed / noise SD", "count"], rows, caption="Histogram")
        details = f"<details><summary>The histogram in numbers</summary>{numbers}</details>"
    body = f"{chart}<div>{_moments(statistics)}{_by_gmap(statistics.get('by_gmap') or ())}</div>{details}"
    return section("removed", "What was removed", f'<div class="columns">{body}</div>' if statistics else "")


_LEGEND = '<span class="key key-bars"></span>removed <span class="key key-line"></span>N(0, 1), pure noise'


def _moments(statistics: Mapping[str, Any]) -> str:
    ideal = {"mean": 0, "sd": 1, "kurtosis": 0}
    names = {"mean": "mean", "sd": "SD", "kurtosis": "excess kurtosis"}
    rows = [[names[key], _thousandths(statistics[key]), ideal[key]] for key in ideal if key in statistics]
    return tables.table(["(noisy − denoised) / noise SD", "found", "noise"], rows, caption="Moments") if rows else ""


def _by_gmap(bands: Any) -> str:
    rows = [[_band(b.get("g_low"), b.get("g_high")), _thousandths(b.get("sd"))] for b in bands]
    return tables.table(["g-factor", "SD of removed / noise SD"], rows, caption="By g-factor") if rows else ""


def _band(low: Any, high: Any) -> str:
    if finite(high) is None and finite(low) is not None:
        return f"{number(low)} and more"
    return f"up to {number(high)}" if low == 0 else f"{number(low)} to {number(high)}"


def snr(results: Results) -> str:
    return section("snr", "SNR", tables.pairs(results.snr))
