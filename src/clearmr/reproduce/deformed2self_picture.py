"""Deformed2Self's Table 1 as pictures: the target frame as each method leaves it, one picture for each noise."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from clearmr.reproduce.deformed2self_data import noisy
from clearmr.reproduce.deformed2self_runs import METHODS, Job
from clearmr.reproduce.kept import Found
from clearmr.train import checkpoint

COLUMNS = 4
WHITE = 0.999  # quantile of the clean frame that is shown white


def panels(folder: Path, made: Sequence[Job], found: Sequence[Found]) -> list[Path]:
    """A PNG for each noise of each source: the clean frame, and the last target of every method that is done.

    Of magnitudes with Rice's bias taken out where that is there.
    """
    done, paths = {one["name"] for one in found}, []
    for source, noise in dict.fromkeys((job.source, job.noise) for job in made):
        chosen = {job.method: job for job in made if (job.source, job.noise) == (source, noise) and job.name in done}
        if chosen:
            paths.append(folder / f"panel_{source}_{noise.name}.png")
            _panel(paths[-1], chosen, {one["name"]: one for one in found})
    return paths


def _panel(path: Path, chosen: dict[str, Job], found: dict[str, Found]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    first = next(iter(chosen.values()))
    series = first.data()
    clean = series.clean[series.targets[-1], 0]
    shown = [(f"clean, frame {series.targets[-1]}", clean)]
    shown.append((f"{first.noise.label}", noisy(series, first.noise, first.seed).image[series.targets[-1], 0]))
    shown += [_named(chosen[name], label, found) for name, label, _ in METHODS if name in chosen and name != "noisy"]
    rows = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(3.0 * COLUMNS, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    white = float(clean.flatten().quantile(WHITE))
    for place, (title, image) in enumerate(shown, 1):
        axes = figure.add_subplot(rows, COLUMNS, place)
        axes.imshow(image.numpy(), cmap="gray", vmin=0.0, vmax=white, interpolation="nearest")
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    figure.savefig(path, dpi=130)


def _named(job: Job, label: str, found: dict[str, Found]) -> tuple[str, Tensor]:
    images = checkpoint.load_tensors(job.images_file)
    bias = list(images)[-1] if len(images) == 1 else "taken"
    return f"{label}: {found[job.name]['figures'][bias]['psnr']:.2f} dB", images[bias][-1]
