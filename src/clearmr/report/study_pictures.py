"""Pictures of a reader study: volumes turned as radiologists hang them, lossless, all arms of a case on one scale."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation

from clearmr.errors import InputError
from clearmr.report.pictures import data_uri
from clearmr.report.values import Scale, shown

VIEWS = ("auto", "axial", "coronal", "sagittal", "stored")
# World axes R, A, S: which one the slices, rows and columns go along, and the marks of the left and upper edge.
# Radiological convention: the patient's right is on the left.
_PLANES = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))  # where each world axis comes from, and where it goes
_BY_SLICE_AXIS = {2: "axial", 1: "coronal", 0: "sagittal"}


@dataclass(frozen=True)
class Stack:
    """What a reader sees of one image: (frame, slice, row, column), spacing in mm (slice, row, column), and the
    letters at the left, right, upper and lower edge where the patient's position is known."""

    values: np.ndarray
    spacing: tuple[float, float, float]
    marks: tuple[str, str, str, str] | None = None


def hang(
    image: np.ndarray, spacing: tuple[float, float, float], affine: np.ndarray | None, *, view: str = "auto"
) -> Stack:
    """Turn an image (frame, z, y, x), spacing (z, y, x) in mm, affine of voxel (x, y, z) to RAS mm, for reading.

    view: axial, coronal or sagittal, in radiological convention (the patient's right on the left, anterior and
    superior up); auto: the plane that the slices were stored in; stored: as in the file. Without an affine it is as
    stored. Raises InputError for another view, or for a plane asked for without an affine.
    """
    values = shown(image)
    if view not in VIEWS:
        raise InputError(f"--view {', '.join(VIEWS)}", view, "choose one of them")
    if view in _PLANES and affine is None:
        raise InputError(f"an image that knows its position for --view {view}", "none", "use --view stored")
    if view == "stored" or affine is None:
        return Stack(values, spacing)
    turns = io_orientation(affine)
    along = turns[:, 0].astype(int)
    plane = _PLANES[_BY_SLICE_AXIS[along[2]] if view == "auto" else view]
    world = apply_orientation(values.transpose(3, 2, 1, 0), turns)  # (R, A, S, frame)
    sizes = {axis: spacing[2 - k] for k, axis in enumerate(along.tolist())}
    turned = world.transpose(3, *plane)[:, :, ::-1]
    left_right = _LETTERS[plane[2]][::-1]  # columns run from R to L, or from A to P
    marks = (*left_right, *_LETTERS[plane[1]][::-1])
    return Stack(turned[..., ::-1], tuple(sizes[axis] for axis in plane), marks)  # type: ignore[arg-type]


def pick(n: int, wanted: str) -> list[int]:
    """Which of `n` slices are shown: "all"; a number, spread evenly over the middle 80 %; or FROM:TO[:STEP], from 1.

    Raises InputError for other words, or where nothing would be left.
    """
    span = re.fullmatch(r"(\d+):(\d+)(?::(\d+))?", wanted)
    if wanted == "all":
        return list(range(n))
    if wanted.isdecimal() and int(wanted) > 0:
        count = min(int(wanted), n)
        edge = 0.5 * (n - 1) if count == 1 else 0.0 if count == n else 0.1 * (n - 1)
        return np.unique(np.linspace(edge, n - 1 - edge, count).round().astype(int)).tolist()
    if span and int(span[1]) > 0 and int(span[3] or 1) > 0:
        found = list(range(n))[int(span[1]) - 1 : int(span[2]) : int(span[3] or 1)]
        if found:
            return found
    raise InputError("--slices all, a number, or FROM:TO[:STEP]", f"{wanted} of {n} slices", "correct it")


def encode(stacks: Sequence[Stack], *, slices: str, own_window: bool = False) -> list[dict[str, Any]]:
    """What the page needs to draw each arm's stack of one case: PNGs of 8-bit codes, their scale, the first window.

    The scale and window are one for all arms, and do not depend on the arms' order; `own_window` gives each its own,
    for images in different units. Raises InputError where the arms differ in size or position.
    """
    first = stacks[0]
    for other in stacks[1:]:
        if other.values.shape != first.values.shape or other.marks != first.marks:
            found = f"{_words(first)} and {_words(other)}"
            raise InputError("images of one case of equal size and position", found, "bring them onto one grid")
    chosen = pick(first.values.shape[1], slices)
    arms = [stack.values[:, chosen] for stack in stacks]
    together = [_window(arms)] * len(arms)
    windows = [_window([arm]) for arm in arms] if own_window else together
    spacing = first.spacing
    return [_block(arm, window, spacing, first.marks) for arm, window in zip(arms, windows, strict=True)]


def brightness(stacks: Sequence[Stack]) -> list[float]:
    """The 99th percentile of each: arms that differ much here are in different units."""
    return [float(np.percentile(stack.values[:, ::4, ::2, ::2], 99)) for stack in stacks]


def _words(stack: Stack) -> str:
    size = " x ".join(map(str, stack.values.shape))
    return f"{size} ({'position unknown' if stack.marks is None else ''.join(stack.marks)})"


def _window(arms: Sequence[np.ndarray]) -> tuple[Scale, tuple[float, float]]:
    """The scale of the codes and the first window: means over the arms, so that none of them decides alone."""
    samples = [arm.reshape(-1)[:: max(1, arm.size // 500_000)] for arm in arms]
    bounds = np.array([np.percentile(sample, (0.5, 99.7, 99.95)) for sample in samples])
    low, high = (float(v) for v in bounds[:, :2].mean(0))
    top = float(bounds[:, 2].max())
    top = top if top > 0 else 1.0
    floor = float(bounds[:, 0].min())
    scale = Scale(0.0, 1.3 * top, 2.0) if floor > -0.02 * top else Scale(1.3 * floor, 1.3 * top)
    low = 0.0 if low > -0.05 * high else low
    return scale, (low, 1.05 * high if high > low else low + 1.0)


def _block(
    arm: np.ndarray,
    scaled: tuple[Scale, tuple[float, float]],
    spacing: tuple[float, float, float],
    marks: tuple[str, str, str, str] | None,
) -> dict[str, Any]:
    scale, window = scaled
    frames, slices, height, width = arm.shape
    return {
        "scale": asdict(scale),
        "window": window,
        "frames": frames,
        "slices": slices,
        "height": height,
        "width": width,
        "pixel": [spacing[1], spacing[2]],
        "marks": marks,
        "images": [data_uri(plane) for plane in scale.encode(arm).reshape(-1, height, width)],
    }
