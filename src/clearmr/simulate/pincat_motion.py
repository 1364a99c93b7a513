"""How a simulated thorax breathes: a trace of varying breaths, and a smooth map from every frame to the body at rest.

A frame is drawn by asking for each of its points where that point lies at rest (end-expiration, diastole), so the
motion between two frames is known: there by that map, back by its inverse. Lengths are fractions of half the field of
view.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from clearmr.simulate.cine import contraction
from clearmr.simulate.shapes import uniform

Place = tuple[Tensor, Tensor]  # coordinates (y, x)

HEART, CHEST, SIDES = 0.6, 0.22, 0.08  # travel of the heart, of the front wall and of the side walls; the dome's is 1
CLOSE = 1e-10  # how near an inverted point must come
PULL = 0.3  # how far full contraction draws the heart's tissue inwards, of its distance to the centre


@dataclass(frozen=True)
class Breathing:
    """One subject's way to breathe. depth: mean travel of the liver's dome; period: seconds of a mean breath."""

    depth: float
    period: float
    heart: tuple[float, float]
    body: tuple[float, float]
    spine: float


def breath_trace(breathing: Breathing, seconds: Tensor, generator: torch.Generator) -> Tensor:
    """Travel of the dome at each time, 0 at rest. Every breath has its own depth (SD 25 %) and period (SD 15 %).

    A breath is sin^4, as Lujan et al. 1999 (Med Phys 26:715) describe the diaphragm: long near expiration.
    """
    last, start = float(seconds.max()), -breathing.period * uniform(generator, 0.0, 1.0)
    trace = torch.zeros_like(seconds)
    while start <= last:
        deep, long = (torch.randn(2, generator=generator) * torch.tensor([0.25, 0.15])).clamp(-0.45, 0.45).tolist()
        stop = start + breathing.period * (1 + long)
        phase = (seconds - start) / (stop - start)
        during = (phase >= 0) & (phase < 1)
        trace = trace + during * breathing.depth * (1 + deep) * torch.sin(math.pi * phase) ** 4
        start = stop
    return trace


def beat_trace(n_frames: int, generator: torch.Generator) -> Tensor:
    """How far the heart is contracted in each frame, 0..1, where nothing triggers: phases of the cycle at random."""
    phases = torch.rand(n_frames, generator=generator)
    return torch.tensor([contraction(float(phase)) for phase in phases])


def at_rest(breathing: Breathing, y: Tensor, x: Tensor, breath: float, beat: float = 0.0) -> Place:
    """Where the tissue that lies at (y, x) when the dome has travelled by `breath` lies at rest."""
    down, right = _travel(breathing, y, x)
    y, x = y - breath * down, x - breath * right
    dy, dx = y - breathing.heart[0], x - breathing.heart[1]
    pull = 1 + PULL * beat * torch.exp(-(dy**2 + dx**2) / (2 * 0.2**2))
    return breathing.heart[0] + pull * dy, breathing.heart[1] + pull * dx


def in_frame(breathing: Breathing, y: Tensor, x: Tensor, breath: float, beat: float = 0.0, *, steps: int = 80) -> Place:
    """The inverse of `at_rest` by fixed-point iteration (the map differs from identity by a contraction)."""
    now_y, now_x = y, x
    for _ in range(steps):
        rest_y, rest_x = at_rest(breathing, now_y, now_x, breath, beat)
        miss_y, miss_x = y - rest_y, x - rest_x
        now_y, now_x = now_y + miss_y, now_x + miss_x
        if torch.maximum(miss_y.abs().max(), miss_x.abs().max()) < CLOSE:
            break
    return now_y, now_x


def _travel(breathing: Breathing, y: Tensor, x: Tensor) -> Place:
    """Travel (down, right) per travel of the dome: organs down, front wall up, side walls out; the spine stays."""
    radius_y, radius_x = breathing.body
    depth = 1 - torch.sqrt((y / radius_y) ** 2 + (x / radius_x) ** 2 + 1e-9)  # 0 at the skin, 1 in the middle
    inner = _step((depth - 0.04) / 0.5)
    below = _step((y + 0.62) / 0.6)
    near_heart = _bump(y, x, breathing.heart, (0.27, 0.27))
    near_spine = _bump(y, x, (breathing.spine, 0.0), (0.2, 0.2))
    organs = inner * below * (1 - (1 - HEART) * near_heart) * (1 - near_spine)
    down = organs - CHEST * _step((0.15 - y) / 0.75) * (1 - 0.5 * near_heart)
    right = SIDES * torch.tanh(x / 0.4) * _step((0.45 - y) / 0.6) - 0.15 * near_heart
    return down, right


def _step(t: Tensor) -> Tensor:
    """0 up to t = 0, 1 from t = 1, smooth between."""
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)


def _bump(y: Tensor, x: Tensor, centre: tuple[float, float], size: tuple[float, float]) -> Tensor:
    return torch.exp(-(((y - centre[0]) / size[0]) ** 2 + ((x - centre[1]) / size[1]) ** 2) / 2)
