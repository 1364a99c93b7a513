"""Sophia: its curvature is the loss's, it changes, and the clipping acts."""

from pathlib import Path

import pytest
import torch
from torch import nn

from clearmr.train import checkpoint, losses
from clearmr.train.sophia import Sophia, sampled_targets
from train_runs import fit

EPSILON = 1e3  # Charbonnier is a quadratic of curvature 1 / EPSILON there


def loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return losses.charbonnier(prediction, target, epsilon=EPSILON)


def looked(net: nn.Module, x: torch.Tensor, y: torch.Tensor, sophia: Sophia, generator: torch.Generator) -> None:
    sophia.zero_grad()
    out = net(x)
    sampled_targets(out, y, loss, torch.randn(out.shape, generator=generator)).backward()
    sophia.update_curvature(out.numel() // out.shape[1])


def test_the_curvature_is_the_hessians_diagonal() -> None:
    """Of a linear net and a quadratic loss Gauss-Newton is exact: mean over draws against autograd's Hessian."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    net = nn.Conv3d(3, 2, 1)
    x = torch.randn(2, 3, 2, 4, 4, generator=generator) * torch.tensor([1.0, 3.0, 0.2])[:, None, None, None]
    y = torch.randn(2, 2, 2, 4, 4, generator=generator)
    sophia = Sophia(net.parameters(), lr=0.1, betas=(0.9, 0.0))
    total = torch.zeros_like(net.weight)
    for _ in range(800):
        looked(net, x, y, sophia, generator)
        total += sophia.state[net.weight]["curvature"] / 800

    def of_weight(weight: torch.Tensor) -> torch.Tensor:
        return loss(nn.functional.conv3d(x, weight, net.bias), y)

    hessian = torch.autograd.functional.hessian(of_weight, net.weight.detach())
    diagonal = hessian.reshape(6, 6).diagonal().reshape(total.shape)
    torch.testing.assert_close(total, diagonal, rtol=0.2, atol=0)


def test_one_step_is_the_papers_equation() -> None:
    p = nn.Parameter(torch.tensor([1.0, 1.0, 1.0]))
    sophia = Sophia([p], lr=0.1, betas=(0.5, 0.75), gamma=2.0, weight_decay=0.3)
    p.grad = torch.tensor([2.0, 0.0, -1.0])
    sophia.update_curvature(3)  # h = 0.25 * 3 * g^2 = 3, 0, 0.75
    p.grad = torch.tensor([2.0, 4.0, -1.0])
    sophia.step()  # m = 1, 2, -0.5; m / (2 h) = 1/6, infinite, -1/3
    torch.testing.assert_close(p.detach(), 0.97 - 0.1 * torch.tensor([1 / 6, 1.0, -1 / 3]))


def test_the_step_is_the_librarys_for_the_same_hessian() -> None:
    library = pytest.importorskip("pytorch_optimizer")
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2))
    sophia = Sophia([ours], lr=0.01, betas=(0.96, 0.99), gamma=1.0, weight_decay=0.1, eps=1e-12)
    peer = library.SophiaH([theirs], lr=0.01, betas=(0.96, 0.99), weight_decay=0.1, p=1.0, eps=1e-12)
    for k in range(20):
        slope = torch.randn(7, generator=torch.Generator().manual_seed(k))
        ours.grad = slope.clone()
        sophia.update_curvature(4)
        sophia.step()
        theirs.grad = slope.clone()
        peer.step(hessian=[4 * slope.square()])
    torch.testing.assert_close(ours, theirs)


def test_without_a_look_every_step_is_a_sign() -> None:
    p = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    sophia = Sophia([p], lr=0.1)
    p.grad = torch.tensor([1e-3, -50.0, 0.0])
    sophia.step()
    torch.testing.assert_close(p.detach(), torch.tensor([0.9, -1.9, 3.0]))


def test_a_stiff_quadratic_is_descended_at_one_pace() -> None:
    """Curvatures 1 and 1e4: the largest rate of plain descent would need 1e4 times as many steps on the flat axis."""
    stiffness = torch.tensor([1e4, 1.0])
    p = nn.Parameter(torch.tensor([1.0, 1.0]))
    sophia = Sophia([p], lr=0.1, betas=(0.0, 0.0), gamma=1.0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        p.grad = stiffness.sqrt() * (2.0 * torch.randint(0, 2, (2,), generator=generator) - 1)  # g^2 = the Hessian
        sophia.update_curvature(1)
        p.grad = stiffness * p.detach()
        sophia.step()
    torch.testing.assert_close(p.detach()[0], p.detach()[1], rtol=1e-4, atol=0)
    assert float(p.detach().abs().max()) < 0.9**38


def test_the_curvature_changes_while_training(tmp_path: Path) -> None:
    found = []
    for steps in (4, 16):
        fit(tmp_path / str(steps), optimizer="sophia", steps=steps, gamma=5.0)
        found.append(checkpoint.load_tensors(tmp_path / str(steps) / checkpoint.STATE)["optimizer.0.curvature"])
    assert all(float(h.min()) > 0 for h in found) and not torch.allclose(found[0], found[1], rtol=0.1)


def test_fused_attention_is_no_obstacle() -> None:
    """Its kernels have no second derivative, which Hutchinson's estimate needs and this one does not."""
    torch.manual_seed(0)

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Conv3d(2, 24, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.inner(x).flatten(2).mT.reshape(len(x), 1, -1, 24).chunk(3, -1)
            out = nn.functional.scaled_dot_product_attention(q, k, v)
            return out[:, 0].mT[:, :2].reshape(x.shape)

    net = Attention()
    sophia = Sophia(net.parameters(), lr=0.1)
    x = torch.randn(2, 2, 1, 4, 4)
    looked(net, x, 2 * x, sophia, torch.Generator().manual_seed(0))
    assert float(sophia.state[net.inner.weight]["curvature"].max()) > 0


def test_parameters_without_a_gradient_stay() -> None:
    used, unused = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    sophia = Sophia([used, unused], lr=0.1, weight_decay=0.5)
    used.grad = torch.ones(1)
    sophia.update_curvature(1)
    sophia.step()
    assert used.item() < 1 and unused.item() == 1 and unused not in sophia.state
