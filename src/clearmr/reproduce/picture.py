"""Table 2 as a picture: PSNR per network and scheme, bars in the paper's order, SD over seeds as whiskers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from clearmr.reproduce.results import Spread

COLOURS = ("#1b6ca8", "#5aa9c9", "#e0a458", "#b5473c")


def bars(
    path: Path, networks: Sequence[str], schemes: Mapping[str, Sequence[Spread | None]], *, noisy: float, title: str
) -> None:
    """Write a PNG: for each network one bar per scheme (its label: a spread per network), the noisy PSNR as a line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(9.0, 1.5 * len(networks) + 1.5), 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    width = 0.8 / len(schemes)
    for k, (label, spreads) in enumerate(schemes.items()):
        places = [index + (k - (len(schemes) - 1) / 2) * width for index in range(len(networks))]
        known = [(place, spread) for place, spread in zip(places, spreads, strict=True) if spread is not None]
        axes.bar(
            [place for place, _ in known],
            [spread.mean for _, spread in known],
            width * 0.92,
            yerr=[spread.sd or 0.0 for _, spread in known] if any(spread.sd for _, spread in known) else None,
            color=COLOURS[k % len(COLOURS)],
            ecolor="#333333",
            capsize=2,
            label=label,
        )
    axes.axhline(noisy, color="#777777", linewidth=1, linestyle="--", label="noisy")
    means = [spread.mean for spreads in schemes.values() for spread in spreads if spread is not None]
    axes.set_ylim(min([*means, noisy]) - 1.0, max(means) + 1.0)
    axes.set_xticks(range(len(networks)), networks)
    axes.set_ylabel("PSNR in dB (MAX 2048, SNR units)")
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=len(schemes) + 1, fontsize=8)
    figure.savefig(path, dpi=150)
