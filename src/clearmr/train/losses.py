"""Losses over images held as real channels (B, C, T, H, W): two of a complex image, one of a magnitude image.

Means over voxels, in the data's unit. |.| is the complex modulus, X the prediction, Y the target.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from clearmr.axes import Net5D
from clearmr.errors import InputError
from clearmr.train import perceptual

Loss = Callable[[Tensor, Tensor], Tensor]


def modulus(image: Tensor, *, epsilon: float = 0.0) -> Tensor:
    """sqrt(|X|^2 + epsilon^2) per voxel, (B, C, T, H, W) -> (B, T, H, W); a gradient at 0 needs epsilon > 0."""
    return torch.sqrt(image.square().sum(dim=1) + epsilon**2)


def charbonnier(prediction: Net5D, target: Net5D, *, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(|X - Y|^2 + epsilon^2), |.| the complex modulus (Barron 2017)."""
    return modulus(prediction - target, epsilon=epsilon).mean()


def perpendicular(prediction: Net5D, target: Net5D, *, epsilon: float = 1e-3) -> Tensor:
    """The perpendicular loss of Terpstra et al. 2022: mean of P + | |X| - |Y| |.

    P = |Im(X conj Y)| / |X|, the part of Y perpendicular to X, and 2 |Y| - that where the phases differ by more than
    pi / 2: it grows from 0 to 2 |Y| with the phase error, flat at pi / 2, so it needs another term beside it. Every
    modulus is sqrt(|.|^2 + epsilon^2), in the data's unit, so that the gradient is finite at X = 0. Raises InputError
    for one channel, which has no phase.
    """
    if prediction.shape[1] != 2:
        todo = "set loss.perpendicular=0 for magnitude images"
        raise InputError("two channels (real, imaginary) for the perpendicular loss", f"{prediction.shape[1]}", todo)
    (x_re, x_im), (y_re, y_im) = prediction.unbind(1), target.unbind(1)
    size, wanted = modulus(prediction, epsilon=epsilon), modulus(target, epsilon=epsilon)
    rejection = (x_im * y_re - x_re * y_im).abs() / size
    folded = torch.where(x_re * y_re + x_im * y_im < 0, 2 * wanted - rejection, rejection)
    return (folded + (size - wanted).abs()).mean()


def gradient(prediction: Net5D, target: Net5D) -> Tensor:
    """Mean L1 difference of the neighbour differences along W, H and, of more than one frame, T; summed over axes."""
    error = prediction - target
    axes = [axis for axis in (-1, -2, -3) if error.shape[axis] > 1]
    return sum((error.diff(dim=axis).abs().mean() for axis in axes), start=error.new_zeros(()))


def combined(
    *,
    charbonnier: float = 1.0,
    perpendicular: float = 0.0,
    gradient: float = 0.0,
    perceptual: float = 0.0,
    epsilon: float = 1e-3,
    vgg: str | Path = "",
) -> Loss:
    """The weighted sum of the four terms (weights by name); terms of weight 0 are not computed.

    epsilon: Charbonnier's, in the data's unit; vgg: file of VGG16 weights, needed where perceptual is not 0.
    Raises InputError where no term is left, a weight is negative, or the VGG16 file is missing or another's.
    """
    weights = {
        "charbonnier": charbonnier, "perpendicular": perpendicular, "gradient": gradient, "perceptual": perceptual,
    }  # fmt: skip
    if min(weights.values()) < 0 or max(weights.values()) <= 0:
        raise InputError(
            "weights of the loss >= 0, one of them > 0", str(weights), "set for example loss.charbonnier=1"
        )
    terms = [(weights[name], _term(name, epsilon, vgg)) for name in weights if weights[name] > 0]

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        return sum((w * term(prediction, target) for w, term in terms), start=prediction.new_zeros(()))

    return loss


def _term(name: str, epsilon: float, vgg: str | Path) -> Loss:
    if name == "charbonnier":
        return lambda prediction, target: charbonnier(prediction, target, epsilon=epsilon)
    if name == "perceptual":
        return perceptual.PerceptualLoss(perceptual.load_vgg16(vgg))
    return {"perpendicular": perpendicular, "gradient": gradient}[name]
