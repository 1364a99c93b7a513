"""Equations 3, 4, 5 of the paper and their sum. Norms are means over pixels here, so that sizes do not matter.

Series are (B, K, C, H, W): B targets, each with its K = N + 1 frames, the target first. Masks are 1 where a pixel was
kept and 0 where it was dropped, the same for all channels of a pixel.
"""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from clearmr.methods.deformed2self.config import LossConfig
from clearmr.nets.motion import roughness


class Terms(NamedTuple):
    """The three losses of a step, and what they sum to."""

    total: Tensor
    single: Tensor
    registration: Tensor
    multi: Tensor


def single_loss(
    denoised: Float[Tensor, "B K C H W"], noisy: Float[Tensor, "B K C H W"], mask: Float[Tensor, "B K 1 H W"]
) -> Float[Tensor, ""]:
    """Equation 3: mean over the dropped pixels of all frames of (denoised - noisy)^2."""
    return dropped_error(denoised, noisy, mask)


def registration_loss(
    warped: Float[Tensor, "B N J C H W"],
    target: Float[Tensor, "B J C H W"],
    flow: Float[Tensor, "B N 2 H W"],
    *,
    smoothness: float = 0.1,
    crossed: bool = True,
) -> Float[Tensor, ""]:
    """Equation 4: mean squared difference of warped frames and target, plus smoothness x `roughness` of the field.

    J images of each frame: (denoised, noisy), or one of them. crossed: also the warped noisy one against the denoised
    target and the reverse, as the authors' reference does (not in the paper).
    """
    similarity = (warped - target[:, None]).square().mean()
    if crossed and warped.shape[2] > 1:
        similarity = similarity + (warped - target.flip(1)[:, None]).square().mean()
    return similarity + smoothness * roughness(flow.flatten(0, 1))


def multi_loss(
    denoised: Float[Tensor, "B C H W"], noisy: Float[Tensor, "B C H W"], mask: Float[Tensor, "B 1 H W"]
) -> Float[Tensor, ""]:
    """Equation 5: mean over the dropped pixels of the target of (denoised - noisy)^2."""
    return dropped_error(denoised, noisy, mask)


def dropped_error(denoised: Tensor, noisy: Tensor, mask: Tensor) -> Tensor:
    """Mean of (1 - mask) (denoised - noisy)^2 over the pixels with mask 0; 0 where none was dropped."""
    left_out = (1 - mask).expand(noisy.shape)
    return (left_out * (denoised - noisy).square()).sum() / left_out.sum().clamp_min(1)


def total_loss(single: Tensor, registration: Tensor, multi: Tensor, *, weights: LossConfig) -> Terms:
    """lambda_s L_s + lambda_r L_r + L_m (Section 2.3)."""
    total = weights.single * single + weights.registration * registration + weights.multi * multi
    return Terms(total, *(term.detach() for term in (single, registration, multi)))
