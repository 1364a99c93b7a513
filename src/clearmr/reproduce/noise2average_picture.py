"""Noise2Average's tables as pictures: one slice as each method leaves it, and what is wrong with it below."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from clearmr.evaluate import diffusion
from clearmr.reproduce.kept import Found
from clearmr.reproduce.noise2average_data import Subject
from clearmr.reproduce.noise2average_runs import Job
from clearmr.reproduce.noise2average_table import LABELS
from clearmr.train import checkpoint

SHOWN = (
    "noisy", "average", "bm4d-average", "asm-average", "mppca-average", "noise2noise", "published-2", "ours-2",
    "supervised-ours",
)  # fmt: skip
WHITE = 1.2  # of white matter: shown white
WORST = 0.12  # of the signal's 1: full black or white of a difference
FA_WORST, DEGREES_WORST = 0.3, 45.0


def panels(folder: Path, made: Sequence[Job], found: Sequence[Found]) -> list[Path]:
    """A PNG for each subject in each setting that has results: image (or colour FA) above, its error below."""
    done, paths = {one["name"] for one in found}, []
    for who, setting in dict.fromkeys((job.who, job.setting) for job in made):
        chosen = [job for job in made if (job.who, job.setting) == (who, setting) and job.name in done]
        images = _images(chosen)
        if images:
            paths.append(folder / f"panel_{who}_{setting.name}.png")
            draw = _colour if chosen[0].kind == "dti" else _grey
            _panel(paths[-1], draw(chosen[0].data(), images), _figures(found, who, setting.name, chosen[0].kind))
    return paths


def _images(jobs: Sequence[Job]) -> dict[str, Tensor]:
    there: dict[str, Tensor] = {}
    for job in jobs:
        there |= checkpoint.load_tensors(job.images_file)
    return {label: there[label] for label in SHOWN if label in there}


def _figures(found: Sequence[Found], who: str, setting: str, kind: str) -> dict[str, str]:
    said: dict[str, str] = {}
    for one in found:
        if (one["subject"], one["setting"]) == (who, setting):
            for label, f in one["figures"].items():
                said[label] = (
                    f"FA {f['fa_error']:.3f}, V1 {f['v1_error']:.1f} deg" if kind == "dti" else f"{f['psnr']:.2f} dB"
                )
    return said


def _grey(who: Subject, images: Mapping[str, Tensor]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The middle slice (0 to 1, grey), and the difference from the clean one."""
    z = who.clean.shape[1] // 2
    clean = who.clean[0, z].numpy()
    parts = {"clean": (clean / WHITE, np.full_like(clean, 0.5))}
    for label, image in images.items():
        values = image[0, z].numpy()
        parts[label] = values / WHITE, (values - clean) / (2 * WORST) + 0.5
    return parts


def _colour(who: Subject, images: Mapping[str, Tensor]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The middle slice's directions weighted by FA; the error of FA below, grey where none or no white matter."""
    assert who.maps is not None and who.bvals is not None and who.bvecs is not None and who.white is not None
    z = who.clean.shape[1] // 2
    cut = (slice(None), slice(z, z + 1))
    brain, white = who.brain[z : z + 1], who.white[z]
    known = who.maps.fa[z]
    parts = {"clean": (_directions(who.maps, z) * brain[0].numpy()[..., None], np.full(known.shape, 0.5))}
    for label, image in images.items():
        maps = diffusion.fit_dti(image[cut], who.bvals, who.bvecs, brain)
        error = np.where(white, (maps.fa[0] - known) / (2 * FA_WORST) + 0.5, 0.5)
        parts[label] = _directions(maps, 0), error
    return parts


def _directions(maps: diffusion.DtiMaps, z: int) -> np.ndarray:
    return np.clip(np.moveaxis(np.abs(maps.v1[:, z]), 0, -1) * maps.fa[z][..., None] * 1.3, 0, 1)


def _panel(path: Path, parts: Mapping[str, tuple[np.ndarray, np.ndarray]], said: Mapping[str, str]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.3 * len(parts), 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    for column, (label, images) in enumerate(parts.items(), 1):
        for row, image in enumerate(images):
            axes = figure.add_subplot(2, len(parts), row * len(parts) + column)
            axes.imshow(image[::-1], cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
            axes.set_axis_off()
            if row == 0:
                name = LABELS.get(label, label).replace("Noise2Average, our", "our").replace("Noise2Average as ", "as ")
                name = name.replace(", ", ",\n").replace(" of the ", "\nof the ")
                axes.set_title(f"{name}\n{said.get(label, '')}", fontsize=8)
    figure.savefig(path, dpi=110)
