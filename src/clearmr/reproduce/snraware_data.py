"""Simulated series for SNRAware's Table 2: what is trained on, what the best weights are chosen on, what is judged.

No subject is in two of the three, and the phantom is only judged on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from clearmr.methods.snraware.config import NoiseConfig
from clearmr.methods.snraware.gmaps import simulated_gmaps
from clearmr.methods.snraware.leaves import dead_leaves
from clearmr.methods.snraware.noise import NoiseDraw, draw_noise
from clearmr.methods.snraware.pairs import Pair, make_pair
from clearmr.scan import SnrImage
from clearmr.simulate.phantoms import find_scene

TRAINING, CHOOSING, JUDGING = 100, 200, 300  # first seeds of subjects, coil arrays and noise
LEAST_SIGMA = 1.0  # of the noise added to what is judged: less is nearly no noise, and no task
GOLDEN = 0.618034  # its multiples, modulo 1, fill [0, 1) evenly
LENGTHS = (192, 160)  # of the frames that noise is taken to be cut from
ONE = torch.ones(1, 1, 1, 1)

Matrix = tuple[int, int, int]


@dataclass(frozen=True)
class Sizes:
    """Matrices (z, y, x) of the scenes, frames of a cine, and how many series are made."""

    flat: Matrix
    volume: Matrix
    n_frames: int
    window: int  # y and x of what is judged, from the middle
    training: int  # subjects of each scene
    leaves: int
    judged: int  # noise draws of each judged subject
    subjects: int  # judged, of each scene
    arrays: int  # simulated coil arrays, each with g maps for R = 2..8


@dataclass(frozen=True)
class Judged:
    """One series to denoise: noisy and clean (frame, y, x) complex64, noise_sd and gmap (1, y, x), SNR units."""

    scene: str
    pair: Pair


def training_images(sizes: Sizes) -> list[SnrImage]:
    """Beating hearts, heads and dead leaves, noise-free."""
    seeds = range(TRAINING, TRAINING + sizes.training)
    generator = torch.Generator().manual_seed(TRAINING)
    leaves = [_clean(dead_leaves(max(sizes.flat), generator)[:, None]) for _ in range(sizes.leaves)]
    return [_clean(scene_image(name, sizes, seed)) for name in ("cine", "brain") for seed in seeds] + leaves


def choosing_images(sizes: Sizes) -> list[SnrImage]:
    """A heart and a head of other subjects, on which the best weights of a run are chosen."""
    return [_clean(scene_image(name, sizes, CHOOSING)) for name in ("cine", "brain")]


def gmaps(sizes: Sizes, *, first_seed: int) -> Float[Tensor, "n y x"]:
    """g maps of simulated arrays: R = 1..8."""
    generator = torch.Generator().manual_seed(first_seed)
    return simulated_gmaps(sizes.arrays, generator, size=max(sizes.flat))


def scene_image(name: str, sizes: Sizes, seed: int) -> Tensor:
    """(frame, z, y, x) complex64, peak magnitude 1. A volume's slices are taken as its frames, as networks see them."""
    scene = find_scene(name)
    if name == "brain":
        volume = scene.draw(sizes.volume, n_frames=1, seed=seed)
        return volume.transpose(0, 1)
    return scene.draw(sizes.flat, n_frames=sizes.n_frames, seed=seed)


def judged_series(sizes: Sizes, noise: NoiseConfig, native_snr: tuple[float, float]) -> list[Judged]:
    """Hearts, heads and the phantom that no scheme saw, with the paper's full noise: g maps and all filters.

    Windows of `sizes.window` pixels. The peak SNR before noise is added is spread evenly over `native_snr` in its
    logarithm. The same for all schemes.
    """
    maps = gmaps(sizes, first_seed=JUDGING)
    generator = torch.Generator().manual_seed(JUDGING)
    subjects = range(JUDGING, JUDGING + sizes.subjects)
    clean = [(name, scene_image(name, sizes, seed)[:, 0]) for name in ("cine", "brain", "phantom") for seed in subjects]
    several = [one for one in clean for _ in range(sizes.judged)]
    low, high = native_snr
    levels = [low * (high / low) ** ((k * GOLDEN) % 1.0) for k in range(len(several))]
    return [
        Judged(scene, _noisy(image * snr, sizes.window, maps, noise, generator))
        for (scene, image), snr in zip(several, levels, strict=True)
    ]


def _noisy(clean: Tensor, window: int, maps: Tensor, noise: NoiseConfig, generator: torch.Generator) -> Pair:
    drawn = draw_noise(noise, len(maps), generator)
    sigma = LEAST_SIGMA + drawn.sigma * (1 - LEAST_SIGMA / noise.sigma_max)
    draw = NoiseDraw(sigma, drawn.gmap, drawn.y, drawn.x, drawn.seed)
    middle = [(n - window) // 2 for n in clean.shape[-2:]]
    cut = clean[:, middle[0] : middle[0] + window, middle[1] : middle[1] + window]
    return make_pair(cut, _window(maps[draw.gmap], cut.shape[-2:], generator), draw, lengths=LENGTHS)


def _window(gmap: Tensor, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """A random window of a map."""
    starts = [int(torch.randint(n - m + 1, (), generator=generator)) for n, m in zip(gmap.shape, shape, strict=True)]
    return gmap[starts[0] : starts[0] + shape[0], starts[1] : starts[1] + shape[1]]


def _clean(image: Tensor) -> SnrImage:
    return SnrImage(image, ONE, ONE, "given")
