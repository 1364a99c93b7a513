"""Equation 1 of Jung et al. 2022, alpha original + (1 - alpha) output, and the search for alpha.

By PSNR against the second halves, as in the paper, over 0, 0.1 ... 1. What is blended decides what is found:

* "halves": the first half and what the network makes of it. The label's noise is independent of both, so it adds the
  same to every error: the alpha of the best PSNR is the one nearest to the truth (0 for a network at the optimum of
  the mean square, more for one that removes too much).
* "original": the original image and what the network makes of it, as the paper writes. The label's own samples are
  half of the original's: moving towards the original is moving towards the label's noise, which pays in PSNR and is
  no gain in truth. It raises alpha (the paper's 0.3).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from torch import Tensor

from clearmr.evaluate import metrics
from clearmr.methods.mr_self_noise2noise.config import HalfPair
from clearmr.scan import SnrImage

ALPHAS = tuple(k / 10 for k in range(11))

Values = TypeVar("Values", Tensor, np.ndarray)


@dataclass(frozen=True)
class Search:
    """The alpha of the highest PSNR, and the PSNR of each of `ALPHAS`, in dB, mean over the pairs."""

    alpha: float
    psnr: tuple[float, ...]


def blend(original: Values, output: Values, alpha: float) -> Values:
    """alpha original + (1 - alpha) output, exactly the output at 0 and the original at 1."""
    if alpha in (0, 1):
        return original if alpha else output
    return alpha * original + (1 - alpha) * output


def search(
    output: Callable[[SnrImage], Tensor],
    pairs: Iterable[HalfPair],
    *,
    image: Literal["halves", "original"],
    kind: Callable[[SnrImage], SnrImage],
) -> Search:
    """`output` gives what the network makes of a whole image; kind: how an image is given to it (its magnitude).

    A pair at a time is looked at. PSNR: peak of the label over the root of the mean squared error of the volume.
    """
    found = []
    for pair in pairs:
        given = kind(pair.first if image == "halves" else pair.original)
        found.append(_psnrs(given, output(given), kind(pair.second)))
    mean = np.mean(found, axis=0)
    return Search(ALPHAS[int(np.argmax(mean))], tuple(round(float(value), 4) for value in mean))


def _psnrs(given: SnrImage, output: Tensor, label: SnrImage) -> list[float]:
    original, made, wanted = given.image.numpy(), output.numpy(), label.image.numpy()
    peak = float(np.abs(wanted).max())
    return [metrics.psnr(wanted, blend(original, made, alpha), data_range=peak) for alpha in ALPHAS]
