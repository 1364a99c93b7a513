"""Pictures of the report: arrays reduced to 8-bit codes, tiled on sheets, made to fit a budget of bytes."""

import base64
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from clearmr.report.results import Results

BUDGET = 9_000_000  # bytes of all sheets as base64; the page is promised below 10 MB
SIGMAS = 4.0  # the difference is shown from -SIGMAS to SIGMAS
_SHEET = 2048  # pixels: phones refuse much larger images
_LONGEST_SIDE = 1024
_MOST_PIXELS = 12_000_000  # per layer: what a phone's browser can hold decoded


@dataclass(frozen=True)
class Coding:
    """What of the series is shown and how finely: steps along frame, z and in plane, grey levels, JPEG quality."""

    frame_step: int = 1
    slice_step: int = 1
    plane_step: int = 1
    levels: int = 256
    quality: int | None = None  # None: PNG, lossless

    def pick(self, array: np.ndarray) -> np.ndarray:
        """The shown part of a (frame, z, y, x) array; axes of length 1 stay."""
        return array[:: self.frame_step, :: self.slice_step, :: self.plane_step, :: self.plane_step]


@dataclass(frozen=True)
class Scale:
    """value = bottom + (top - bottom) * (code / 255) ** gamma. gamma = 2 spends the codes evenly on noise."""

    bottom: float
    top: float
    gamma: float = 1.0

    def encode(self, values: np.ndarray, levels: int = 256) -> np.ndarray:
        """8-bit codes of `values`, clipped to the scale, with only `levels` different ones."""
        share = np.clip((values - self.bottom) / (self.top - self.bottom), 0.0, 1.0) ** (1 / self.gamma)
        return np.round(np.round(share * (levels - 1)) * (255 / (levels - 1))).astype(np.uint8)


@dataclass(frozen=True)
class Pictures:
    """All that page.js draws: the layers' sheets, their scales, and which frames and slices they show."""

    data: dict[str, Any]
    coding: Coding
    scales: dict[str, Scale]

    @property
    def n_bytes(self) -> int:
        return sum(len(uri) for layer in self.data["layers"].values() for uri in layer["sheets"])


def make_pictures(results: Results, *, budget: int = BUDGET) -> Pictures:
    """The finest pictures of `results` whose sheets stay below `budget` bytes.

    First the grey levels become fewer, then JPEG, then every second frame or slice is left out, and so on.
    """
    coding = first_coding(results.noisy.shape)
    while True:
        shows = _show(results, coding)
        for finer in (coding, replace(coding, levels=64), replace(coding, quality=90), replace(coding, quality=75)):
            pictures = _pictures(results, shows, finer)
            if pictures.n_bytes <= budget:
                return pictures
        coding = coarser(coding, results.noisy.shape)


