"""A still picture of the results: noisy | denoised | difference / noise SD | g-factor. matplotlib, no torch."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure

from clearmr.files import whole_file
from clearmr.report.ramps import DIFFERENCE, GMAP, ramp
from clearmr.report.results import Results
from clearmr.report.values import SIGMAS, difference, four_axes, gmap_scale, shown, window

_NIGHT, _INK, _MUTED = "#0b0d10", "#e3e7ea", "#9aa5af"
_HIGH = 3.2  # inches of a picture


def panel(results: Results, path: str | Path, *, frame: int = 0, z: int | None = None, force: bool = False) -> Path:
    """Draw one frame and slice (the middle one where `z` is None) of `results` as PNG at `path`; gives it back.

    Noisy and denoised share one window; the difference is in units of noise_sd, -4 to 4. Raises InputError where
    `path` exists and `force` is not set, IndexError where there is no such frame or slice.
    """
    z = results.noisy.shape[1] // 2 if z is None else z
    figure = _figure(results, *_planes(results, frame, z))
    with whole_file(path, force=force) as temporary:
        FigureCanvasAgg(figure)
        figure.savefig(temporary, format="png", facecolor=_NIGHT, metadata={"Software": None})
    return Path(path)


def _planes(results: Results, frame: int, z: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    arrays = (results.noisy, results.denoised, four_axes(results.noise_sd), four_axes(results.gmap))
    whole = (np.broadcast_to(array, results.noisy.shape) for array in arrays)
    noisy, denoised, noise_sd, gmap = (array[frame, z][None, None] for array in whole)
    removed = difference(noisy, denoised, noise_sd)
    return shown(noisy)[0, 0], shown(denoised)[0, 0], removed[0, 0], gmap[0, 0]


def _figure(results: Results, noisy: np.ndarray, denoised: np.ndarray, removed: np.ndarray, gmap: np.ndarray) -> Figure:
    """Four pictures in a row, a colour bar under the last two."""
    _, dy, dx = results.spacing
    height, width = noisy.shape
    wide = _HIGH * width * dx / (height * dy)
    figure = Figure(figsize=(4 * wide + 0.75, _HIGH + 0.95), dpi=150, facecolor=_NIGHT)
    grid = {"left": 0.15, "right": 4 * wide + 0.60, "top": _HIGH + 0.55, "bottom": 0.55}
    across, high = figure.get_size_inches()
    edges = {k: v / (across if k in ("left", "right") else high) for k, v in grid.items()}
    axes = figure.subplots(1, 4, gridspec_kw=edges | {"wspace": 0.15 / wide})
    low, top = window(denoised)
    g = gmap_scale(gmap)
    _draw(axes[0], noisy, "Noisy", "gray", (low, top), dy / dx)
    _draw(axes[1], denoised, "Denoised", "gray", (low, top), dy / dx)
    _draw(axes[2], removed, "Difference / noise SD", _colours(DIFFERENCE), (-SIGMAS, SIGMAS), dy / dx)
    _draw(axes[3], gmap, "g-factor", _colours(GMAP), (g.bottom, g.top), dy / dx)
    for axis in axes[2:]:
        _colour_bar(figure, axis)
    return figure


def _colours(stops: tuple[str, ...]) -> ListedColormap:
    return ListedColormap((ramp(stops) / 255).tolist())


def _draw(
    axis: Axes, values: np.ndarray, title: str, colours: str | Colormap, limits: tuple[float, float], aspect: float
) -> None:
    axis.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1], aspect=aspect, interpolation="bilinear")
    axis.set_title(title, color=_INK, fontsize=11, loc="left", pad=6)
    axis.set_axis_off()


def _colour_bar(figure: Figure, axis: Axes) -> None:
    bar = figure.colorbar(axis.images[0], cax=axis.inset_axes((0, -0.055, 0.75, 0.025)), orientation="horizontal")
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(colors=_MUTED, labelsize=8, length=0)
