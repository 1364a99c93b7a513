"""The sections of the page, each a function from Results to HTML."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from clearmr.report import tables
from clearmr.report.charts import colour_bar_svg, histogram_svg
from clearmr.report.panes import Pane
from clearmr.report.pictures import Pictures, data_uri
from clearmr.report.ramps import GMAP, ramp
from clearmr.report.results import Results
from clearmr.report.tables import text
from clearmr.report.values import Scale
from clearmr.report.words import NOISE_CAUTION, NOISE_WORDS, finite, number

_MAP_SIDE = 256  # pixels: two maps stay small beside the sheets


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


def shape(results: Results) -> str:
    frames, slices, rows, columns = results.noisy.shape
    kind = "complex" if np.iscomplexobj(results.noisy) else "real"
    counts = [f"{n} {name}{'s' if n > 1 else ''}" for n, name in ((frames, "frame"), (slices, "slice"))]
    size = " × ".join(number(float(s)) for s in results.spacing)
    g = f", g-factor {number(float(results.gmap.flat[0]))} everywhere" if _one_g(results) else ""
    return f"{', '.join(counts)}, {rows} × {columns} pixels, {kind}, voxels {size} mm (z, y, x){g}"


def strip(pictures: Pictures, results: Results) -> list[Pane]:
    """The panes of the page, in their order."""
    removed = "What was removed in units of the noise SD; without structure if it is noise"
    panes = [
        Pane("noisy", "Noisy", "The image before denoising"),
        Pane("denoised", "Denoised", "The image after denoising, same window", "noisy", "Noisy (before)"),
        Pane("difference", "Difference / noise SD", removed),
    ]
    if not _one_g(results):
        foot = _map_foot(pictures.scales["gmap"], "gmap")
        panes.append(Pane("gmap", "g-factor", "Map of the noise amplification", foot=foot))
    if results.reference is not None:
        panes.insert(2, Pane("reference", "Reference", "The reference image, same window"))
    if results.uncertainty is not None:
        foot = _map_foot(pictures.scales["uncertainty"], "uncertainty", unit="σ")
        alt = "SD of each voxel of the denoised image in units of the noise SD"
        panes.append(Pane("uncertainty", "Uncertainty / noise SD", alt, foot=foot))
    return panes


def _one_g(results: Results) -> bool:
    """Whether g is the same everywhere: a sentence says it better than a picture."""
    return bool(np.ptp(results.gmap) == 0)


def _map_foot(scale: Scale, name: str, unit: str = "") -> str:
    values = (scale.bottom, (scale.bottom + scale.top) / 2, scale.top)
    return colour_bar_svg(GMAP, [f"{number(round(value, 2))}{unit}" for value in values], name)


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
    body = tables.pairs(results.snr)
    return section("snr", "SNR", f'<div class="columns">{_snr_maps(results)}<div>{body}</div></div>' if body else "")


def _snr_maps(results: Results) -> str:
    maps = {"before": results.snr_before, "after": results.snr_after}
    step = -(-max(results.noisy.shape[2:]) // _MAP_SIDE)
    middle = {when: v[v.shape[0] // 2, ::step, ::step] for when, v in maps.items() if v is not None}
    if not middle:
        return ""
    top = max(float(np.nanpercentile(values, 99.5)) for values in middle.values()) or 1.0
    colours = ramp(GMAP)
    pictures = "".join(
        f'<figure><img src="{data_uri(colours[Scale(0.0, top).encode(np.nan_to_num(values))])}" '
        f'alt="SNR map {when} denoising, middle slice"><figcaption>{when}</figcaption></figure>'
        for when, values in middle.items()
    )
    bar = colour_bar_svg(GMAP, ["0", number(_short(top / 2)), number(_short(top))], "snr")
    return f'<div class="maps">{pictures}{bar}</div>'
