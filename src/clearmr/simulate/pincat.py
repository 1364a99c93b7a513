"""A PINCAT-like series: cardiac perfusion with a bolus, breathing of varying depth, and a known motion.

The phantom of Sharif & Bresler 2007 (physiologically improved NCAT, IEEE ISBI, 1020), in the use that Lingala et
al. 2011 (k-t SLR, IEEE Trans Med Imaging 30:1042) and Deformed2Self (Xu & Adalsteinsson 2021) make of it: one slice of
128x128 pixels of 1.5 mm, intensities in [0, 1], the middle frame as target. NCAT's body comes under a licence of its
own, so this one is drawn anew: PINCAT-like, and numbers on it are not those of tables made with the original.

| what | recipe | after |
|---|---|---|
| plane | oblique, near the short axis, so that breathing moves organs within it | k-t SLR's figures |
| body | 175 x 140 mm: a child's, which the paper's field of view of 192 mm holds whole | `pincat_organs` |
| time | a frame each 0.85 s (one heartbeat), 50 frames; triggered: the heart stands in diastole | perfusion as usual |
| bolus | gamma variates, right heart - lung - left heart - aorta - myocardium - spleen - liver | Madsen 1992 |
| breath | sin^4, depth 8 to 11 mm at the liver's dome, varying by 25 % from breath to breath, periods of 3.4 to 4.6 s \
by 15 % | Lujan 1999; "variability in breathing" of Sharif & Bresler 2007 |
| travel | of the dome's: heart 0.6, front wall 0.22 upwards, spine none, smooth between | Wang 1995, MRM 33:713 |
| wall | a perfusion defect of random place and depth (20 to 60 % less uptake) on its inner side | |
| sharpness | a Gaussian point spread of 1 mm SD: as hard for BM3D, frame by frame, as the original \
| Deformed2Self, Table 1: BM3D's Gaussian rows of 29.97, 27.98, 26.38 dB; noisy SSIM 0.300 |
| level | intensities such that the target's mean is near 0.2 | Deformed2Self, Table 1: Poisson rows of 0.23 |

Every frame is base(X) + sum over tissues of curve(t) uptake(X), read at X, where the point lies at rest: contrast and
motion are apart, and the motion is known exactly. What differs from a patient: tissue glides nowhere (the field is
smooth), nothing leaves the plane, no shading of coils.
"""

from dataclasses import dataclass

import torch
from scipy import ndimage
from torch import Tensor

from clearmr.axes import Image
from clearmr.errors import InputError
from clearmr.simulate.pincat_contrast import KINDS, weights
from clearmr.simulate.pincat_motion import Breathing, at_rest, beat_trace, breath_trace, in_frame
from clearmr.simulate.pincat_organs import Thorax, draw_maps, draw_thorax, heart_outline, outline
from clearmr.simulate.shapes import grid_2d, smooth_phase, uniform, warp, with_phase

Matrix = tuple[int, int, int]

HEARTBEAT = 0.85  # s from frame to frame
SHARPNESS = 1.0  # mm, SD of the point spread
POINTS = 3  # in-plane points per pixel and axis at which a frame is read
FOV = (8.0, 192.0, 192.0)  # mm (z, y, x)


