"""Small lesions laid into an image as a scanner would see them: in k-space, so that they are band-limited."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import j1
from torch import Tensor

from clearmr.evaluate.noise_spectrum import NoiseSpectrum

CNR = 5.0  # noise SDs
RADIUS = 1.5  # voxels: a disc of 9 pixels in every frame of a series, a ball of 19 voxels in a volume
INNER, OUTER = 2.5, 3.5  # voxels: the shell of background about a lesion
SPACING = 9  # voxels between lesions


def places(inside: Tensor) -> list[tuple[int, int, int]]:
    """Voxels (z, y, x) where the object `inside` (frame, z, y, x) has room for a lesion and its shell in all frames.

    None touches the object's edge or another.
    """
    edge = torch.ones_like(inside[:1])
    edge[:, slice(1, -1) if inside.shape[1] > 1 else slice(None), 1:-1, 1:-1] = False
    room = ~grow(edge | ~inside.all(0, keepdim=True), OUTER)[0]
    free, found = room.numpy(), []
    for z, y, x in np.argwhere(free).tolist():
        if free[z, y, x]:
            found.append((z, y, x))
            free[tuple(slice(max(n - SPACING + 1, 0), n + SPACING) for n in (z, y, x))] = False
    return found


def masks(inside: Tensor) -> tuple[Tensor, Tensor]:
    """Lesions at all `places`, and a shell of background about each; bool (frame, z, y, x)."""
    seeds = torch.zeros(inside.shape, dtype=torch.bool)
    for z, y, x in places(inside):
        seeds[:, z, y, x] = True
    return grow(seeds, RADIUS), grow(seeds, OUTER) & ~grow(seeds, INNER)


def grow(mask: Tensor, radius: float) -> Tensor:
    """All voxels within `radius` of the mask: balls in volumes, discs where there is one slice."""
    ball = _ball(radius, volume=mask.shape[1] > 1)
    padding = (ball.shape[0] // 2, ball.shape[1] // 2, ball.shape[2] // 2)
    return F.conv3d(mask.float()[:, None], ball.float()[None, None], padding=padding)[:, 0] > 0.5


def _ball(radius: float, *, volume: bool) -> Tensor:
    reach = int(radius)
    r = torch.arange(-reach, reach + 1)
    z = r if volume else torch.zeros(1)
    return (z[:, None, None] ** 2 + r[:, None] ** 2 + r**2) <= radius**2


def inserted(shape: tuple[int, ...], at: list[tuple[int, int, int]], height: np.ndarray, band: NoiseSpectrum) -> Tensor:
    """Lesions of `height` (one each) in an image (z, y, x) of zeros, float32, through the filters of `band`.

    Discs (one slice) or balls of radius `RADIUS` voxels by their Fourier transforms, sampled on the grid of k-space:
    what a scan of this matrix would show of them, Gibbs ringing included. Periodic at the borders.
    """
    points = np.zeros(shape)
    for place, value in zip(at, height, strict=True):
        points[place] = value
    frequencies = np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij")
    k = np.sqrt(sum(f**2 for f in frequencies))
    form = _ball_transform(k) if shape[0] > 1 else _disc_transform(k)
    z, y, x = (np.sqrt(axis / max(axis[0], 1e-12)) for axis in band.axes)
    weights = form * z[:, None, None] * y[:, None] * x
    return torch.from_numpy(np.fft.ifftn(np.fft.fftn(points) * weights).real.astype(np.float32))


def _disc_transform(k: np.ndarray) -> np.ndarray:
    """Of a disc of height 1 (Bracewell): R J1(2 pi R k) / k, its area at k = 0."""
    safe = np.maximum(k, 1e-9)
    return np.where(k > 0, RADIUS * j1(2 * math.pi * RADIUS * safe) / safe, math.pi * RADIUS**2)


def _ball_transform(k: np.ndarray) -> np.ndarray:
    """Of a ball of height 1: (sin w - w cos w) / (2 pi^2 k^3), w = 2 pi R k; its volume at k = 0."""
    safe = np.maximum(k, 1e-4)
    w = 2 * math.pi * RADIUS * safe
    transform = (np.sin(w) - w * np.cos(w)) / (2 * math.pi**2 * safe**3)
    return np.where(k > 1e-4, transform, 4 / 3 * math.pi * RADIUS**3)


def contrasts(image: Tensor, at: list[tuple[int, int, int]]) -> np.ndarray:
    """Mean inside each lesion less that of the shell about it, all frames of `image` (frame, z, y, x); (lesion,)."""
    volume = image.shape[1] > 1
    reach = int(OUTER)
    disc = torch.zeros((2 * reach + 1 if volume else 1, 2 * reach + 1, 2 * reach + 1), dtype=torch.bool)
    disc[reach if volume else 0, reach, reach] = True
    inside = grow(disc[None], RADIUS)[0]
    shell = (grow(disc[None], OUTER) & ~grow(disc[None], INNER))[0]
    found = []
    for z, y, x in at:
        deep = slice(z - reach, z + reach + 1) if volume else slice(z, z + 1)
        box = image[:, deep, y - reach : y + reach + 1, x - reach : x + reach + 1]
        found.append(float(box[:, inside].mean() - box[:, shell].mean()))
    return np.array(found)