def first_coding(shape: tuple[int, ...]) -> Coding:
    """The coding to start with: every picture, where they fit the memory of a browser."""
    coding = Coding(plane_step=-(-max(shape[2:]) // _LONGEST_SIDE))
    while _n_pixels(shape, coding) > _MOST_PIXELS:
        coding = coarser(coding, shape)
    return coding


def coarser(coding: Coding, shape: tuple[int, ...]) -> Coding:
    """`coding` with fewer frames, slices or pixels: whichever there are most of."""
    frames, slices = -(-shape[0] // coding.frame_step), -(-shape[1] // coding.slice_step)
    if max(frames, slices) == 1:
        return replace(coding, plane_step=coding.plane_step + 1)
    if slices >= frames:
        return replace(coding, slice_step=coding.slice_step + 1)
    return replace(coding, frame_step=coding.frame_step + 1)


def _n_pixels(shape: tuple[int, ...], coding: Coding) -> int:
    steps = (coding.frame_step, coding.slice_step, coding.plane_step, coding.plane_step)
    return int(np.prod([-(-n // step) for n, step in zip(shape, steps, strict=True)]))


@dataclass(frozen=True)
class _Show:
    """One layer: its values (frame or 1, z or 1, y, x), and the name of its scale and the scale."""

    values: np.ndarray
    scale_name: str
    scale: Scale


def _show(results: Results, coding: Coding) -> dict[str, _Show]:
    """The layers of the shown frames and slices, as values."""
    noisy, denoised = (shown(coding.pick(a)) for a in (results.noisy, results.denoised))
    gmap = coding.pick(four_axes(results.gmap))
    gmap = np.broadcast_to(gmap, gmap.shape[:2] + noisy.shape[2:])
    removed = difference(*(coding.pick(a) for a in (results.noisy, results.denoised, four_axes(results.noise_sd))))
    grey = grey_scale(noisy, denoised)
    shows = {
        "noisy": _Show(noisy, "grey", grey),
        "denoised": _Show(denoised, "grey", grey),
        "difference": _Show(removed, "difference", Scale(-SIGMAS, SIGMAS)),
        "gmap": _Show(gmap, "gmap", gmap_scale(gmap)),
    }
    if results.reference is not None:
        shows["reference"] = _Show(shown(coding.pick(results.reference)), "grey", grey)
    return shows


def _pictures(results: Results, shows: dict[str, _Show], coding: Coding) -> Pictures:
    frames, slices, height, width = shows["noisy"].values.shape
    scales = {show.scale_name: show.scale for show in shows.values()}
    data = {
        "layers": {n: _layer(s.values, s.scale, coding) | {"scale": s.scale_name} for n, s in shows.items()},
        "scales": {name: asdict(scale) for name, scale in scales.items()},
        "window": window(shows["denoised"].values),
        "height": height,
        "width": width,
        "aspect": width * results.spacing[2] / (height * results.spacing[1]),
        "frames": [coding.frame_step * i for i in range(frames)],
        "slices": [coding.slice_step * i for i in range(slices)],
    }
    return Pictures(data, coding, scales)


def shown(image: np.ndarray) -> np.ndarray:
    """The magnitude of a complex image, a real image as it is; what is not finite becomes 0."""
    values = np.abs(image) if np.iscomplexobj(image) else image
    return np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def difference(noisy: np.ndarray, denoised: np.ndarray, noise_sd: np.ndarray) -> np.ndarray:
    """What was removed, in units of noise_sd; 0 where noise_sd is 0.

    Of a complex image this is the part in phase with the signal round the voxel: Gaussian at any SNR, with a sign,
    as the difference of magnitudes is not. The voxel and its neighbours have no say in the phase: it would follow
    the noise that was left in them, and what was removed would seem to have a sign where there is no signal.
    """
    removed = noisy - denoised
    if np.iscomplexobj(removed):
        signal = box_sum(denoised, 15) - box_sum(denoised, 5)
        size = np.abs(signal)
        in_phase = (removed * np.conj(signal)).real / np.where(size > 0, size, 1)
        removed = np.where(size > 0, in_phase, removed.real)
    known = np.broadcast_to(noise_sd > 0, removed.shape)
    return shown(np.divide(removed, noise_sd, out=np.zeros(removed.shape, np.float32), where=known))


def box_sum(image: np.ndarray, size: int) -> np.ndarray:
    """Sum over `size` x `size` (odd) pixels of the last two axes round each pixel; zeros lie beyond the edges."""
    total = np.nan_to_num(image)
    for axis in (-2, -1):
        pad = [(0, 0)] * image.ndim
        pad[axis] = (size // 2 + 1, size // 2)
        running = np.cumsum(np.pad(total, pad), axis=axis)
        n = running.shape[axis]
        total = np.take(running, range(size, n), axis=axis) - np.take(running, range(n - size), axis=axis)
    return total


def grey_scale(noisy: np.ndarray, denoised: np.ndarray) -> Scale:
    """One scale for both images, from 0 (or below, where the image has a sign) to all but their few brightest."""
    low, high = np.percentile(np.stack([_sample(noisy), _sample(denoised)]), (0.5, 99.95))
    top = float(high) if high > 0 else 1.0
    return Scale(0.0, 1.1 * top, 2.0) if low > -0.02 * top else Scale(float(low) * 1.1, 1.1 * top, 1.0)


def window(denoised: np.ndarray) -> tuple[float, float]:
    """The first window (low, high) of noisy and denoised alike, from the denoised image."""
    low, high = (float(v) for v in np.percentile(_sample(denoised), (0.5, 99.7)))
    low = 0.0 if low > -0.05 * high else low
    return (low, high * 1.05 if high > low else low + 1.0)


def gmap_scale(gmap: np.ndarray) -> Scale:
    """From the smallest to nearly the largest g above 0, at least 0.5 wide."""
    positive = gmap[np.isfinite(gmap) & (gmap > 0)]
    low, high = (float(v) for v in np.percentile(positive, (0.5, 99.5))) if positive.size else (1.0, 1.5)
    return Scale(low, max(high, low + 0.5))


def four_axes(array: np.ndarray) -> np.ndarray:
    """`array` with axes of length 1 put in front until there are four."""
    return array.reshape((1,) * (4 - array.ndim) + array.shape)


def _sample(values: np.ndarray) -> np.ndarray:
    """At most about a million values, evenly taken: enough for percentiles."""
    return values.reshape(-1)[:: max(1, values.size // 1_000_000)]


def _layer(values: np.ndarray, scale: Scale, coding: Coding) -> dict[str, Any]:
    """Sheets of a (frame or 1, z or 1, y, x) array, tiles row by row, slices innermost."""
    plane = values.shape[2:]
    codes = scale.encode(np.nan_to_num(values, nan=scale.bottom), coding.levels)
    tiles = codes.reshape(-1, *plane)
    across, down = (max(1, _SHEET // n) for n in plane[::-1])
    across = min(across, len(tiles))
    sheets = [_sheet(tiles[i : i + across * down], across) for i in range(0, len(tiles), across * down)]
    return {
        "n": values.shape[:2],
        "across": across,
        "perSheet": across * down,
        "sheets": [data_uri(sheet, coding.quality) for sheet in sheets],
    }


def _sheet(tiles: np.ndarray, across: int) -> np.ndarray:
    rows = -(-len(tiles) // across)
    height, width = tiles.shape[1:]
    padded = np.zeros((rows * across, height, width), np.uint8)
    padded[: len(tiles)] = tiles
    return padded.reshape(rows, across, height, width).swapaxes(1, 2).reshape(rows * height, across * width)


def data_uri(pixels: np.ndarray, quality: int | None = None) -> str:
    """A (y, x) or (y, x, 3) uint8 picture as data URI: PNG, or JPEG of the given quality."""
    stream = io.BytesIO()
    if quality is None:
        Image.fromarray(pixels).save(stream, "PNG", optimize=False, compress_level=6)
    else:
        Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    kind = "png" if quality is None else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def describe(coding: Coding) -> Sequence[str]:
    """Sentences that say what of the series the page leaves out; none where it shows everything."""
    ordinal = {2: "2nd", 3: "3rd"}
    said = []
    for what, step in (("frame", coding.frame_step), ("slice", coding.slice_step), ("pixel", coding.plane_step)):
        if step > 1:
            said.append(f"Only every {ordinal.get(step, f'{step}th')} {what} is shown.")
    if coding.levels < 256:
        said.append(f"The pictures have {coding.levels} grey levels.")
    if coding.quality is not None:
        said.append(f"The pictures are compressed with loss (JPEG {coding.quality}).")
    return said
