"""The laws that operators and reconstructions must keep, written once."""

from collections.abc import Callable

import torch
from torch import Tensor

Operator = Callable[[Tensor], Tensor]


def complex_noise(*shape: int, seed: int) -> Tensor:
    """Unit noise: SD 1 in each of real and imaginary; complex64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.complex(torch.randn(*shape, generator=generator), torch.randn(*shape, generator=generator))


def assert_adjoint(forward: Operator, adjoint: Operator, domain: Tensor, range_: Tensor, *, rtol: float = 1e-4) -> None:
    """<A x, y> = <x, A^H y>."""
    left = torch.vdot(forward(domain).flatten(), range_.flatten())
    right = torch.vdot(domain.flatten(), adjoint(range_).flatten())
    scale = torch.linalg.vector_norm(domain) * torch.linalg.vector_norm(range_)
    assert abs(left - right) <= rtol * scale / domain.numel() ** 0.5, (left, right)


def assert_unitary(operator: Operator, inverse: Operator, domain: Tensor, *, atol: float = 1e-5) -> None:
    """The operator keeps the norm and its adjoint undoes it."""
    image = operator(domain)
    torch.testing.assert_close(torch.linalg.vector_norm(image), torch.linalg.vector_norm(domain), rtol=1e-5, atol=0)
    torch.testing.assert_close(inverse(image), domain, rtol=0, atol=atol * float(domain.abs().max()))


def assert_linear(operator: Operator, first: Tensor, second: Tensor, *, rtol: float = 1e-4) -> None:
    """A(a x + b y) = a A x + b A y for complex a and b."""
    a, b = 0.7 - 0.4j, -1.3 + 0.2j
    together = operator(a * first + b * second)
    apart = a * operator(first) + b * operator(second)
    assert torch.linalg.vector_norm(together - apart) <= rtol * torch.linalg.vector_norm(apart)


def noise_ratio(replicas: Tensor, noise_sd: Tensor) -> Tensor:
    """Measured SD of noise-only replicas (replica, ...) over the SD that was promised."""
    variance = 0.5 * (replicas.real.var(dim=0) + replicas.imag.var(dim=0))
    return variance.sqrt() / noise_sd


def assert_unit_noise(replicas: Tensor, noise_sd: Tensor, mask: Tensor, *, mean_tolerance: float = 0.01) -> None:
    """Unit noise in, `noise_sd` out: on average over the mask, and voxel by voxel within the Monte-Carlo error.

    The relative SD of a variance from n complex replicas is 1 / sqrt(n), that of an SD half of it.
    """
    ratio = noise_ratio(replicas, noise_sd)[mask]
    error = 0.5 / (replicas.shape[0] - 1) ** 0.5
    assert abs(float(ratio.mean()) - 1) < mean_tolerance, f"mean ratio {float(ratio.mean()):.4f}"
    inside = ((ratio - 1).abs() < 4.5 * error).float().mean()
    assert float(inside) > 0.999, f"{float(inside):.4f} of the voxels within the Monte-Carlo error"
    assert float(ratio.std()) < 1.15 * error, f"spread {float(ratio.std()):.4f}, by chance {error:.4f}"
