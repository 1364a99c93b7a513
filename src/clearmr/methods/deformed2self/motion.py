"""Motion of a series: fields that bring the frames beside a target onto it, learned by equation 4 alone."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clearmr.methods.deformed2self import draws, losses
from clearmr.methods.deformed2self.training import Course
from clearmr.nets.motion import RegistrationNet, warp


@dataclass(frozen=True)
class RegisterConfig:
    """Steps of Adam, each on all neighbours of `targets` frames; lambda of equation 4."""

    others: int = 4
    steps: int = 300
    targets: int = 2
    learning_rate: float = 1.5e-3
    smoothness: float = 0.1


def register(series: Float[Tensor, "T C H W"], config: RegisterConfig, course: Course) -> Float[Tensor, "T N 2 H W"]:
    """Of each frame the fields (y, x), in pixels, at which its neighbours (`draws.others_of`) show what it shows.

    series: denoised frames, intensities of about 0 to 1. One network learns on all pairs of this series.
    """
    n = min(config.others, len(series) - 1)
    series = series / series.std().clamp_min(1e-6)  # so that lambda weighs the same for faint images
    with torch.random.fork_rng([]):
        torch.manual_seed(course.seed)
        net = RegistrationNet(2 * series.shape[1]).to(course.device)
        generator = torch.Generator().manual_seed(course.seed)
        optimizer = torch.optim.Adam(net.parameters(), lr=config.learning_rate)
        for step in range(config.steps):
            if step and course.late:
                break
            targets = torch.randint(len(series), (config.targets,), generator=generator).tolist()
            _step(net, optimizer, *pairs_of(series, targets, n), config, course, rate=1 - step / config.steps)
        with torch.inference_mode():
            found = [_fields(net, *pairs_of(series, [target], n), course) for target in range(len(series))]
    return torch.cat(found).float().cpu().clone()


def pairs_of(series: Tensor, targets: list[int], n: int) -> tuple[Tensor, Tensor]:
    """(moving (B, N, C, H, W), target (B, C, H, W)) of some targets."""
    moving = torch.stack([series[list(draws.others_of(target, len(series), n))] for target in targets])
    return moving, series[targets]


def _fields(net: RegistrationNet, moving: Tensor, target: Tensor, course: Course) -> Tensor:
    """(B, N, 2, H, W)."""
    pairs = torch.cat([moving, target[:, None].expand_as(moving)], 2).flatten(0, 1).to(course.device)
    with torch.autocast(torch.device(course.device).type, torch.bfloat16, enabled=course.bf16):
        return net(pairs).unflatten(0, moving.shape[:2])


def _step(
    net: RegistrationNet, optimizer: torch.optim.Optimizer, moving: Tensor, target: Tensor, config: RegisterConfig,
    course: Course, *, rate: float,
) -> None:  # fmt: skip
    """One step of Adam down equation 4, its rate falling linearly."""
    flow = _fields(net, moving, target, course)
    warped = warp(moving.flatten(0, 1).to(course.device), flow.flatten(0, 1)).view(moving.shape)
    loss = losses.registration_loss(
        warped[:, :, None], target[:, None].to(course.device), flow, smoothness=config.smoothness
    )
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def end_point_error(
    found: Float[Tensor, "*B 2 H W"], truth: Float[Tensor, "*B 2 H W"], inside: Bool[Tensor, "H W"]
) -> float:
    """Mean distance in pixels between two fields, over the pixels `inside`."""
    return float((found - truth).square().sum(-3).sqrt()[..., inside].mean())
