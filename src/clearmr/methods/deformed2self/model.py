"""The three networks of Figure 1 in one pass: f_s on each frame, f_r and the warp, f_m with the target's blind spot."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clearmr.methods.deformed2self import losses
from clearmr.methods.deformed2self.config import LossConfig, NetConfig
from clearmr.nets.blind import BlindUNet
from clearmr.nets.motion import RegistrationNet, warp


class Stages(NamedTuple):
    """What a pass gives. J images of a frame: (denoised, noisy), or only the noisy one without single denoising.

    single  (B, K, C, H, W)     f_s of each masked frame; the noisy frames themselves where there is no f_s
    target  (B, J, C, H, W)     the images of the target that the others are registered to
    warped  (B, N, J, C, H, W)  the images of the N other frames, moved onto the target
    flow    (B, N, 2, H, W)     by how many pixels (y, x)
    multi   (B, C, H, W)        the result
    """

    single: Tensor
    target: Tensor
    warped: Tensor
    flow: Tensor
    multi: Tensor


class Deformed2SelfNet(nn.Module):
    """f_s, f_r and f_m for `channels` (1: magnitude, 2: real and imaginary) and `others` = N auxiliary frames."""

    def __init__(self, config: NetConfig, *, channels: int, others: int) -> None:
        super().__init__()
        self.config, self.channels, self.others = config, channels, others
        images = 2 if config.single else 1
        unet = {"width": config.width, "levels": config.levels, "drop": config.drop}
        self.single = BlindUNet(channels, channels, **unet) if config.single else None  # type: ignore[arg-type]
        given = 2 * images * channels
        self.registration = RegistrationNet(given) if config.registration else None
        self.multi = BlindUNet(images * channels * (others + 1), channels, **unet)  # type: ignore[arg-type]

    def forward(
        self,
        noisy: Float[Tensor, "B K C H W"],
        masks: Float[Tensor, "B K 1 H W"],
        mask: Float[Tensor, "B 1 H W"],
    ) -> Stages:
        """noisy: target first. masks: of f_s's input. mask: of the noisy target that f_m sees."""
        single, images = self.denoise(noisy, masks)
        flow, warped = self.move(images)
        return Stages(single, images[:, 0], warped, flow, self.join(images, warped, mask))

    def refine(self, images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` does after f_s: (result, fields) of the images (B, K, J, C, H, W) that `denoise` gives."""
        flow, warped = self.move(images)
        return self.join(images, warped, mask), flow

    def join(self, images: Tensor, warped: Tensor, mask: Tensor) -> Tensor:
        """f_m of the target, its noisy image masked, and the others on it: (B, C, H, W)."""
        hidden = images[:, 0, -1] * mask
        target = torch.cat([images[:, 0, :-1], hidden[:, None]], 1)
        stack = torch.cat([target[:, None], warped.detach()], 1)
        return self.multi(stack.flatten(1, 3))

    def denoise(self, noisy: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """f_s of all frames in one batch, and the images (B, K, J, C, H, W) that go on, cut from its gradient."""
        if self.single is None:
            return noisy, noisy[:, :, None]
        single = self.single((noisy * masks).flatten(0, 1)).float().unflatten(0, noisy.shape[:2])
        return single, torch.stack([single.detach(), noisy], 2)

    def move(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Fields (B, N, 2, H, W) and the other frames' images moved by them, (B, N, J, C, H, W)."""
        others = images[:, 1:]
        size = images.shape[-2:]
        if self.registration is None:
            return images.new_zeros(*others.shape[:2], 2, *size), others
        target = images[:, :1].expand_as(others)
        pairs = torch.cat([others.flatten(2, 3), target.flatten(2, 3)], 2).flatten(0, 1)
        flow = self.registration(pairs).float()
        warped = warp(others.flatten(2, 3).flatten(0, 1), flow)
        return flow.unflatten(0, others.shape[:2]), warped.view(others.shape)


def losses_of(
    net: Deformed2SelfNet, stages: Stages, noisy: Tensor, masks: Tensor, mask: Tensor, weights: LossConfig
) -> losses.Terms:
    """Equations 3, 4 and 5 of a pass and their weighted sum; 0 for a stage that is left out."""
    nothing = noisy.new_zeros(())
    single = losses.single_loss(stages.single, noisy, masks) if net.single is not None else nothing
    registration = nothing
    if net.registration is not None and net.others:
        registration = losses.registration_loss(
            stages.warped, stages.target, stages.flow, smoothness=weights.smoothness, crossed=weights.crossed
        )
    return losses.total_loss(single, registration, losses.multi_loss(stages.multi, noisy[:, 0], mask), weights=weights)


def build(config: NetConfig, *, channels: int, others: int, seed: int) -> Deformed2SelfNet:
    """Weights at random from `seed`."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        net = Deformed2SelfNet(config, channels=channels, others=others)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
