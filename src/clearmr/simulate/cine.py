"""A beating heart in short axis, with the chest round it. Lengths are fractions of half the field of view."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from clearmr.axes import Image
from clearmr.simulate.shapes import (
    coverage,
    ellipse,
    grid_2d,
    paint,
    pool,
    smooth_phase,
    texture,
    uniform,
    warp,
    with_phase,
)

Point = tuple[float, float]

# Intensities as balanced SSFP shows them: T2/T1 is high in blood and fat.
BLOOD, MYOCARDIUM, FAT, MUSCLE, LUNG, LIVER, SPLEEN, BONE = 0.88, 0.30, 0.95, 0.24, 0.05, 0.42, 0.5, 0.38


@dataclass(frozen=True)
class Anatomy:
    """One subject, drawn once from a seed; centres (y, x)."""

    heart: Point
    lv_radius: float
    wall: float
    ejection: float
    twist: float
    rv_angle: float
    body: Point
    vessels: tuple[tuple[float, float, float], ...]  # lung vessels: y, x, radius
    grain: Tensor  # a fine random field, of unit SD
    mottle: Tensor  # a coarse one


def draw_anatomy(generator: torch.Generator, *, points: int = 256) -> Anatomy:
    """A subject at random. The textures are `points` wide whatever the matrix, so that a seed is one subject."""
    g = generator
    vessels = tuple(
        (uniform(g, -0.35, 0.3), side * uniform(g, 0.38, 0.68), uniform(g, 0.006, 0.022))
        for side in (-1, 1)
        for _ in range(14)
    )
    return Anatomy(
        heart=(uniform(g, -0.14, -0.06), uniform(g, 0.1, 0.18)),
        lv_radius=uniform(g, 0.135, 0.16),
        wall=uniform(g, 0.05, 0.065),
        ejection=uniform(g, 0.30, 0.40),
        twist=uniform(g, 0.1, 0.25),
        rv_angle=uniform(g, -0.25, 0.1),
        body=(uniform(g, 0.62, 0.7), uniform(g, 0.86, 0.92)),
        vessels=vessels,
        grain=texture((points, points), 1.5, g),
        mottle=texture((points, points), 8.0, g),
    )


def contraction(phase: float) -> float:
    """How far the heart is contracted, 0..1, at a fraction 0..1 of its cycle: fast systole, slower filling."""
    systole = 0.36
    if phase < systole:
        return 0.5 - 0.5 * math.cos(math.pi * phase / systole)
    filling = min(1.0, (phase - systole) / 0.42)
    return 0.5 + 0.5 * math.cos(math.pi * filling)


def cine(matrix: tuple[int, int, int], *, n_frames: int = 12, seed: int = 0) -> Image:
    """One cardiac cycle in `n_frames` frames: (frame, z, y, x) complex64, peak magnitude 1.

    Torso with fat, ribs, lungs, spine and aorta, liver with vessels, and a heart whose left ventricle keeps its wall's
    area while its cavity shrinks, with papillary muscles; what lies near it is drawn along smoothly. Through z the
    heart tapers towards the apex.
    """
    generator = torch.Generator().manual_seed(seed)
    subject = draw_anatomy(generator)
    n_z, n_y, n_x = matrix
    frames = [
        torch.stack([_draw(subject, n_y, n_x, frame / n_frames, 1 - 0.4 * z / n_z) for z in range(n_z)])
        for frame in range(n_frames)
    ]
    return with_phase(torch.stack(frames), smooth_phase(matrix, generator))


def _draw(subject: Anatomy, n_y: int, n_x: int, phase: float, taper: float) -> Tensor:
    """The magnitude (y, x) at a fraction `phase` of the cycle."""
    y, x = grid_2d(n_y, n_x)
    width = 2.0 / min(y.shape)
    squeeze = contraction(phase)
    at_rest_y, at_rest_x = _drawn_along(subject, y, x, squeeze)
    canvas = _chest(subject, y, x, width)
    canvas = _belly(subject, canvas, at_rest_y, at_rest_x, width)
    canvas = _vessels(subject, canvas, y, x, width, phase)
    canvas = _heart(subject, canvas, y, x, width, squeeze, taper)
    grain = warp(subject.grain, at_rest_y, at_rest_x)
    mottle = warp(subject.mottle, at_rest_y, at_rest_x)
    bias = 1 + 0.12 * (-y) + 0.05 * x
    return pool(canvas * (1 + 0.03 * grain + 0.05 * mottle) * bias).clamp(min=0)


def _drawn_along(subject: Anatomy, y: Tensor, x: Tensor, squeeze: float) -> tuple[Tensor, Tensor]:
    """Where the tissue that is now at (y, x) lies at rest: pulled to the heart and twisted, less far from it."""
    dy, dx = y - subject.heart[0], x - subject.heart[1]
    near = squeeze * torch.exp(-(dy**2 + dx**2) / (2 * 0.22**2))
    pull, turn = 1 + 0.25 * near, subject.twist * near
    c, s = torch.cos(turn), torch.sin(turn)
    return subject.heart[0] + pull * (c * dy - s * dx), subject.heart[1] + pull * (s * dy + c * dx)


def _chest(subject: Anatomy, y: Tensor, x: Tensor, width: float) -> Tensor:
    """Skin and fat, muscle, ribs, lungs, spine."""
    body = ellipse(y, x, (0.0, 0.0), subject.body)
    canvas = paint(torch.zeros_like(y), coverage(body, width), 0.6)
    canvas = paint(canvas, coverage(body - 0.012, width), FAT)
    canvas = paint(canvas, coverage(body - 0.075 - 0.03 * torch.sin(2.3 * y + 1.1) ** 2, width), MUSCLE)
    angle = torch.atan2(y / subject.body[0], x / subject.body[1])
    ribs = 0.02 - (body - 0.135).abs() + 0.02 * (torch.cos(11 * angle) - 0.35)
    canvas = paint(canvas, coverage(ribs, width), 0.55)
    for side in (-1, 1):
        lung = ellipse(y, x, (-0.02, side * 0.42), (0.45, 0.34), angle=side * 0.12)
        canvas = paint(canvas, coverage(torch.minimum(lung, body - 0.17), width), LUNG)
    for vessel_y, vessel_x, radius in subject.vessels:
        canvas = paint(canvas, coverage(ellipse(y, x, (vessel_y, vessel_x), (radius, radius)), width), 0.5)
    mediastinum = ellipse(y, x, (0.05, 0.0), (0.48, 0.14))
    canvas = paint(canvas, coverage(mediastinum, width), 0.5)
    return _spine(canvas, y, x, width)


def _spine(canvas: Tensor, y: Tensor, x: Tensor, width: float) -> Tensor:
    for side in (-1, 1):
        back = ellipse(y, x, (0.5, side * 0.17), (0.075, 0.14), angle=side * 0.1)
        canvas = paint(canvas, coverage(back, width), MUSCLE * 0.9)
    canvas = paint(canvas, coverage(ellipse(y, x, (0.33, 0.0), (0.095, 0.115)), width), 0.2)
    canvas = paint(canvas, coverage(ellipse(y, x, (0.33, 0.0), (0.08, 0.1)), width), BONE)
    canvas = paint(canvas, coverage(ellipse(y, x, (0.45, 0.0), (0.035, 0.045)), width), 0.85)
    return paint(canvas, coverage(ellipse(y, x, (0.45, 0.0), (0.018, 0.024)), width), 0.45)


def _belly(subject: Anatomy, canvas: Tensor, y: Tensor, x: Tensor, width: float) -> Tensor:
    """Liver with its vessels at the image's left, spleen and stomach at the right; coordinates at rest."""
    body = ellipse(y, x, (0.0, 0.0), subject.body) - 0.16
    liver = torch.minimum(ellipse(y, x, (0.12, -0.45), (0.36, 0.36), angle=-0.5), body)
    canvas = paint(canvas, coverage(liver, width), LIVER)
    branches = coverage(0.10 - warp(subject.mottle, y, x).abs(), 0.1) * coverage(liver - 0.04, 0.03)
    canvas = paint(canvas, 0.8 * branches, 0.7)
    stomach = ellipse(y, x, (0.27, 0.36), (0.13, 0.15), angle=0.4)
    canvas = paint(canvas, coverage(stomach, width), MUSCLE)
    canvas = paint(canvas, coverage(stomach - 0.02, width), 0.12)
    spleen = torch.minimum(ellipse(y, x, (0.26, 0.62), (0.17, 0.09), angle=-0.5), body)
    return paint(canvas, coverage(spleen, width), SPLEEN)


