"""The thorax of a simulated perfusion series at rest: what every point shows before the bolus, and what it takes up.

The plane is oblique, near the heart's short axis: the front wall up, the spine down, the liver's dome at the lower left
under the lung, stomach and spleen at the lower right. Lengths are fractions of half the field of view (96 mm).
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clearmr.simulate.pincat_contrast import KINDS
from clearmr.simulate.pincat_vessels import Tubes, draw_tubes, grow
from clearmr.simulate.shapes import coverage, ellipse, paint, texture, uniform, warp

Point = tuple[float, float]

# Intensities of a saturation-prepared T1-weighted image before the bolus (blood and muscle dark, fat bright), and the
# uptake at the peak of each curve; blood outshines all else, myocardium takes up a quarter of that. Their level
# makes the middle frame's mean 0.17 to 0.2; the Poisson rows of Deformed2Self's Table 1 tell theirs: 0.23.
TISSUES: dict[str, dict[str, float]] = {
    "air": {},
    "skin": {"base": 0.40, "rest": 0.06},
    "fat": {"base": 0.76},
    "muscle": {"base": 0.25, "rest": 0.10},
    "rib": {"base": 0.10},
    "marrow": {"base": 0.44, "rest": 0.07},
    "disc": {"base": 0.30, "rest": 0.03},
    "fluid": {"base": 0.10},
    "cord": {"base": 0.30, "rest": 0.03},
    "lung": {"base": 0.065, "lung": 0.07},
    "lung vessel": {"base": 0.15, "lung": 0.62},
    "liver": {"base": 0.40, "liver": 0.17},
    "liver vein": {"base": 0.24, "vein": 0.42},
    "spleen": {"base": 0.26, "spleen": 0.36},
    "gut": {"base": 0.28, "rest": 0.16},
    "gut content": {"base": 0.12},
    "myocardium": {"base": 0.20, "myocardium": 0.19},
    "right": {"base": 0.13, "right": 0.85},
    "left": {"base": 0.13, "left": 0.80},
    "artery": {"base": 0.14, "artery": 0.74},
    "vein": {"base": 0.14, "vein": 0.5, "right": 0.12},
}


@dataclass(frozen=True)
class Thorax:
    """One subject, drawn once from a seed; centres (y, x). Textures have unit SD."""

    body: Point
    heart: Point
    cavity: float  # radius of the left ventricle at rest
    wall: float
    tilt: float  # angle of the right ventricle
    defect: tuple[float, float, float]  # perfusion defect of the wall: angle, half width, what is lost
    dome: Point  # centre of the liver
    stomach: Point
    spine: float
    ribs: float  # phase of the ribs along the wall
    lungs: tuple[Tubes, Tubes]
    spots: tuple[tuple[float, float, float], ...]  # vessels of the lungs through the plane: y, x, radius
    hepatic: Tubes
    grain: Tensor
    mottle: Tensor


def draw_thorax(generator: torch.Generator) -> Thorax:
    """A subject at random."""
    g = generator
    heart = (uniform(g, -0.14, -0.08), uniform(g, 0.10, 0.17))
    dome = (uniform(g, 0.30, 0.34), uniform(g, -0.46, -0.41))
    roots = [((heart[0] - 0.02, side * uniform(g, 0.24, 0.28) + 0.02), math.pi * (side < 0)) for side in (-1, 1)]
    return Thorax(
        body=(uniform(g, 0.68, 0.76), uniform(g, 0.85, 0.92)),
        heart=heart,
        cavity=uniform(g, 0.135, 0.16),
        wall=uniform(g, 0.068, 0.085),
        tilt=uniform(g, -0.25, 0.1),
        defect=(uniform(g, -math.pi, math.pi), uniform(g, 0.3, 0.7), uniform(g, 0.2, 0.6)),
        dome=dome,
        stomach=(uniform(g, 0.31, 0.36), uniform(g, 0.34, 0.42)),
        spine=uniform(g, 0.40, 0.44),
        ribs=uniform(g, 0.0, 2 * math.pi),
        lungs=tuple(grow(root, angle, 0.16, 0.03, 7, g) for root, angle in roots),  # type: ignore[arg-type]
        spots=tuple(
            (uniform(g, -0.5, 0.3), side * uniform(g, 0.2, 0.75), uniform(g, 0.005, 0.02))
            for side in (-1, 1)
            for _ in range(24)
        ),
        hepatic=grow((dome[0] + 0.1, dome[1] + 0.22), math.pi + 0.6, 0.17, 0.028, 6, g),
        grain=texture((512, 512), 2.5, g),
        mottle=texture((512, 512), 14.0, g),
    )


@dataclass(frozen=True)
class Canvas:
    """What is drawn so far, (kind, y, x), at the points (y, x) of size `width`."""

    maps: Tensor
    y: Tensor
    x: Tensor
    width: float

    def lay(self, tissue: str, distance: Tensor, *, share: float | Tensor = 1.0) -> "Canvas":
        """With a tissue laid where `distance` to its edge is positive; `share` of it, where it is mixed with others."""
        value = torch.tensor([TISSUES[tissue].get(kind, 0.0) for kind in KINDS])[:, None, None]
        cover = coverage(distance, self.width) * share
        rows, columns = (_span(cover.amax(dim)) for dim in (1, 0))
        maps = self.maps.clone()
        maps[:, rows, columns] = paint(maps[:, rows, columns], cover[rows, columns], value)
        return replace(self, maps=maps)

    def ellipse(self, centre: Point, radii: Point, angle: float = 0.0) -> Tensor:
        return ellipse(self.y, self.x, centre, radii, angle=angle)


def _span(covered: Tensor) -> slice:
    """From the first to the last place that is covered at all."""
    places = covered.nonzero().flatten()
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def bumps(thorax: Thorax, c: Canvas, finer: float) -> Tensor:
    """A random field of unit SD, `finer` times as fine as the subject's coarse texture (3.5 pixels of 1.5 mm)."""
    return warp(thorax.mottle, finer * c.y, finer * c.x)


