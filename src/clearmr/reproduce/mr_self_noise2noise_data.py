"""Who is scanned for MR-self Noise2Noise's Table 2, and what is made of it: pairs to learn from, scans to judge.

No subject is in two of training, validation and judging. All are volumes seen by simulated coils, 3D, with noise.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from clearmr import evaluate, formats, fourier, recon, simulate
from clearmr.errors import InputError
from clearmr.methods.mr_self_noise2noise import pairs
from clearmr.methods.mr_self_noise2noise.config import HalfPair, SplitConfig
from clearmr.reproduce.published import NOISE_LEVELS
from clearmr.scan import SnrImage
from clearmr.train import checkpoint
from clearmr.train.subjects import subject_of

TRAINING, VALIDATION, JUDGING, OTHERS = 1000, 2000, 3000, 4000  # first seeds: anatomy, coils and noise
ACCELERATION = (2, 1)  # R of k1 and k2: the paper's 2 x 1
HEAD = 0.05  # of the largest noise-free signal: where the head begins
VARIETY = 1.0  # heads as different as people's

PARTS = ("truth", "noisy", "head", "brain")  # of `Judged`

Matrix = tuple[int, int, int]


@dataclass(frozen=True)
class Sizes:
    """Matrices (z, y, x), coils, ACS lines, and how many simulated subjects of each kind there are.

    snr: mean over the head of a fully sampled scan of `matrix` without added noise; finer voxels have less.
    other: the matrix of what is judged at another resolution.
    """

    matrix: Matrix
    other: Matrix
    coils: int
    acs: int
    snr: float
    training: int
    validation: int
    judged: int


@dataclass(frozen=True)
class Subject:
    """A simulated head, or the volume in a file; `seed` also of its coils, phase and noise."""

    name: str
    seed: int
    matrix: Matrix
    contrast: str = "t1"
    path: Path | None = None


@dataclass(frozen=True)
class Roles:
    """Who is trained on, validated on, judged in the table, and judged as another contrast or resolution."""

    training: tuple[Subject, ...]
    validation: tuple[Subject, ...]
    judged: tuple[Subject, ...]
    others: tuple[Subject, ...]


@dataclass(frozen=True)
class Judged:
    """One subject to judge, images (1, z, y, x), in the SNR unit of its fully sampled scan without added noise.

    truth, noisy    magnitudes: noise-free, and the fully sampled scan with its noise (the paper's reference)
    head, brain     where the figures and the tissues are counted
    levels          (original in its own SNR unit, factor that takes it to this unit) at each of NOISE_LEVELS
    """

    truth: Float[Tensor, "1 z y x"]
    noisy: Float[Tensor, "1 z y x"]
    head: Bool[Tensor, "1 z y x"]
    brain: Bool[Tensor, "1 z y x"]
    levels: tuple[tuple[SnrImage, float], ...]


def roles(sizes: Sizes, data: Sequence[Path] = ()) -> Roles:
    """Simulated heads, and with `data` its T1-weighted volumes in turn: the first is trained on, the second judged ...

    Series (several frames) are judged as another contrast. Raises InputError for raw data, an image of fewer than 8
    slices, and two files of one subject, which could be trained on and judged.
    """
    given = [(path, _shape(path)) for path in data]
    volumes = [path for path, shape in given if shape[0] == 1]
    series = [path for path, shape in given if shape[0] > 1]
    trained, judged = volumes[::2], volumes[1::2]
    names = [subject_of(path) for path in data]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError("--data of different subjects", f"{min(twice)} twice", "give one file of each")
    return Roles(
        (*_heads("train", TRAINING, sizes.training, sizes.matrix), *_files(trained, TRAINING, sizes.matrix)),
        _heads("validate", VALIDATION, sizes.validation, sizes.matrix),
        (*_heads("judge", JUDGING, sizes.judged, sizes.matrix), *_files(judged, JUDGING, sizes.matrix)),
        (
            Subject("T2-weighted", OTHERS, sizes.matrix, "t2"),
            Subject("vessel wall, black blood, finer", OTHERS + 1, sizes.other, "black-blood"),
            *_files(series, OTHERS, sizes.matrix),
        ),
    )


def _heads(kind: str, first: int, count: int, matrix: Matrix) -> tuple[Subject, ...]:
    return tuple(Subject(f"{kind}-{seed}", seed, matrix) for seed in range(first, first + count))


def _files(paths: Sequence[Path], first: int, matrix: Matrix) -> tuple[Subject, ...]:
    return tuple(Subject(subject_of(path), first + 500 + k, matrix, path=path) for k, path in enumerate(paths))


def _shape(path: Path) -> tuple[int, ...]:
    loaded = formats.load(path)
    if not isinstance(loaded, SnrImage):
        raise InputError("volumes with --data", f"raw data in {path}", "reconstruct it first: clearmr recon")
    if loaded.image.shape[1] < 8:
        raise InputError("volumes of at least 8 slices with --data", f"{tuple(loaded.image.shape)} in {path}", "use 3D")
    return tuple(loaded.image.shape)


def learnt_from(subject: Subject, sizes: Sizes, split: SplitConfig) -> tuple[list[HalfPair], list[HalfPair]]:
    """Pairs of a subject's routine scan (R = 2 x 1), and the same with the noise-free magnitude as the second image."""
    scan = scanned(subject, sizes, acceleration=ACCELERATION, acs=sizes.acs)
    made = list(pairs.split(scan.scan, split))
    # A half holds 1 / (R of the scan x lines per half) of the lines, and its SNR the root of that.
    unit = (ACCELERATION[0] * ACCELERATION[1] * split.factor) ** -0.5
    clean = (scan.snr * unit).to(torch.complex64)
    return made, [_labelled(pair, clean) for pair in made]


def _labelled(pair: HalfPair, clean: Tensor) -> HalfPair:
    """The pair with a noise-free label: no noise_sd says so, and it is never an input."""
    return dataclasses.replace(
        pair, second=dataclasses.replace(pair.second, image=clean, noise_sd=torch.zeros(1, 1, 1, 1))
    )


def judged(subject: Subject, sizes: Sizes) -> Judged:
    """A fully sampled scan, and what is made of it: R = 2 x 1, with no more noise and with up to 3 times its own."""
    full = scanned(subject, sizes)
    levels = []
    for level, scan in simulate.noise_ladder(
        full.scan, levels=NOISE_LEVELS, acceleration=ACCELERATION, acs=sizes.acs, seed=subject.seed
    ):
        # SNR units tell signal over noise: more noise is less signal, and half of the lines its root.
        factor = (ACCELERATION[0] * ACCELERATION[1] * (1 + level**2)) ** 0.5
        levels.append((recon.reconstruct(scan), factor))
    head = _filled(full.truth.abs()[0] > HEAD * full.truth.abs().max())
    return Judged(
        truth=full.snr,
        noisy=recon.reconstruct(full.scan).image.abs(),
        head=head[None],
        brain=_brain(subject, full)[None],
        levels=tuple(levels),
    )


def scanned(
    subject: Subject, sizes: Sizes, *, acceleration: tuple[int, int] = (1, 1), acs: int = 24
) -> simulate.Simulated:
    """The subject seen by simulated coils, with noise; its SNR falls with the root of how many voxels there are."""
    fewer = float(np.prod(sizes.matrix) / np.prod(subject.matrix)) ** 0.5
    options = {
        "n_coils": sizes.coils,
        "acceleration": acceleration,
        "acs": acs,
        "oversampling": 1,
        "snr": sizes.snr * fewer,
        "seed": subject.seed,
    }
    if subject.path is None:
        return simulate.simulate("brain", matrix=subject.matrix, variety=VARIETY, contrast=subject.contrast, **options)
    volume, fov = volume_of(subject.path, subject.matrix)
    return simulate.scan_of(volume, fov=fov, name=subject.name, **options)


def volume_of(path: Path, matrix: Matrix) -> tuple[Float[Tensor, "1 z y x"], tuple[float, float, float]]:
    """The mean over frames of a file's magnitudes, no finer than `matrix` (k-space cropped), and its FOV in mm."""
    loaded = formats.load(path)
    assert isinstance(loaded, SnrImage)
    volume = loaded.image.abs().to(torch.float32).mean(0)
    fov = tuple(n * size for n, size in zip(volume.shape, loaded.spacing, strict=True))
    kspace = fourier.to_kspace(volume.to(torch.complex64), (0, 1, 2))
    for dim, size in enumerate(matrix):
        kspace = fourier.crop_or_pad(kspace, min(size, kspace.shape[dim]), dim)
    return fourier.to_image(kspace, (0, 1, 2)).abs()[None], (fov[0], fov[1], fov[2])


def _brain(subject: Subject, full: simulate.Simulated) -> Bool[Tensor, "z y x"]:
    """Inside the skull: as it was drawn; of a real volume as it is found."""
    if subject.path is None:
        return simulate.brain_tissues(subject.matrix, seed=subject.seed, variety=VARIETY).sum(0) > 0.5
    fov, matrix = full.scan.encoding.recon_fov, full.scan.encoding.recon_matrix
    size = tuple(f / n for f, n in zip(fov, matrix, strict=True))
    return torch.from_numpy(evaluate.brain_mask(full.truth[0].abs(), spacing=(size[0], size[1], size[2])))


def _filled(mask: Tensor) -> Tensor:
    return torch.from_numpy(ndimage.binary_fill_holes(mask.numpy()))


def save(found: Judged, labels: Mapping[str, Tensor], path: Path) -> None:
    """Write a .safetensors file that `load` reads. labels: tissues (z, y, x) by reference."""
    tensors = {name: getattr(found, name) for name in PARTS}
    tensors |= {f"labels_{name}": values for name, values in labels.items()}
    for k, (image, factor) in enumerate(found.levels):
        tensors |= {f"image{k}": image.image, f"noise_sd{k}": image.noise_sd, f"gmap{k}": image.gmap}
        tensors[f"scale{k}"] = torch.tensor([factor, *image.spacing], dtype=torch.float64)
    checkpoint.save_tensors(tensors, path)


def load(path: Path) -> tuple[Judged, dict[str, Tensor]]:
    """Read what `save` wrote. Raises InputError where the file is missing or broken."""
    tensors = checkpoint.load_tensors(path)
    labels = {name.removeprefix("labels_"): tensors[name] for name in tensors if name.startswith("labels_")}
    levels = tuple(_level(tensors, k) for k in range(len(NOISE_LEVELS)))
    truth, noisy, head, brain = (tensors[name] for name in PARTS)
    return Judged(truth, noisy, head, brain, levels), labels


def _level(tensors: Mapping[str, Tensor], k: int) -> tuple[SnrImage, float]:
    factor, z, y, x = tensors[f"scale{k}"].tolist()
    image, noise_sd, gmap = (tensors[f"{name}{k}"] for name in ("image", "noise_sd", "gmap"))
    return SnrImage(image, noise_sd, gmap, "measured", spacing=(z, y, x)), factor
