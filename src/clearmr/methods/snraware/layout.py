"""What the network's T axis is: time, depth, or nothing. Views only: no voxel is copied or moved."""

from typing import Literal, cast, get_args

from torch import Tensor

from clearmr.errors import InputError

Along = Literal["time", "depth", "none"]
ALONG = ("auto", *get_args(Along))
ENOUGH_FRAMES = 4  # from this many on, neighbours in time say more of a voxel than neighbours in depth


def resolve(along: str, shape: tuple[int, ...]) -> Along:
    """What `auto` means for an image of `shape` (frame, z, y, x). Raises InputError for an unknown word.

    time where there are at least 4 frames, or more frames than slices (2D+T, fMRI); else depth where there are several
    slices (3D volumes, slice stacks); else none. Slices too far apart to help one another: ask for none or time.
    """
    frames, slices = shape[:2]
    if along == "auto":
        if frames > 1 and (frames >= ENOUGH_FRAMES or frames > slices):
            return "time"
        return "depth" if slices > 1 else "none"
    for known in get_args(Along):
        if along == known:
            return cast(Along, known)
    raise InputError(f"--along {', '.join(ALONG)}", along or "nothing", "choose one of them")


def to_series(values: Tensor, along: Along) -> Tensor:
    """(frame, z, y, x) as n series (n, T, y, x): each slice along time, each frame along depth, or each slice alone."""
    if along == "time":
        return values.movedim(1, 0)
    return values if along == "depth" else values.flatten(0, 1)[:, None]