def _vessels(subject: Anatomy, canvas: Tensor, y: Tensor, x: Tensor, width: float, phase: float) -> Tensor:
    """Descending aorta, which widens with the pulse, inferior vena cava, mammary arteries."""
    pulse = 1 + 0.08 * math.exp(-(((phase - 0.3) / 0.12) ** 2))
    aorta = ellipse(y, x, (0.2, 0.12), (0.058 * pulse, 0.058 * pulse))
    canvas = paint(canvas, coverage(aorta + 0.01, width), MUSCLE)
    canvas = paint(canvas, coverage(aorta, width), BLOOD * 0.95)
    canvas = paint(canvas, coverage(ellipse(y, x, (0.15, -0.12), (0.045, 0.06)), width), BLOOD * 0.8)
    for side in (-1, 1):
        mammary = ellipse(y, x, (-subject.body[0] + 0.17, side * 0.08), (0.012, 0.012))
        canvas = paint(canvas, coverage(mammary, width), BLOOD)
    return canvas


def _heart(
    subject: Anatomy, canvas: Tensor, y: Tensor, x: Tensor, width: float, squeeze: float, taper: float
) -> Tensor:
    """Right ventricle, then the left with its wall over it."""
    cy, cx = subject.heart[0] + 0.012 * squeeze, subject.heart[1] - 0.008 * squeeze
    endo = subject.lv_radius * taper * (1 - subject.ejection * squeeze)
    rest = subject.lv_radius * taper
    # An incompressible wall: pi (epi^2 - endo^2) stays, but for the tenth that moves through the plane.
    epi = math.sqrt(endo**2 + ((rest + subject.wall) ** 2 - rest**2) * (1 + 0.1 * squeeze))
    left = ellipse(y, x, (cy, cx), (epi * 1.02, epi))
    canvas = _right_ventricle(subject, canvas, y, x, width, left, (cy, cx - 0.8 * (rest + subject.wall)), squeeze)
    turn = subject.twist * squeeze
    angle = torch.atan2(y - cy, x - cx) - turn
    ripple = 0.03 * torch.cos(3 * angle + 0.7) + 0.02 * torch.cos(5 * angle)
    canvas = paint(canvas, coverage(left, width), MYOCARDIUM)
    trabeculae = 0.06 * torch.cos(17 * angle) * torch.cos(6 * angle + 1) * (1 - 0.5 * squeeze)
    cavity = ellipse(y, x, (cy, cx), (endo, endo)) + endo * (ripple + trabeculae)
    canvas = paint(canvas, coverage(cavity, width), BLOOD * (1 + 0.04 * warp(subject.mottle, y * 0.7, x * 0.7)))
    return _papillary(canvas, y, x, width, (cy, cx), endo, turn)


