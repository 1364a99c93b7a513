"""What a simulated head is made of: tissue intensities per contrast, and how one person differs from the next."""

import dataclasses
import math
from dataclasses import dataclass

import torch

from clearmr.errors import InputError
from clearmr.simulate.shapes import uniform


@dataclass(frozen=True)
class Tissues:
    """Intensities, fat's in `marrow` and `scalp`; `base`: the mixture at the skull base. vessels: (wall, lumen)."""

    white: float
    grey: float
    deep: float
    csf: float
    skull: float
    marrow: float
    scalp: float
    skin: float
    base: float
    vessels: tuple[float, float] | None = None


CONTRASTS = {
    "t1": Tissues(0.80, 0.55, 0.64, 0.18, 0.06, 0.35, 0.95, 0.5, 0.4),
    "t2": Tissues(0.36, 0.52, 0.44, 1.0, 0.04, 0.4, 0.55, 0.3, 0.3),
    "black-blood": Tissues(0.72, 0.6, 0.64, 0.12, 0.05, 0.25, 0.3, 0.4, 0.35, vessels=(0.85, 0.02)),
}


@dataclass(frozen=True)
class Anatomy:
    """One person. Lengths are fractions of half the field of view; the defaults are the same head for every seed.

    head       size (z, y, x) of everything
    bend       SD of the smooth displacement that makes the head irregular
    brain      size of the cerebrum beside the skull (below 1: wider spaces of fluid)
    ventricles size of the ventricles
    cortex     added to the depth of the white matter (thicker grey ribbon)
    sulci      added to the level of the folds that are filled with fluid (positive: narrower)
    folds      added to the wave number of the folds
    gains      factors of the intensities of white, grey, deep, csf, scalp
    shading    linear and quadratic bias of the receive field (z, y, radius)
    """

    head: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bend: float = 0.0
    brain: float = 1.0
    ventricles: float = 1.0
    cortex: float = 0.0
    sulci: float = 0.0
    folds: float = 0.0
    gains: tuple[float, float, float, float, float] = (1.0, 1.0, 1.0, 1.0, 1.0)
    shading: tuple[float, float, float] = (0.1, -0.06, 0.08)


def find_contrast(name: str) -> Tissues:
    """The tissues of "t1", "t2" (fluid bright, white darker than grey) or "black-blood" (T1, vessel walls).

    Raises InputError for another name.
    """
    if name not in CONTRASTS:
        raise InputError(f"a contrast out of {', '.join(CONTRASTS)}", repr(name), "choose one of them")
    return CONTRASTS[name]


def draw_anatomy(variety: float, seed: int) -> Anatomy:
    """The person of a seed. variety 0: the same head always; 1: as people differ. Raises InputError outside 0..1.5."""
    if not 0 <= variety <= 1.5:
        raise InputError("a variety from 0 to 1.5", str(variety), "use 1 for heads as different as people's")
    if variety == 0:
        return Anatomy()
    generator = torch.Generator().manual_seed(seed)

    def about(centre: float, low: float, high: float) -> float:
        return centre + variety * uniform(generator, low, high)

    return Anatomy(
        head=(about(1.0, -0.05, 0.04), about(1.0, -0.05, 0.03), about(1.0, -0.06, 0.04)),
        bend=0.012 * variety,
        brain=about(1.0, -0.03, 0.015),
        ventricles=math.exp(about(0.0, -0.3, 0.45)),
        cortex=about(0.0, -0.012, 0.015),
        sulci=about(0.0, -0.06, 0.04),
        folds=about(0.0, -2.5, 2.5),
        gains=(
            about(1.0, -0.05, 0.05),
            about(1.0, -0.05, 0.05),
            about(1.0, -0.05, 0.05),
            about(1.0, -0.15, 0.15),
            about(1.0, -0.2, 0.05),
        ),
        shading=(about(0.1, -0.1, 0.1), about(-0.06, -0.1, 0.1), about(0.08, -0.05, 0.05)),
    )


def tissues_of(tissues: Tissues, anatomy: Anatomy) -> Tissues:
    """The intensities of one person."""
    white, grey, deep, csf, scalp = anatomy.gains
    return dataclasses.replace(
        tissues,
        white=tissues.white * white,
        grey=tissues.grey * grey,
        deep=tissues.deep * deep,
        csf=tissues.csf * csf,
        scalp=tissues.scalp * scalp,
    )
