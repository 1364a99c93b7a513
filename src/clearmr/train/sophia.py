"""Sophia (Liu et al. 2023): momentum over a diagonal estimate of the curvature, each entry clipped.

The curvature is Gauss-Newton's, sampled as in the paper's Sophia-G (its algorithm 2): targets are drawn from the
model's own distribution, and N g^2 of the gradient g that they give is an estimate of the diagonal. It takes an
ordinary backward pass. The Hutchinson estimate (Sophia-H, in the package pytorch_optimizer) differentiates twice,
which PyTorch's fused attention cannot, nor distributed data parallel, nor compiled graphs.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class Sophia(torch.optim.Optimizer):
    """p <- p - lr * clip(m / max(gamma h, eps), 1), with m and h moving averages of gradient and curvature.

    lr is the largest change of a weight in one step; betas of m and h; gamma: the larger, the fewer entries are
    clipped (the paper aims at 10 to 50 % unclipped). Weight decay is decoupled. `update_curvature` is called by the
    loop every few steps; until the first call every step is +-lr.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float] = (0.965, 0.99),
        gamma: float = 0.05,
        weight_decay: float = 0.0,
        eps: float = 1e-15,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "gamma": gamma, "weight_decay": weight_decay, "eps": eps}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def update_curvature(self, n: int) -> None:
        """Take the gradients g of `sampled_targets`, over `n` voxels, into the curvature: h <- b h + (1 - b) n g^2."""
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                self._moments(p)["curvature"].lerp_(n * p.grad.square(), 1 - group["betas"][1])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step along the gradients."""
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                moments = self._moments(p)
                momentum = moments["momentum"].lerp_(p.grad, 1 - group["betas"][0])
                curvature = (group["gamma"] * moments["curvature"]).clamp_(min=group["eps"])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_((momentum / curvature).clamp_(-1, 1), alpha=-group["lr"])
        return value

    def _moments(self, p: Tensor) -> dict[str, Tensor]:
        state = self.state[p]
        if not state:
            state["momentum"], state["curvature"] = torch.zeros_like(p), torch.zeros_like(p)
        return state


def sampled_targets(
    prediction: Tensor, target: Tensor, loss: Callable[[Tensor, Tensor], Tensor], noise: Tensor
) -> Tensor:
    """A scalar whose gradient g gives the Gauss-Newton diagonal as E[N g^2]; N voxels, all arrays (B, C, T, H, W).

    The loss, a mean over voxels, is taken near the present error as the quadratic of equal gradient and curvature
    w = |dl/dX| / |X - Y| per voxel (for Charbonnier 1 / sqrt(|X - Y|^2 + epsilon^2)), that is, as a Gaussian of
    variance 1 / w, from which the targets X + noise / sqrt(w) are drawn; noise is standard normal. Only `loss` is
    differentiated on its own.
    """
    leaf = prediction.detach().requires_grad_()
    (slope,) = torch.autograd.grad(loss(leaf, target), leaf)
    n = prediction.numel() // prediction.shape[1]
    error = torch.linalg.vector_norm(leaf.detach() - target, dim=1, keepdim=True)
    weight = n * torch.linalg.vector_norm(slope, dim=1, keepdim=True) / error.clamp_min(1e-12)
    return (weight.sqrt() * noise * prediction).sum() / n
