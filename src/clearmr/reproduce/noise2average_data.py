"""Who is judged in Noise2Average's tables: a clean volume or DTI series, and noisy repeats that are made of it.

A repeat is moved a little, its intensity is a little other, and it has Rician noise of its own; the clean images lie in
the middle of them. None of these subjects may be one that the pretrained network has seen.
"""

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clearmr import evaluate, formats, simulate
from clearmr.errors import InputError
from clearmr.evaluate import diffusion
from clearmr.evaluate.brain_mask import otsu
from clearmr.formats import gradients
from clearmr.scan import SnrImage
from clearmr.train.stream import seed_of

Kind = Literal["t1w", "dti"]
SIMULATED = "simulated"
BRIGHT = {"t1w": 0.95, "dti": 0.999}  # quantile inside the brain that becomes 1: white matter; fluid without weighting
MARGIN = 6  # voxels round the crop, so that a moved volume has something beyond its border
Matrix = tuple[int, int, int]
Mm = tuple[float, float, float]


@dataclass(frozen=True)
class Setting:
    """How far repeats lie from the clean images (mm, degrees), and their intensities from each other (a fraction)."""

    name: str
    shift: float = 0.0
    degrees: float = 0.0
    gain: float = 0.0

    @property
    def label(self) -> str:
        """For people."""
        if not (self.shift or self.degrees or self.gain):
            return "aligned"
        return f"+-{self.shift:g} mm, +-{self.degrees:g} degrees, intensities {self.gain:.0%} apart"


@dataclass(frozen=True)
class Sizes:
    """crop (z, y, x) in voxels; matrix of simulated heads; level: the noise SD, where BRIGHT is 1.

    place: where in the box round the brain the crop's middle lies; directions: of simulated DTI, beside one b = 0.
    """

    crop: Matrix
    matrix: Matrix
    level: float
    repeats: int = 2
    place: tuple[float, float, float] = (0.5, 0.5, 0.5)
    directions: int = 16


@dataclass(frozen=True)
class Subject:
    """clean (frame, z, y, x), bright tissue 1; brain (z, y, x); of DTI the gradients, tensors and white matter."""

    clean: Float[Tensor, "frame z y x"]
    brain: Bool[Tensor, "z y x"]
    spacing: Mm
    bvals: np.ndarray | None = None
    bvecs: np.ndarray | None = None
    maps: diffusion.DtiMaps | None = None
    white: np.ndarray | None = None
    whole: Float[Tensor, "frame Z Y X"] | None = None  # with its margin


@functools.lru_cache(maxsize=4)
def subject(kind: Kind, source: str, sizes: Sizes, seed: int) -> Subject:
    """Of "simulated" the head of a seed, of anything else the file of that name. Raises InputError."""
    if kind == "t1w":
        return _t1w_head(sizes, seed) if source == SIMULATED else _t1w_file(Path(source), sizes)
    return _dti_head(sizes, seed) if source == SIMULATED else _dti_file(Path(source), sizes)


def repeats(found: Subject, setting: Setting, sizes: Sizes, seed: int) -> tuple[SnrImage, ...]:
    """Noisy repeats, one draw of motion and noise for all methods."""
    generator = torch.Generator().manual_seed(seed_of(seed, *setting.name.encode()))
    moves = (simulate.Move(),) * sizes.repeats
    if setting.shift or setting.degrees or setting.gain:
        moves = simulate.draw_moves(
            sizes.repeats, shift=setting.shift, degrees=setting.degrees, gain=setting.gain, generator=generator
        )
    whole = found.clean if found.whole is None else found.whole
    inside = _inside(whole.shape[1:], found.clean.shape[1:])
    made = []
    for move in moves:
        clean = simulate.moved(whole, move, spacing=found.spacing)[(slice(None), *inside)].contiguous()
        made.append(simulate.rician_noise(clean, sizes.level, generator, spacing=found.spacing))
    return tuple(made)


def _t1w_head(sizes: Sizes, seed: int) -> Subject:
    from clearmr.simulate.brain import brain
    from clearmr.simulate.dwi import FOV

    volume = brain(sizes.matrix, seed=seed, variety=1.0).abs().float()
    inside = simulate.brain_tissues(sizes.matrix, seed=seed, variety=1.0).sum(0) > 0.5
    z, y, x = (fov / n for fov, n in zip(FOV, sizes.matrix, strict=True))
    return _cropped(volume, inside, (z, y, x), sizes)


def _t1w_file(path: Path, sizes: Sizes) -> Subject:
    image = _loaded(path)
    volume = image.image.abs().float().mean(0, keepdim=True)
    if min(volume.shape[1:]) < 16:
        raise InputError("a 3D volume of a head with --data", f"{tuple(volume.shape)} in {path}", "name another one")
    inside = torch.from_numpy(evaluate.brain_mask(volume[0], spacing=image.spacing))
    return _cropped(volume, inside, image.spacing, sizes)