@dataclass(frozen=True)
class PincatSeries:
    """A series and what is known of it.

    frames      (frame, z, y, x) float32, 0 to 1, noise-free
    travel      (frame,) how far the liver's dome has gone down from end-expiration, in pixels
    beat        (frame,) how far the heart is contracted, 0..1; zeros where it is triggered
    curves      each tissue's enhancement, (frame,), in units of the first passage's peak
    spacing     mm (z, y, x)
    """

    frames: Image
    travel: Tensor
    beat: Tensor
    curves: dict[str, Tensor]
    spacing: tuple[float, float, float]
    breathing: Breathing
    thorax: Thorax

    @property
    def target(self) -> int:
        """The middle frame."""
        return self.frames.shape[0] // 2

    def motion(self, frame: int, *, reference: int = 0) -> Tensor:
        """The true field u (2, y, x) in pixels (y, x) of `frame` against `reference`, float64; of every slice.

        What lies at p in the reference lies at p + u(p) in the frame, so frame[p + u(p)] is reference[p], but for the
        bolus: a pull warp, given on the reference's grid. Exact by the phantom's making (the inverse of a closed map,
        iterated to double precision). Raises InputError for a frame that is not there.
        """
        y, x = self._points()
        rest = at_rest(self.breathing, y, x, *self._state(reference))
        there_y, there_x = in_frame(self.breathing, *rest, *self._state(frame))
        n_y, n_x = self.frames.shape[2:]
        return torch.stack(((there_y - y) * n_y / 2, (there_x - x) * n_x / 2))

    def body(self, frame: int) -> Tensor:
        """Where the body is in a frame, (y, x) bool."""
        return outline(self.thorax, *self._rest(frame)) > 0

    def heart(self, frame: int) -> Tensor:
        """Where both ventricles with their walls are in a frame, (y, x) bool: the region of the paper's Table 2."""
        return heart_outline(self.thorax, *self._rest(frame)) > 0

    def _points(self) -> tuple[Tensor, Tensor]:
        n_y, n_x = self.frames.shape[2:]
        y, x = ((torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 - 1 for n in (n_y, n_x))
        return tuple(torch.meshgrid(y, x, indexing="ij"))  # type: ignore[return-value]

    def _rest(self, frame: int) -> tuple[Tensor, Tensor]:
        return at_rest(self.breathing, *self._points(), *self._state(frame))

    def _state(self, frame: int) -> tuple[float, float]:
        n_frames, _, n_y, _ = self.frames.shape
        if not 0 <= frame < n_frames:
            raise InputError(f"a frame from 0 to {n_frames - 1}", str(frame), "choose one of them")
        return float(self.travel[frame]) * 2 / n_y, float(self.beat[frame])


def pincat_series(
    matrix: Matrix = (1, 128, 128), *, n_frames: int = 50, seed: int = 0, beating: float = 0.0
) -> PincatSeries:
    """A perfusion series of the thorax of a seed (frame, z, y, x), 0 to 1, over the field of view of 192 mm.

    The seed draws anatomy, breathing, the bolus's arrival and the perfusion defect. beating: 0 for a triggered heart,
    up to 1 for one that is caught at any phase of its cycle. Through z the heart tapers. Raises InputError for a
    `beating` outside of that.
    """
    if not 0 <= beating <= 1:
        raise InputError("a beating from 0 to 1", str(beating), "0 is a triggered heart, 1 a free one")
    generator = torch.Generator().manual_seed(seed)
    thorax = draw_thorax(generator)
    breathing = _breathing(thorax, generator)
    arrival = uniform(generator, 3.5, 6.0)
    seconds = torch.arange(n_frames, dtype=torch.float32) * HEARTBEAT
    travel = breath_trace(breathing, seconds, generator)
    beat = beating * beat_trace(n_frames, generator)
    shares = weights(seconds, arrival)
    frames = _frames(thorax, breathing, matrix, shares, travel, beat)
    _, n_y, n_x = matrix
    return PincatSeries(
        frames=frames / frames.max(),
        travel=travel * n_y / 2,
        beat=beat,
        curves=dict(zip(KINDS[1:], shares[1:], strict=True)),
        spacing=(FOV[0], FOV[1] / n_y, FOV[2] / n_x),
        breathing=breathing,
        thorax=thorax,
    )


def pincat(matrix: Matrix, *, n_frames: int = 50, seed: int = 0) -> Image:
    """The series of `pincat_series` as a scene: (frame, z, y, x) complex64, peak magnitude 1, a smooth phase."""
    magnitude = pincat_series(matrix, n_frames=n_frames, seed=seed).frames
    return with_phase(magnitude, smooth_phase(matrix, torch.Generator().manual_seed(seed)))


def _breathing(thorax: Thorax, generator: torch.Generator) -> Breathing:
    depth, period = uniform(generator, 8.0, 11.0) / (FOV[1] / 2), uniform(generator, 3.4, 4.6)
    return Breathing(depth, period, thorax.heart, thorax.body, thorax.spine)


def _frames(
    thorax: Thorax, breathing: Breathing, matrix: Matrix, shares: Tensor, travel: Tensor, beat: Tensor
) -> Tensor:
    """(frame, z, y, x), before the peak is made 1."""
    n_z, n_y, n_x = matrix
    points = 4 * max(64, n_y, n_x)
    at = grid_2d(points, points, supersampling=1)
    slices = [draw_maps(thorax, *at, taper=1 - 0.3 * z / n_z) for z in range(n_z)]
    y, x = grid_2d(n_y, n_x, supersampling=POINTS)
    frames = []
    for share, breath, contracted in zip(shares.T, travel.tolist(), beat.tolist(), strict=True):
        rest = at_rest(breathing, y, x, breath, contracted)
        frames.append(torch.stack([_read(maps, share, *rest) for maps in slices]))
    spread = SHARPNESS * n_y / FOV[1], SHARPNESS * n_x / FOV[2]
    return torch.from_numpy(ndimage.gaussian_filter(torch.stack(frames).numpy(), (0, 0, *spread), mode="nearest"))


def _read(maps: Tensor, share: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """One frame (y, x): the maps mixed by `share`, read where each point lies at rest, averaged over pixels."""
    fine = warp(torch.einsum("k,kyx->yx", share, maps), y, x)
    return torch.nn.functional.avg_pool2d(fine[None, None], POINTS)[0, 0]