def outline(thorax: Thorax, y: Tensor, x: Tensor) -> Tensor:
    """Signed distance to the skin, positive inside; flatter at the back."""
    flat = 1 + 0.06 * torch.tanh(3 * y)
    return ellipse(y * flat, x, (0.0, 0.0), thorax.body) - 0.012 * torch.cos(3 * torch.atan2(y, x))


def heart_outline(thorax: Thorax, y: Tensor, x: Tensor, taper: float = 1.0) -> Tensor:
    """Signed distance to the surface of both ventricles together, positive inside."""
    left = (thorax.cavity + thorax.wall) * taper
    right = ellipse(y, x, _right_centre(thorax, taper), (0.227 * taper, 0.222 * taper), angle=thorax.tilt)
    return torch.maximum(ellipse(y, x, thorax.heart, (1.02 * left, left)), right)


def draw_maps(thorax: Thorax, y: Tensor, x: Tensor, *, taper: float = 1.0) -> Tensor:
    """Intensity before the bolus and uptake per curve of the body at rest, (kind, y, x), at the points (y, x)."""
    canvas = Canvas(torch.zeros(len(KINDS), *y.shape), y, x, 2.0 / min(y.shape))
    inside = outline(thorax, y, x)
    for draw in (_wall, _lungs, _mediastinum, _spine, _belly, _great_vessels):
        canvas = draw(thorax, canvas, inside)
    canvas = _heart(thorax, canvas, taper)
    grain, mottle = warp(thorax.grain, y, x), warp(thorax.mottle, y, x)
    return canvas.maps * (1 + 0.035 * grain + 0.05 * mottle).clamp(min=0.5)


def _wall(thorax: Thorax, c: Canvas, inside: Tensor) -> Canvas:
    """Skin, fat, muscle in layers with fat between, ribs cut obliquely with their marrow, breast bone."""
    angle = torch.atan2(c.y / thorax.body[0], c.x / thorax.body[1])
    c = c.lay("skin", inside).lay("fat", inside - 0.014)
    depth = 0.062 + 0.022 * torch.sin(2 * angle + 0.6) + 0.012 * torch.cos(5 * angle)
    c = c.lay("muscle", inside - depth)
    c = c.lay("fat", 0.007 - (inside - depth - 0.032).abs(), share=0.7)
    ribs = 0.019 - (inside - 0.135).abs() + 0.03 * (torch.cos(10 * angle + thorax.ribs) - 0.5).clamp(max=0.0)
    c = c.lay("rib", ribs).lay("marrow", ribs - 0.008)
    sternum = c.ellipse((-thorax.body[0] + 0.125, 0.02), (0.035, 0.1))
    return c.lay("rib", sternum).lay("marrow", sternum - 0.011)


