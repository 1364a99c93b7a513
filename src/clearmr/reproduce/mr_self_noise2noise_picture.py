"""MR-self Noise2Noise's Table 2 as pictures: gain by noise level for every network, and one slice before and after."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from clearmr.reproduce.mr_self_noise2noise_found import Found
from clearmr.reproduce.published import NOISE_LEVELS, SELF_NOISE2NOISE_TABLE2
from clearmr.reproduce.results import Spread
from clearmr.train import checkpoint

COLOURS = ("#1b6ca8", "#e0a458", "#b5473c", "#5aa9c9")
MARKERS = ("o", "s", "^", "D")
ROOM = 1.15  # beyond the brightest voxel of the white level's percentile


def curves(path: Path, found: Found, labels: Mapping[str, str]) -> None:
    """Write a PNG: mean PSNR gain over the original by added noise, a line per network, SD over subjects."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for k, net in enumerate(found.nets):
        spreads = [Spread.of(found.gains(net, "psnr", level)) for level in range(len(NOISE_LEVELS))]
        axes.errorbar(
            [level + 0.02 * (k - (len(found.nets) - 1) / 2) for level in NOISE_LEVELS],
            [spread.mean for spread in spreads],
            yerr=[spread.sd or 0.0 for spread in spreads],
            color=COLOURS[k % len(COLOURS)],
            marker=MARKERS[k % len(MARKERS)],
            markersize=4,
            capsize=2,
            label=labels[net],
        )
    axes.plot(NOISE_LEVELS, _papers(), color="#777777", linestyle="--", label="the paper's (its own data)")
    axes.axhline(0, color="#333333", linewidth=0.8)
    axes.set_xlabel("noise added to k-space, in SDs of the scan's own")
    axes.set_ylabel("PSNR gain over the original in dB")
    axes.set_title("Trained on split routine scans: gain by noise level")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def _papers() -> list[float]:
    before, after, _ = SELF_NOISE2NOISE_TABLE2["PSNR (dB)"]
    return [float(a.split()[0]) - float(b.split()[0]) for b, a in zip(before, after, strict=True)]


def slices(path: Path, tensors: Path) -> None:
    """Write a PNG: truth, original and denoised of one slice at two noise levels, and what each lacks of the truth."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = {name: values.numpy() for name, values in checkpoint.load_tensors(tensors).items()}
    numbers = sorted(int(name.removeprefix("original")) for name in found if name.startswith("original"))
    truth = found["truth"]
    white = ROOM * float(np.percentile(truth, 99))
    figure = Figure(figsize=(12.5, 2.9 * len(numbers)), layout="constrained")
    FigureCanvasAgg(figure)
    for row, number in enumerate(numbers):
        original, denoised = found[f"original{number}"], found[f"denoised{number}"]
        limit = float(np.percentile(np.abs(original - truth), 99.5))
        panels = (
            ("noise-free truth", truth, white),
            (f"original, + {NOISE_LEVELS[number]:g}σ", original, white),
            ("sN2N", denoised, white),
            (f"original - truth, black to white ±{limit:.1f}", original - truth, None),
            ("sN2N - truth, the same scale", denoised - truth, None),
        )
        for column, (title, values, top) in enumerate(panels):
            axes = figure.add_subplot(len(numbers), len(panels), row * len(panels) + column + 1)
            low, high = (-limit, limit) if top is None else (0.0, top)
            axes.imshow(values, cmap="gray", vmin=low, vmax=high, origin="upper")
            axes.set_title(title, fontsize=9)
            axes.set_axis_off()
    figure.savefig(path, dpi=130)
