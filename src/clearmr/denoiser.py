"""The one contract every method and every baseline keeps: a denoiser takes an SnrImage and returns one."""

from typing import Any, Protocol, runtime_checkable

from clearmr.scan import SnrImage


@runtime_checkable
class Denoiser(Protocol):
    """`denoiser(image)` gives an image of the same shape, dtype, spacing, affine and header.

    noise_sd of the result stays that of the input: it is the scale in which what was removed is judged.
    """

    name: str

    def __call__(self, image: SnrImage) -> SnrImage: ...


@runtime_checkable
class Progress(Protocol):
    """What long work calls after each step: how much is done, of how much. Drawn by the command line."""

    def __call__(self, done: int, total: int, **info: Any) -> None: ...


def no_progress(done: int, total: int, **info: Any) -> None:
    """Says nothing."""
