"""The page of many scans: thumbnails, the verdict of each, a table that sorts, and a page of each beside it."""

import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from clearmr.errors import InputError
from clearmr.files import refuse_existing, whole_file, whole_folder
from clearmr.report import tables
from clearmr.report.page import render
from clearmr.report.pictures import data_uri
from clearmr.report.ramps import DIFFERENCE, ramp
from clearmr.report.results import VERDICTS, Results
from clearmr.report.shell import read, shell
from clearmr.report.tables import text
from clearmr.report.trust import DOUBTS, badge, ordered
from clearmr.report.values import SIGMAS, Scale, difference, four_axes, shown, window
from clearmr.report.words import finite, needs_care, number, verdict

_SIDE, _SMALL_SIDE, _MANY = 160, 80, 150  # pixels of a thumbnail, of many, and how many are many


@dataclass(frozen=True)
class Entry:
    """One scan of the group. `link` leads to its own page; `doubts` are its trust checks that speak against it; `care`
    tells whether it wants a second look.
    """

    title: str
    folder: str
    link: str
    verdict: str
    doubts: tuple[str, ...]
    care: bool
    trust: str
    thumbnails: tuple[str, ...]
    figures: dict[str, float | str | None]


def _silent(done: int, total: int) -> None:
    pass


def write_group(
    folders: Sequence[Path], out: Path, *, force: bool = False, progress: Callable[[int, int], object] = _silent
) -> Path:
    """Make one page of many results folders at `out`, and beside it the folder NAME_pages with a page of each.

    Raises InputError, naming the folder, where one is missing, older or broken, or where an output exists and `force`
    is not set; nothing is written then. One scan is held in memory at a time.
    """
    out = Path(out)
    pages = out.with_name(f"{out.stem}_pages")
    for path in (out, pages):
        refuse_existing(path, force=force)
    side = _SIDE if len(folders) <= _MANY else _SMALL_SIDE
    with whole_folder(pages, force=force) as temporary, whole_file(out, force=force) as page:
        entries = []
        for i, folder in enumerate(folders):
            progress(i, len(folders))
            results = _load(Path(folder))
            name = f"{i + 1:03d}-{_slug(results.title)}.html"
            (temporary / name).write_text(render(results, home=f"../{out.name}"), encoding="utf-8")
            entries.append(_entry(results, Path(folder), f"{pages.name}/{name}", side))
        page.write_text(render_group(entries), encoding="utf-8")
    return out


def render_group(entries: Sequence[Entry]) -> str:
    """The page as text."""
    names = [name for name in entries[0].figures if any(entry.figures[name] is not None for entry in entries)]
    heads = "".join(_head(name, name) for name in ["Scan", "Trust", *names])
    rows = "".join(_row(entry, names) for entry in entries)
    body = (
        f'<header class="page wide"><p class="eyebrow">ClearMR report</p><h1>{len(entries)} scans</h1>'
        f'<p class="verdict {"care" if any(e.care for e in entries) else "calm"}">{_summary(entries)}</p></header>'
        '<main class="group-page"><p class="hint-line" id="sorted" role="status">In the order they were given. '
        "A click on a head sorts, another one turns round.</p>"
        f'<table id="scans"><thead><tr>{heads}</tr></thead>{rows}</table></main>'
    )
    style = "".join(read(name) for name in ("base.css", "page.css", "group.css"))
    return shell(f"{len(entries)} scans · ClearMR report", body, style=style, script=read("group.js"), data={})


def _load(folder: Path) -> Results:
    """Results.load; what is wrong says with which of the folders."""
    try:
        return Results.load(folder)
    except InputError as error:
        expected, found, todo = error.parts
        raise InputError(expected, f"{found} ({folder})" if str(folder) not in found else found, todo) from error


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "scan"


def _entry(results: Results, folder: Path, link: str, side: int) -> Entry:
    before, after = (finite(results.snr.get(when)) for when in ("before", "after"))
    return Entry(
        title=results.title,
        folder=str(folder),
        link=link,
        verdict=verdict(results),
        doubts=tuple(f"{c['verdict']}: {c['title']}" for c in ordered(results.trust) if c["verdict"] in DOUBTS),
        care=needs_care(results),
        trust=results.trust_verdict,
        thumbnails=thumbnails(results, side),
        figures={
            "SNR before": before,
            "SNR after": after,
            "Gain": after / before if before and after else None,
            "Removed / SD": finite(results.statistics.get("sd")),
            **_against_reference(results),
            "Noise": results.noise_source,
            "Method": results.method,
            "Warnings": float(len(results.warnings)),
        },
    )