def _right_ventricle(
    subject: Anatomy, canvas: Tensor, y: Tensor, x: Tensor, width: float, left: Tensor, centre: Point, squeeze: float
) -> Tensor:
    """Fat round the heart, and a crescent: an ellipse at the image's left of the left ventricle, which covers half."""
    shrink = 1 - 0.2 * squeeze
    cavity = ellipse(y, x, centre, (0.21 * shrink, 0.2 * shrink), angle=subject.rv_angle)
    outside = torch.maximum(left, cavity + 0.018)
    canvas = paint(canvas, coverage(outside + 0.03 + 0.02 * torch.sin(4 * x + 3 * y), width), FAT * 0.75)
    canvas = paint(canvas, coverage(outside, width), MYOCARDIUM)
    swirl = warp(subject.mottle, y + 0.1 * squeeze, x - 0.05 * squeeze)
    ragged = cavity + 0.008 * warp(subject.grain, y, x)
    canvas = paint(canvas, coverage(ragged, width), BLOOD * 0.93 * (1 + 0.05 * swirl))
    band = 0.008 - (x - centre[1] + 0.06 - 0.4 * (y - centre[0])).abs()
    inside = coverage(cavity, width) * coverage(y - centre[0] - 0.03, width)
    return paint(canvas, coverage(band, width) * inside, MYOCARDIUM)


def _papillary(canvas: Tensor, y: Tensor, x: Tensor, width: float, centre: Point, endo: float, turn: float) -> Tensor:
    """Two muscles that come off the wall and fill more of the cavity as it shrinks."""
    for place in (0.75, 2.55):
        py, px = (endo * 0.68 * f(place + turn) for f in (math.sin, math.cos))
        muscle = ellipse(y, x, (centre[0] + py, centre[1] + px), (0.03, 0.024), angle=place)
        canvas = paint(canvas, coverage(muscle, width), MYOCARDIUM * 1.05)
    return canvas
