"""Single draws from a generator."""

import torch


def uniform(generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    """A number in [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def pick(n: int, generator: torch.Generator) -> int:
    """A whole number in 0 ... n - 1."""
    return int(torch.randint(n, (), generator=generator))


def chance(probability: float, generator: torch.Generator) -> bool:
    """Yes with this probability."""
    return uniform(generator) < probability
