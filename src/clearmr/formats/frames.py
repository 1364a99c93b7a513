"""A folder of grey PNG pictures, the frames of one series by name. What dynamic data sets are often passed on as."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clearmr.errors import InputError
from clearmr.scan import SnrImage

NAME = "frames"
KIND = "a folder of grey PNG frames"
CLEAN, ANY = "clean_*.png", "*.png"


def files(folder: Path) -> list[Path]:
    """The frames by name: "clean_*.png" where there are such, else every PNG."""
    return sorted(folder.glob(CLEAN)) or sorted(folder.glob(ANY))


def sniff(path: Path) -> bool:
    """Whether it is a folder with PNG files."""
    return path.is_dir() and bool(files(path))


def load(path: Path) -> SnrImage:
    """(frame, 1, y, x) float32 in the files' own grey levels; the noise is not known. Raises InputError."""
    ones = torch.ones((1, 1, 1, 1))
    return SnrImage(read(files(path)), ones, ones, "unknown")


def read(pictures: Sequence[Path]) -> Tensor:
    """Grey PNG pictures as (frame, 1, y, x) float32. Raises InputError where they are none, or of several sizes."""
    frames = [_grey(file) for file in pictures]
    if len({frame.shape for frame in frames}) > 1:
        sizes = " and ".join(sorted({f"{h} x {w}" for h, w in (frame.shape for frame in frames)}))
        found = f"{sizes} in {pictures[0].parent}"
        raise InputError("frames of one size", found, "leave only the frames of one series there")
    return torch.from_numpy(np.stack(frames))[:, None]


def _grey(file: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(file) as picture:
            values = np.asarray(picture)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError("a whole PNG picture", f"{file} ({error})", "copy or export it again") from error
    if values.ndim != 2:
        raise InputError("grey PNG frames", f"{values.shape[-1]} channels in {file}", "save them as grey")
    return values.astype(np.float32)