def _dti_head(sizes: Sizes, seed: int) -> Subject:
    head = simulate.dwi_head(sizes.matrix, simulate.Protocol(sizes.directions), seed=seed, variety=1.0)
    protocol = simulate.Protocol(sizes.directions)
    return _with_tensors(
        head.tensor.double().numpy(),
        head.s0.double().numpy(),
        head.brain,
        head.spacing,
        (protocol.bvals.numpy(), protocol.bvecs.numpy()),
        sizes,
    )


def _dti_file(path: Path, sizes: Sizes) -> Subject:
    """What the tensors of the denoised images (MP-PCA) predict: a noise-free series whose tensors are known."""
    from clearmr import baselines

    image = _loaded(path)
    found = gradients.read(path, volumes=image.image.shape[0])
    mean = image.image.abs().mean(0).numpy()
    inside = _largest(mean > 0.5 * otsu(mean))
    around = _box(torch.from_numpy(inside), sizes, MARGIN)
    cut = (slice(None), *around)
    # MP-PCA finds the noise itself; told a level of 1, of thousands, it takes off next to no Rician bias.
    one = torch.ones(1, 1, 1, 1)
    series = dataclasses.replace(image, image=image.image.abs().float()[cut], noise_sd=one, gmap=one)
    mask = torch.from_numpy(inside[around])
    clean = baselines.load("mppca")(series).image
    maps = diffusion.fit_dti(clean, found.bvals, found.bvecs, mask)
    return _with_tensors(maps.tensor, maps.s0, mask, image.spacing, (found.bvals, found.bvecs), sizes)


def _with_tensors(
    tensor: np.ndarray, s0: np.ndarray, brain: Tensor, spacing: Mm, table: tuple[np.ndarray, np.ndarray], sizes: Sizes
) -> Subject:
    """Signal of the tensors, none of them with negative diffusion; the brightest tissue without weighting is 1."""
    positive, s0 = _physical(tensor), np.clip(s0, 0, None)
    s0 = s0 / np.quantile(s0[brain.numpy()], BRIGHT["dti"])
    signal = diffusion.synthesised(diffusion.of_tensor(positive, s0), *table)
    cut = _cropped(torch.from_numpy(signal).float(), brain, spacing, sizes, scale=False)
    box = _box(brain, sizes, 0)
    maps = diffusion.of_tensor(positive[(slice(None), *box)], s0[box])
    white = diffusion.white_matter(maps, cut.brain)
    return dataclasses.replace(cut, bvals=table[0], bvecs=table[1], maps=maps, white=white)


def _physical(tensor: np.ndarray) -> np.ndarray:
    """The tensors with eigenvalues from 0.05e-3 to 3.5e-3 mm^2/s: noise has left some beyond."""
    xx, xy, yy, xz, yz, zz = tensor
    full = np.stack([np.stack([xx, xy, xz], -1), np.stack([xy, yy, yz], -1), np.stack([xz, yz, zz], -1)], -2)
    values, vectors = np.linalg.eigh(full)
    there = np.einsum("...ik,...k,...jk->...ij", vectors, np.clip(values, 5e-5, 3.5e-3), vectors)
    return np.stack([there[..., i, j] for i, j in ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2))])


def _cropped(volume: Tensor, brain: Tensor, spacing: Mm, sizes: Sizes, *, scale: bool = True) -> Subject:
    """The brain's middle, and the same with a margin; the brightest tissue of it 1."""
    values = volume / float(np.quantile(volume[:, brain].numpy(), BRIGHT["t1w"])) if scale else volume
    inner, outer = _box(brain, sizes, 0), _box(brain, sizes, MARGIN)
    cut = (slice(None), *inner)
    return Subject(
        values[cut].contiguous(), brain[inner].contiguous(), spacing, whole=values[(slice(None), *outer)].contiguous()
    )


def _box(brain: Tensor, sizes: Sizes, margin: int) -> tuple[slice, slice, slice]:
    """The crop round the brain's middle, `margin` voxels more on both sides where the volume has them on both."""
    parts = []
    for axis, wanted in enumerate(sizes.crop):
        n = brain.shape[axis]
        size = min(wanted, n)
        where = brain.movedim(axis, 0).flatten(1).any(1).nonzero().flatten()
        if not len(where):
            raise InputError("an image with a brain in it", "none that was found", "name another one")
        middle = float(where[0]) + sizes.place[axis] * float(where[-1] + 1 - where[0])
        start = min(max(round(middle - size / 2), 0), n - size)
        room = min(margin, start, n - size - start)
        parts.append(slice(start - room, start + size + room))
    return parts[0], parts[1], parts[2]


def _inside(whole: torch.Size, crop: torch.Size) -> tuple[slice, ...]:
    return tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(whole, crop, strict=True))


def _largest(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    pieces, _ = ndimage.label(ndimage.binary_opening(mask, iterations=2))
    counts = np.bincount(pieces.ravel())
    counts[0] = 0
    return ndimage.binary_fill_holes(ndimage.binary_dilation(pieces == counts.argmax(), iterations=2) & mask)


def _loaded(path: Path) -> SnrImage:
    loaded = formats.load(path)
    if not isinstance(loaded, SnrImage):
        raise InputError("an image with --data", f"raw data in {path}", "reconstruct it first: clearmr recon")
    return loaded
