"""Panes: any number of named layers on one page, with a common window, residual factor and zoom.

What every page with pictures is built from, as `compare` does: `fit` makes pictures of the layers that `images` and
`residual` give, `viewer` the HTML, and `shell` a page of it with `style`, `script` and `data`.

`Pane.swap` is the layer that a click on the pane (or the button `swap_all`, or B, for all panes at once) shows instead.
Wipe, flicker and one-large take any two layers; those they begin with are `first` and `second`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

import numpy as np

from clearmr.report.charts import colour_bar_svg
from clearmr.report.pictures import Layer, Pictures
from clearmr.report.ramps import DIFFERENCE, GMAP, ramp_hex
from clearmr.report.shell import read
from clearmr.report.tables import text
from clearmr.report.values import RESIDUAL, SIGMAS, Scale, difference, grey_scale, shown
from clearmr.report.words import number

STYLES = ("base.css", "panes.css")
SCRIPTS = ("layers.js", "zoom.js", "stage.js", "panes.js", "page.js")
WINDOW = '<span class="window-label"></span>'
_MANY = 6  # panes from which they stand in several rows
_KEYS = (
    ("Space", "play and pause"),
    ("← →", "frame"),
    ("↑ ↓", "slice"),
    ("A W F L", "side by side, wipe, flicker, one large"),
    ("B", "the other picture: before and after"),
    ("← → on the wipe", "move it; with Shift by more, Home and End to the edges"),
    ("+ −", "zoom in and out"),
    ("Shift + arrows", "move what is zoomed"),
    ("0", "the whole picture"),
    ("K", "next factor of the residual"),
    ("P", "smooth, or the pixels as they are"),
    ("Wheel", "zoom, while the pictures are in focus; with Ctrl always"),
    ("Shift + drag", "a box, also while zoomed or wiping"),
    ("?", "this list"),
)


@dataclass(frozen=True)
class Pane:
    """One picture of the strip. `layer` is what it shows, `swap` what it shows when swapped; `foot` is HTML below it.

    `alt` says the picture in words. Without `foot`: the window of an image, the colour bar of a residual or a map.
    """

    layer: str
    title: str
    alt: str
    swap: str | None = None
    swap_title: str = ""
    foot: str | None = None


def images(series: Mapping[str, np.ndarray]) -> dict[str, Layer]:
    """Layers of images (frame, z, y, x) of one unit, magnitudes where complex, all on one grey scale."""
    values = {name: shown(image) for name, image in series.items()}
    grey = grey_scale(*values.values())
    return {name: Layer(image, "grey", grey, name) for name, image in values.items()}


def residual(noisy: np.ndarray, denoised: np.ndarray, noise_sd: np.ndarray, *, label: str = "removed") -> Layer:
    """The layer of what was removed, in units of noise_sd; all three (frame, z, y, x), noise_sd broadcastable."""
    return Layer(difference(noisy, denoised, noise_sd), "difference", RESIDUAL, label, "σ")


def viewer(
    pictures: Pictures, panes: Sequence[Pane], *, label: str = "Images", swap_all: str = "Before / after"
) -> str:
    """The HTML of the panes and all their controls; one on a page. Needs `style`, `script` and `data` there too."""
    return Template(read("panes.html")).substitute(
        label=text(label),
        swap_all=text(swap_all),
        many=" many" if len(panes) > _MANY else "",
        panes="".join(_pane(pictures, pane) for pane in panes),
        legends=_legends(pictures),
        keys="".join(f"<dt>{text(key)}</dt><dd>{text(what)}</dd>" for key, what in _KEYS),
    )


def data(pictures: Pictures, *, first: str, second: str) -> dict[str, Any]:
    """What startPanes takes, as JSON holds it; `first` and `second` are the layers a wipe begins with."""
    ramps = {"difference": ramp_hex(DIFFERENCE), "gmap": ramp_hex(GMAP)}
    return pictures.data | {"ramps": ramps, "sigmas": SIGMAS, "first": first, "second": second}


def style(*more: str) -> str:
    """The CSS of panes, and of the files `more` of this folder."""
    return "".join(read(name) for name in (*STYLES, *more))


def script() -> str:
    """The JavaScript of a page with panes."""
    return "".join(map(read, SCRIPTS))


def sigma_bar(name: str) -> str:
    """The colour bar of residuals; its numbers follow the factor."""
    return colour_bar_svg(DIFFERENCE, [-SIGMAS, 0.0, SIGMAS], name, sigma=True)


def _pane(pictures: Pictures, pane: Pane) -> str:
    layer = pictures.data["layers"][pane.layer]
    foot = pane.foot if pane.foot is not None else _legend(pictures.scales[layer["scale"]], pane.layer, layer["unit"])
    swap = f' data-swap="{text(pane.swap)}" data-swap-title="{text(pane.swap_title or pane.swap)}"' if pane.swap else ""
    return (
        f'<figure class="pane" data-layer="{text(pane.layer)}" data-title="{text(pane.title)}" '
        f'data-alt="{text(pane.alt)}"{swap}><figcaption>{text(pane.title)}</figcaption>'
        f'<div class="frame"><canvas role="img" aria-label="{text(pane.alt)}"></canvas></div>'
        f'<div class="foot">{foot}</div></figure>'
    )


def _legends(pictures: Pictures) -> str:
    """Of every scale once: the stage shows those of its two layers."""
    units = {layer["scale"]: layer["unit"] for layer in pictures.data["layers"].values()}
    return "".join(
        f'<div data-scale="{text(name)}">{_legend(scale, f"stage {name}", units[name])}</div>'
        for name, scale in pictures.scales.items()
    )


def _legend(scale: Scale, name: str, unit: str) -> str:
    """What the greys or colours of a scale stand for; `name` is its own on the page."""
    if scale.ramp == "grey":
        return WINDOW
    name = "".join(c if c.isalnum() else "-" for c in name)
    if scale.ramp == "difference":
        return sigma_bar(name)
    values = (scale.bottom, (scale.bottom + scale.top) / 2, scale.top)
    return colour_bar_svg(GMAP, [f"{number(round(value, 2))}{unit}" for value in values], name)
