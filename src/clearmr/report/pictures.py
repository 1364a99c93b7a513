"""Pictures of a page: named layers reduced to 8-bit codes, tiled on sheets, made to fit a budget of bytes."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from clearmr.report.values import Scale, window

BUDGET = 9_000_000  # bytes of all sheets as base64; the page is promised below 10 MB
_SHEET = 2048  # pixels: phones refuse much larger images
_LONGEST_SIDE = 1024
_MOST_PIXELS = 12_000_000  # per layer,
_MOST_PIXELS_IN_ALL = 60_000_000  # and of all: what a phone's browser can hold decoded


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
class Layer:
    """One series of pictures: real values (frame or 1, z or 1, y, x), the scale that codes them, its name.

    Layers of one `scale_name` must hold the same scale. `label` names a value under the pointer, `unit` follows it.
    """

    values: np.ndarray
    scale_name: str
    scale: Scale
    label: str = ""
    unit: str = ""


Layers = Callable[[Coding], Mapping[str, Layer]]  # the layers of the frames, slices and pixels that a Coding picks


@dataclass(frozen=True)
class Pictures:
    """All that panes.js draws: the layers' sheets, their scales, and which frames and slices they show."""

    data: dict[str, Any]
    coding: Coding
    scales: dict[str, Scale]

    @property
    def n_bytes(self) -> int:
        return sum(len(uri) for layer in self.data["layers"].values() for uri in layer["sheets"])


def fit(
    layers: Layers,
    shape: tuple[int, ...],
    *,
    n_layers: int,
    main: str,
    spacing: Sequence[float | int] = (1.0, 1.0, 1.0),
    budget: int = BUDGET,
) -> Pictures:
    """The finest pictures of `layers` whose sheets stay below `budget` bytes.

    First the grey levels become fewer, then JPEG, then every second frame or slice is left out, and so on.

    layers    gives the layers for a coding; called again with a coarser one until they fit
    shape     of the whole series, (frame, z, y, x); the layer `main` has all of it, and the first window is its own
    n_layers  how many there will be: the more, the fewer pixels each
    spacing   mm (z, y, x)
    """
    coding = first_coding(shape, n_layers=n_layers)
    while True:
        given = layers(coding)
        for finer in (coding, replace(coding, levels=64), replace(coding, quality=90), replace(coding, quality=75)):
            pictures = _pictures(given, finer, main, spacing)
            if pictures.n_bytes <= budget:
                return pictures
        coding = coarser(coding, shape)


def first_coding(shape: tuple[int, ...], *, n_layers: int = 5) -> Coding:
    """The coding to start with: every picture, where they fit the memory of a browser."""
    coding = Coding(plane_step=-(-max(shape[2:]) // _LONGEST_SIDE))
    while _n_pixels(shape, coding) > min(_MOST_PIXELS, _MOST_PIXELS_IN_ALL // max(n_layers, 1)):
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


def _pictures(layers: Mapping[str, Layer], coding: Coding, main: str, spacing: Sequence[float | int]) -> Pictures:
    frames, slices, height, width = layers[main].values.shape
    scales = {layer.scale_name: layer.scale for layer in layers.values()}
    data = {
        "layers": {name: _coded(layer, coding) for name, layer in layers.items()},
        "scales": {name: asdict(scale) for name, scale in scales.items()},
        "window": window(layers[main].values),
        "height": height,
        "width": width,
        "aspect": width * spacing[2] / (height * spacing[1]),
        "frames": [coding.frame_step * i for i in range(frames)],
        "slices": [coding.slice_step * i for i in range(slices)],
    }
    return Pictures(data, coding, scales)


def _coded(layer: Layer, coding: Coding) -> dict[str, Any]:
    """Sheets of one layer, tiles row by row, slices innermost."""
    plane = layer.values.shape[2:]
    codes = layer.scale.encode(np.nan_to_num(layer.values, nan=layer.scale.bottom), coding.levels)
    tiles = codes.reshape(-1, *plane)
    across, down = (max(1, _SHEET // n) for n in plane[::-1])
    across = min(across, len(tiles))
    sheets = [_sheet(tiles[i : i + across * down], across) for i in range(0, len(tiles), across * down)]
    return {
        "n": layer.values.shape[:2],
        "across": across,
        "perSheet": across * down,
        "sheets": [data_uri(sheet, coding.quality) for sheet in sheets],
        "scale": layer.scale_name,
        "label": layer.label,
        "unit": layer.unit,
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