def _lungs(thorax: Thorax, c: Canvas, inside: Tensor) -> Canvas:
    """Both lungs with the arteries and veins that branch from their roots, and airways beside these."""
    for side, tree in zip((-1, 1), thorax.lungs, strict=True):
        lung = torch.minimum(c.ellipse((-0.03, side * 0.43), (0.5, 0.37), side * 0.12), inside - 0.165)
        heavier = (0.5 + 0.9 * c.y).clamp(0, 1)  # blood sinks to the back
        c = c.lay("lung", lung).lay("lung vessel", lung, share=0.12 * heavier)
        fine = (0.25 * bumps(thorax, c, 2.0) - 0.2).clamp(min=0)  # vessels too small to be seen one by one
        c = c.lay("lung vessel", lung - 0.02, share=fine)
        c = c.lay("lung vessel", torch.minimum(draw_tubes(tree, c.y, c.x), lung))
        for y0, x0, radius in (spot for spot in thorax.spots if spot[1] * side > 0):
            c = c.lay("lung vessel", torch.minimum(c.ellipse((y0, x0), (radius, radius)), lung - 0.02))
        airway = c.ellipse((thorax.heart[0] + 0.06, side * 0.34), (0.026, 0.032))
        c = c.lay("muscle", airway + 0.01).lay("air", airway)
    return c


def _mediastinum(thorax: Thorax, c: Canvas, inside: Tensor) -> Canvas:
    """Fat and muscle in the middle."""
    middle = c.ellipse((0.06, 0.02), (0.55, 0.15))
    c = c.lay("muscle", torch.minimum(middle, inside - 0.12))
    front = torch.minimum(c.ellipse((-0.45, 0.03), (0.13, 0.22)), inside - 0.15) + 0.02 * bumps(thorax, c, 1.0)
    c = c.lay("fat", front, share=(0.62 + 0.2 * bumps(thorax, c, 1.5)).clamp(0.1, 1.0))  # the thymus is left in it
    return c.lay("fat", c.ellipse((thorax.spine - 0.2, 0.06), (0.07, 0.13)), share=0.7)


def _great_vessels(thorax: Thorax, c: Canvas, inside: Tensor) -> Canvas:
    """Aorta, gullet, azygos vein, mammary vessels."""
    aorta = c.ellipse((thorax.spine - 0.15, 0.15), (0.066, 0.062))
    c = c.lay("muscle", aorta + 0.011).lay("artery", aorta)
    gullet = c.ellipse((thorax.spine - 0.17, 0.035), (0.026, 0.036))
    c = c.lay("gut", gullet).lay("gut content", gullet - 0.018)
    c = c.lay("vein", c.ellipse((thorax.spine - 0.1, -0.06), (0.016, 0.018)))
    for side in (-1, 1):
        c = c.lay("artery", c.ellipse((-thorax.body[0] + 0.18, side * 0.1 + 0.01), (0.014, 0.014)))
    return c


def _spine(thorax: Thorax, c: Canvas, inside: Tensor) -> Canvas:
    """Muscles of the back, a vertebra with its arch, the canal with fluid and cord."""
    y0 = thorax.spine
    for side in (-1, 1):
        back = torch.minimum(c.ellipse((y0 + 0.12, side * 0.19), (0.085, 0.15), side * 0.12), inside - 0.06)
        strands = 0.15 + 0.15 * torch.sin(46 * c.x + 30 * side * c.y)
        c = c.lay("muscle", back).lay("fat", back - 0.01, share=strands.clamp(min=0))
        c = c.lay("rib", c.ellipse((y0 + 0.1, side * 0.1), (0.024, 0.09), side * -0.5))
    c = c.lay("rib", c.ellipse((y0, 0.0), (0.098, 0.122))).lay("marrow", c.ellipse((y0, 0.0), (0.084, 0.108)))
    c = c.lay("disc", c.ellipse((y0 + 0.02, 0.0), (0.03, 0.05)), share=0.5)
    c = c.lay("fluid", c.ellipse((y0 + 0.125, 0.0), (0.038, 0.048)))
    return c.lay("cord", c.ellipse((y0 + 0.125, 0.0), (0.02, 0.028)))


