"""Do repeats lie on one another? Measured in mm and degrees; refused with the number, or registered by DIPY."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation
from torch import Tensor

from clearmr.errors import InputError
from clearmr.methods.noise2average import rigid
from clearmr.scan import SnrImage

MOST_VOXELS, MOST_DEGREES = 1.0, 1.5  # between a repeat and the first, of the smallest side of a voxel
LEAST_ALIKE = 0.8  # correlation inside the mask
ONE_CONTRAST = 0.97  # of repeats with noise of 15 % it is 0.985; of two echoes, of AP and PA before correction 0.94
BLUR = 1.5  # voxels: noise lowers the correlation


@dataclasses.dataclass(frozen=True)
class Apart:
    """How each repeat but the first is moved against the first, and their correlations once that is undone."""

    motions: tuple[rigid.Motion, ...]
    alike: tuple[float, ...]


def still(n: int) -> Apart:
    """Of n repeats that lie on one another."""
    return Apart((rigid.Motion(),) * (n - 1), (1.0,) * (n - 1))


def apart(images: Sequence[SnrImage], mask: Float[Tensor, "z y x"]) -> Apart:
    """Measured on the mean over the frames, blurred: noise lowers a correlation, and looks like motion."""
    spacing = images[0].spacing
    volumes = [image.image.float().mean(0) for image in images]
    motions = rigid.measured(volumes, mask, spacing=spacing, levels=((4.0, 3), (2.0, 2)))
    inside = mask.numpy() > 0
    there = [rigid.moved(v, m, spacing=spacing).numpy() for v, m in zip(volumes, motions, strict=True)]
    first, *others = [gaussian_filter(values, BLUR)[inside] for values in there]
    alike = tuple(float(np.corrcoef(first, other)[0, 1]) for other in others)
    return Apart(tuple(motions[0].plus(motion, -1.0) for motion in motions[1:]), alike)


def warnings(found: Apart) -> list[str]:
    """What is to be told of repeats that differ by more than noise and rigid motion."""
    return [
        f"repeats 1 and {number} have a correlation of {alike:.2f} once rigid motion is undone: as of two echo times; "
        "of opposite phase encoding, correct the distortion before"
        for number, alike in enumerate(found.alike, 2)
        if alike < ONE_CONTRAST
    ]


def refuse(images: Sequence[SnrImage], mask: Float[Tensor, "z y x"], *, tried: bool = False) -> Apart:
    """What `apart` finds; tried: after `registered`. Raises InputError where a repeat shows something else than the
    first one (another contrast or subject), or, with the number, where it is moved by more than a voxel, or turned.
    """
    found, most = apart(images, mask), MOST_VOXELS * min(images[0].spacing)
    for number, (motion, alike) in enumerate(zip(found.motions, found.alike, strict=True), 2):
        moved = motion.distance > most or motion.angle > MOST_DEGREES
        if not alike >= LEAST_ALIKE:
            said = f"a correlation of {alike:.2f} between repeats 1 and {number}"
            todo = "give repeats of one scan" + ("" if tried else "; if they lie far apart, pass --register")
            raise InputError(f"repeats of one contrast (correlation of {LEAST_ALIKE:g} or more)", said, todo)
        if moved:
            said = f"repeat {number} moved by {motion.distance:.2f} mm and turned by {motion.angle:.2f} degrees"
            expected = f"repeats aligned to {most:g} mm and {MOST_DEGREES:g} degrees"
            todo = "align them with your own tool"
            raise InputError(expected, said, todo if tried else f"pass --register, or {todo}")
    return found


def registered(images: Sequence[SnrImage]) -> tuple[list[SnrImage], list[rigid.Motion]]:
    """Every repeat moved rigidly onto the first: found by DIPY, applied by shears that keep the noise's law.

    DIPY begins at what `apart` finds: by itself it is caught by rotations of 5 degrees. Raises InputError where DIPY is
    absent.
    """
    fixed, out, motions = images[0], [images[0]], []
    for image in images[1:]:
        away = apart([fixed, image], torch.ones(fixed.image.shape[1:])).motions[0]
        motion = _by_dipy(fixed, image, rigid.Motion().plus(away, -1.0))
        frames = [rigid.moved(frame, motion, spacing=image.spacing) for frame in image.image.float()]
        step = {"name": "register", "library": "dipy", "shift_mm": list(motion.shift)}
        step |= {"rotation_degrees": list(motion.rotation)}
        meta = {**image.meta, "steps": [*image.meta.get("steps", []), step]}
        out.append(dataclasses.replace(image, image=torch.stack(frames).clamp_min(0), meta=meta))
        motions.append(motion)
    return out, motions


def _by_dipy(fixed: SnrImage, moving: SnrImage, start: rigid.Motion) -> rigid.Motion:
    try:
        from dipy.align import affine_registration
    except ImportError as error:
        raise InputError("DIPY to register repeats", "not installed", "pip install 'clearmr[volumetry]'") from error
    grid = np.diag([*fixed.spacing, 1.0])
    centre = (np.array(fixed.image.shape[1:]) - 1) / 2 * np.array(fixed.spacing)
    turn = Rotation.from_euler("XYZ", start.rotation, degrees=True).as_matrix()
    begin = np.eye(4)
    begin[:3, :3], begin[:3, 3] = turn, turn @ (np.array(start.shift) - centre) + centre
    means = [gaussian_filter(image.image.double().mean(0).numpy(), 1.0) for image in (moving, fixed)]
    _, found = affine_registration(
        *means, moving_affine=grid, static_affine=grid, pipeline=["rigid"], starting_affine=begin,
        level_iters=[200, 50, 10], sigmas=[3.0, 1.0, 0.0], factors=[4, 2, 1],
    )  # fmt: skip
    turn = np.asarray(found)[:3, :3]
    shift = turn.T @ (np.asarray(found)[:3, 3] + turn @ centre - centre)
    z, y, x = (float(v) for v in shift)
    a, b, c = (float(v) for v in Rotation.from_matrix(turn).as_euler("XYZ", degrees=True))
    return rigid.Motion((z, y, x), (a, b, c))
