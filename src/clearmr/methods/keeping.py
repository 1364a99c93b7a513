"""What every method's denoiser keeps beside its own work: options checked, images refused, steps and warnings told."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from clearmr.denoiser import Progress, no_progress
from clearmr.errors import InputError
from clearmr.scan import SnrImage

PRECISIONS = ("auto", "float32", "bf16")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every method's denoiser is told beside its own. Raises InputError for a value outside its range.

    memory_bytes  of a fresh process that denoises, at its peak: where there is less, the work is cut into parts
    batch         series or slices that go through the network together, at the most
    precision     "float32", "bf16", or "auto": bf16 where the hardware is made for it and it differs little
    strength      the result is original + strength (denoised - original); 0 gives the image back unchanged
    along         one of WAYS: which neighbours a voxel is learned from
    """

    WAYS: ClassVar[tuple[str, ...]]

    device: str = "cpu"
    memory_bytes: float = 3.0e9
    batch: int = 1
    precision: str = "auto"
    strength: float = 1.0
    along: str = "auto"
    progress: Progress = no_progress

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise InputError("--strength from 0 to 1", f"{self.strength:g}", "write for example 0.8; 1 is all of it")
        if self.batch < 1:
            raise InputError("--batch of 1 or more", f"{self.batch}", "1 takes one after another")
        for option, value, known in (("precision", self.precision, PRECISIONS), ("along", self.along, self.WAYS)):
            if value not in known:
                raise InputError(f"--{option} {', '.join(known)}", value or "nothing", "choose one of them")


def refuse_unfit(image: SnrImage) -> None:
    """Raises InputError where the image is not finite, or has no noise at all."""
    if not bool(torch.isfinite(image.image).all()):
        raise InputError("finite voxels", "NaN or infinity among them", "replace them before denoising")
    if not bool((image.noise_sd > 0).any()):
        raise InputError("a positive noise_sd", "zero everywhere", "a noise-free image needs no denoising")


def made_for_bf16(device: str) -> bool:
    """Whether the hardware computes in bf16 faster than in float32."""
    return bool(torch.cuda.is_bf16_supported() if device != "cpu" else torch.cpu._is_amx_tile_supported())


def with_step(image: SnrImage, step: dict[str, Any], warnings: Sequence[str]) -> SnrImage:
    """The image with one more step and warnings in its meta."""
    steps = [*image.meta.get("steps", []), step]
    meta = {**image.meta, "steps": steps, "warnings": [*image.meta.get("warnings", []), *warnings]}
    return dataclasses.replace(image, meta=meta)


def absent(share: float) -> str:
    """The warning where only a share of the noise that was told of is there (`evaluate.presence`)."""
    return (
        f"the image is far smoother than its noise level says ({share:.2f} of it in the flattest places): was "
        "it denoised before, or is the noise level wrong? Only that share of what looks like noise was removed"
    )


@contextlib.contextmanager
def out_of_memory_said(todo: str) -> Iterator[None]:
    """The network running out of memory is said, with what to do; never answered with the noisy image."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        short = isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
        if not short:
            raise
        raise InputError("memory enough for the network", "the machine ran out of it", todo) from error