def _belly(thorax: Thorax, c: Canvas, inside: Tensor) -> Canvas:
    """Liver under its dome with veins, its left lobe under the heart, vena cava, stomach with folds, spleen."""
    room = inside - 0.165
    y0, x0 = thorax.dome
    lobe = c.ellipse((0.245, -0.06), (0.095, 0.3), 0.14)
    liver = torch.minimum(torch.maximum(c.ellipse((y0, x0), (0.33, 0.36), -0.12), lobe), room)
    c = c.lay("rib", liver + 0.012, share=0.8)  # the diaphragm: a dark line under the lung
    c = c.lay("liver", liver)
    c = c.lay("liver vein", torch.minimum(draw_tubes(thorax.hepatic, c.y, c.x), liver - 0.03), share=0.9)
    c = c.lay("vein", c.ellipse((y0 - 0.0, -0.14), (0.05, 0.062)))
    stomach = c.ellipse(thorax.stomach, (0.14, 0.17), 0.35)
    angle = torch.atan2(c.y - thorax.stomach[0], c.x - thorax.stomach[1])
    c = c.lay("rib", stomach + 0.012, share=0.8).lay("gut", stomach)
    folds = 0.013 * torch.cos(9 * angle + 2 * torch.sin(3 * angle)) + 0.012 * bumps(thorax, c, 1.5)
    c = c.lay("gut content", stomach - 0.034 - folds)
    spleen = torch.minimum(c.ellipse((0.24, 0.63), (0.2, 0.11), -0.45), room)
    c = c.lay("rib", spleen + 0.012, share=0.8).lay("spleen", spleen)
    return c.lay("vein", c.ellipse((0.27, 0.565), (0.02, 0.026)))


def _right_centre(thorax: Thorax, taper: float) -> Point:
    return thorax.heart[0] - 0.01, thorax.heart[1] - 0.9 * (thorax.cavity + thorax.wall) * taper


def _heart(thorax: Thorax, c: Canvas, taper: float) -> Canvas:
    """Fat round the heart with coronary vessels, the right ventricle, the left with its muscles."""
    surface = heart_outline(thorax, c.y, c.x, taper)
    c = c.lay("fat", surface + 0.03 + 0.018 * torch.sin(4 * c.x + 3 * c.y), share=0.85)
    c = c.lay("myocardium", surface)
    c = _right_ventricle(thorax, c, taper)
    return _left_ventricle(thorax, c, taper)


def _right_ventricle(thorax: Thorax, c: Canvas, taper: float) -> Canvas:
    """A crescent, ragged with trabeculae, crossed by the moderator band."""
    y0, x0 = _right_centre(thorax, taper)
    cavity = ellipse(c.y, c.x, (y0, x0), (0.205 * taper, 0.2 * taper), angle=thorax.tilt)
    angle = torch.atan2(c.y - y0, c.x - x0)
    trabeculae = 0.012 * torch.cos(13 * angle + 3 * torch.sin(4 * angle))
    ragged = cavity + trabeculae + 0.016 * bumps(thorax, c, 1.5)
    c = c.lay("right", ragged)
    band = 0.009 - (c.x - x0 + 0.05 - 0.4 * (c.y - y0)).abs()
    return c.lay("myocardium", torch.minimum(torch.minimum(band, cavity), c.y - y0 - 0.04))


def _left_ventricle(thorax: Thorax, c: Canvas, taper: float) -> Canvas:
    """A wall with a perfusion defect on its inner side, a cavity with trabeculae and papillary muscles, coronaries."""
    y0, x0 = thorax.heart
    inner, outer = thorax.cavity * taper, (thorax.cavity + thorax.wall) * taper
    angle = torch.atan2(c.y - y0, c.x - x0)
    wall = ellipse(c.y, c.x, (y0, x0), (1.02 * outer, outer))
    c = c.lay("myocardium", wall)
    middle, width, lost = thorax.defect
    sector = torch.exp(-(((torch.remainder(angle - middle + math.pi, 2 * math.pi) - math.pi) / width) ** 4))
    beneath = coverage(wall - 0.4 * thorax.wall, 0.02) * coverage(wall, c.width)
    taken = torch.ones_like(c.maps)
    taken[KINDS.index("myocardium")] -= lost * sector * beneath
    c = Canvas(c.maps * taken, c.y, c.x, c.width)
    ripple = 0.03 * torch.cos(3 * angle + 0.7) + 0.035 * torch.cos(11 * angle + 3 * torch.sin(5 * angle))
    ripple = ripple + 0.06 * bumps(thorax, c, 1.5)
    c = c.lay("left", ellipse(c.y, c.x, (y0, x0), (inner, inner)) + inner * ripple)
    for place in (0.75, 2.55):
        at = (y0 + 0.66 * inner * math.sin(place), x0 + 0.66 * inner * math.cos(place))
        c = c.lay("myocardium", c.ellipse(at, (0.036, 0.028), place))
    for place in (-2.15, 0.35, 2.2):
        at = (y0 + (outer + 0.012) * math.sin(place), x0 + (outer + 0.012) * math.cos(place))
        c = c.lay("artery", c.ellipse(at, (0.014, 0.014)))
    return c