def _against_reference(results: Results) -> dict[str, float | str | None]:
    """PSNR and SSIM of noisy and denoised, where there was a reference."""
    figures: dict[str, float | str | None] = {}
    for name in ("psnr", "ssim"):
        for what, when in (("noisy", "before"), ("denoised", "after")):
            of = results.metrics.get(what)
            figures[f"{name.upper()} {when}"] = finite(of.get(name)) if isinstance(of, dict) else None
    return figures


def thumbnails(results: Results, side: int) -> tuple[str, str, str]:
    """Noisy, denoised and what was removed / noise SD, of the middle frame and slice, as data URIs."""
    at = tuple(n // 2 for n in results.noisy.shape[:2])
    arrays = (results.noisy, results.denoised, four_axes(results.noise_sd))
    noisy, denoised, sd = (np.broadcast_to(a, results.noisy.shape)[at][None, None] for a in arrays)
    low, high = window(shown(denoised))
    grey = Scale(low, high)
    colours = ramp(DIFFERENCE)[Scale(-SIGMAS, SIGMAS).encode(difference(noisy, denoised, sd))]
    pictures = [grey.encode(shown(noisy))[0, 0], grey.encode(shown(denoised))[0, 0], colours[0, 0]]
    ratio = results.spacing[1] / results.spacing[2]  # a pixel's height by its width
    noisy_uri, denoised_uri, removed_uri = (data_uri(_small(picture, side, ratio), 85) for picture in pictures)
    return noisy_uri, denoised_uri, removed_uri


def _small(picture: np.ndarray, side: int, ratio: float) -> np.ndarray:
    """`picture` with square pixels, its longer side `side`."""
    height, width = picture.shape[0] * ratio, picture.shape[1]
    by = side / max(height, width)
    size = (max(1, round(width * by)), max(1, round(height * by)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def _summary(entries: Sequence[Entry]) -> str:
    care = sum(entry.care for entry in entries)
    said = [f"{care} of {len(entries)} want a second look" if care else "None wants a second look"]
    verdicts = [entry.trust for entry in entries]
    if set(verdicts) != {"not run"}:
        said.append("trust checks: " + ", ".join(f"{verdicts.count(v)} {v}" for v in VERDICTS if v in verdicts))
    for name, words in (("Removed / SD", "median removed / noise SD"), ("Gain", "median gain of SNR")):
        values = [entry.figures[name] for entry in entries if isinstance(entry.figures[name], float)]
        if values:
            said.append(f"{words} {number(float(f'{statistics.median(values):.3g}'))}")  # type: ignore[type-var]
    return text("; ".join(said) + ".")


def _head(name: str, label: str) -> str:
    return f'<th scope="col" data-name="{text(name)}"><button type="button">{text(label)}</button></th>'


def _row(entry: Entry, names: Sequence[str]) -> str:
    images = "".join(
        f'<img src="{uri}" alt="{what}">'
        for uri, what in zip(entry.thumbnails, ("noisy", "denoised", "removed / noise SD"), strict=True)
    )
    scan = (
        f'<th scope="rowgroup" rowspan="2" data-value="{text(entry.title)}"><a href="{escape(entry.link)}">'
        f'{text(entry.title)}<span class="thumbs">{images}</span></a></th>'
    )
    trust = f'<td data-label="Trust" data-value="{VERDICTS.index(entry.trust)}">{badge(entry.trust)}</td>'
    said = f'<p class="{"care" if entry.care else "calm"}">{text(entry.verdict)}</p>'
    doubts = f"<ul>{tables.items(entry.doubts)}</ul>" if entry.doubts else ""
    below = f'{said}{doubts}<p class="folder">{text(entry.folder)}</p>'
    return (
        f"<tbody><tr>{scan}{trust}{''.join(_cell(name, entry.figures[name]) for name in names)}</tr>"
        f'<tr><td class="said" colspan="{len(names) + 1}">{below}</td></tr></tbody>'
    )


def _cell(name: str, value: float | str | None) -> str:
    if value is None:
        return f'<td data-label="{text(name)}">–</td>'
    if isinstance(value, str):
        return f'<td data-label="{text(name)}" data-value="{text(value)}">{text(value)}</td>'
    said = f"{value:.0f}" if name == "Warnings" else f"{value:#.3g}".rstrip(".")
    return f'<td data-label="{text(name)}" data-value="{value!r}">{said}</td>'
