"""What the network's T axis is: time, depth, each axis of a volume in turn, or nothing. Views only: no voxel moves."""

from collections.abc import Sequence
from typing import Literal, cast, get_args

from torch import Tensor

from clearmr.errors import InputError

Axes = tuple[int, int, int, int]
Along = Literal["time", "depth", "volume", "none"]
ALONG = ("auto", *get_args(Along))
ENOUGH_FRAMES = 4  # from this many on, neighbours in time say more of a voxel than neighbours in depth
# A volume: so many voxels along its shortest axis, and no spacing so many times another one.
LEAST_VOLUME, ISOTROPIC = 48, 1.5
# Of a volume, each axis in turn as the network's T: an order of (frame, z, y, x); the first leaves all where they are.
TURNS: tuple[Axes, ...] = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2))


def resolve(along: str, shape: Sequence[int], spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> Along:
    """What `auto` means for an image of `shape` (frame, z, y, x). Raises InputError for an unknown word.

    time where there are at least 4 frames, or more frames than slices (2D+T, fMRI); volume (the mean over the three
    axes) for a 3D scan of nearly isotropic voxels, at least 48 along each axis; else depth where there are several
    slices; else none. Slices too far apart to help one another: ask for none or time.
    """
    frames, slices = shape[:2]
    if along == "auto":
        if frames > 1 and (frames >= ENOUGH_FRAMES or frames > slices):
            return "time"
        if min(shape[1:]) >= LEAST_VOLUME and max(spacing) <= ISOTROPIC * min(spacing):
            return "volume"
        return "depth" if slices > 1 else "none"
    for known in get_args(Along):
        if along == known:
            return cast(Along, known)
    raise InputError(f"--along {', '.join(ALONG)}", along or "nothing", "choose one of them")


def to_series(values: Tensor, along: Along) -> Tensor:
    """(frame, z, y, x) as n series (n, T, y, x): each slice along time, each frame along depth, or each slice alone."""
    if along == "time":
        return values.movedim(1, 0)
    return values if along in ("depth", "volume") else values.flatten(0, 1)[:, None]
