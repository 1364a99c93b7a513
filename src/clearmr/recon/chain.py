"""From raw k-space to an image in SNR units: calibrate once, then apply to every frame, linearly."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clearmr.denoiser import Progress, no_progress
from clearmr.errors import InputError
from clearmr.recon.calibration import Calibration, axes_for_unmixing, calibrate, calibrate_for
from clearmr.recon.config import ReconConfig
from clearmr.recon.grid import read_out
from clearmr.recon.lattice import Lattice, interleave_points
from clearmr.recon.phase_encoding import LineWeights, aliased_images, line_weights
from clearmr.recon.unmix import gmap, unmixing
from clearmr.scan import Encoding, FrameIndex, RawScan, SnrImage


def reconstruct(
    scan: RawScan,
    *,
    estimate_noise: bool = False,
    config: ReconConfig | None = None,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> SnrImage:
    """The image of a scan in SNR units, (frame, z, y, x) complex64, with its gmap and noise_sd (1, z, y, x).

    Raises InputError as `calibrate` does.
    """
    calibration = calibrate(scan, config=config, estimate_noise=estimate_noise, device=device)
    return apply(scan, calibration, progress=progress)


def apply(
    scan: RawScan, calibration: Calibration, *, interleave: int = 0, progress: Progress = no_progress
) -> SnrImage:
    """Reconstruct every frame with a fixed calibration: strictly linear in scan.kspace (pseudo-replicas are exact).

    Frames of one contrast, phase, repetition and set are one image; the slices of a 2D scan become z. `interleave`
    chooses among the lines of a thinned calibration (see `thin`).
    """
    moments = _moments(scan.frames)
    z, y, x = (axis.recon for axis in calibration.axes)
    image = torch.zeros((len(moments), len(calibration.slices), z, y, x), dtype=torch.complex64)
    factor = torch.ones(image.shape[:2])
    for number, frame in enumerate(scan.frames):
        place = moments[_moment(frame)], calibration.slices.index(frame.slice)
        image[place] = apply_frame(
            scan.kspace[number],
            scan.sampled[number],
            calibration,
            slice_number=frame.slice,
            reversed_lines=_reversed(scan, number),
            interleave=interleave,
        ).cpu()
        factor[place] = frame_noise(scan.sampled[number], calibration, interleave=interleave)
        progress(number + 1, scan.n_frames)
    return SnrImage(
        image=image.reshape(len(moments), -1, y, x),
        noise_sd=_noise_sd(calibration, factor),
        gmap=calibration.gmap.reshape(1, -1, y, x).cpu(),
        noise_source=calibration.noise_source,
        spacing=_spacing(scan.encoding, scan.affine),
        affine=scan.affine,
        meta=_meta(scan, calibration, moments),
    )


def apply_frame(
    kspace: Tensor,
    sampled: Tensor,
    calibration: Calibration,
    *,
    slice_number: int = 0,
    reversed_lines: Tensor | None = None,
    interleave: int = 0,
) -> Tensor:
    """One frame's image (z, y, x), complex64, in SNR units, from k-space (coil, k2, k1, k0) in the receiver's units.

    `sampled` (k2, k1) are the lines acquired for imaging, `reversed_lines` (k2, k1) those of EPI read backwards.
    """
    weights = frame_lines(sampled, calibration, interleave=interleave)
    lines = _readout_lines(kspace, weights, calibration, reversed_lines)
    images = aliased_images(lines, weights, calibration.axes[:2], scale=calibration.scale)
    coefficients = calibration.unmixing[calibration.slices.index(slice_number)]
    return (images * coefficients).sum(0)


def frame_noise(sampled: Tensor, calibration: Calibration, *, interleave: int = 0) -> float:
    """Noise SD of a frame relative to the reference frame's: below 1 where it holds fewer lines."""
    return (frame_lines(sampled, calibration, interleave=interleave).power / calibration.power) ** 0.5


def frame_lines(sampled: Tensor, calibration: Calibration, *, interleave: int = 0) -> LineWeights:
    """The lines of a frame that make its image; of a thinned calibration, those of one interleave.

    An interleave's lines keep the weights that they have in the whole: equal signal, whichever line is outermost.
    """
    own = calibration.thinned_from
    weights = line_weights(sampled, own or calibration.lattice, calibration.axes[:2], calibration.config)
    if own is None:
        return weights
    return weights.only(interleave_points(sampled.cpu(), own, calibration.lattice, interleave))


def _readout_lines(
    kspace: Tensor, weights: LineWeights, calibration: Calibration, reversed_lines: Tensor | None
) -> Tensor:
    """The lattice's lines as (coil, line, x)."""
    lines = kspace[:, weights.k2, weights.k1].to(calibration.readout.device)
    backward = None if reversed_lines is None else reversed_lines[weights.k2, weights.k1]
    return read_out(lines, backward, calibration.readout)


def _reversed(scan: RawScan, number: int) -> Tensor | None:
    return None if scan.reversed_lines is None else scan.reversed_lines[number]


def _moment(frame: FrameIndex) -> tuple[int, int, int, int]:
    return frame.contrast, frame.set, frame.repetition, frame.phase


def _moments(frames: tuple[FrameIndex, ...]) -> dict[tuple[int, int, int, int], int]:
    """Number of the image that each (contrast, set, repetition, phase) becomes, in that order."""
    return {moment: number for number, moment in enumerate(sorted({_moment(frame) for frame in frames}))}


def _noise_sd(calibration: Calibration, factor: Tensor) -> Tensor:
    """(1, z, y, x), or (frame, z, y, x) where frames hold different numbers of lines."""
    base = calibration.gmap.cpu() * calibration.noise_x.cpu()  # (slice, z, y, x)
    if bool(torch.allclose(factor, factor[:1].expand_as(factor), atol=1e-6)):
        factor = factor[:1]
    return (factor[:, :, None, None, None] * base).flatten(1, 2)


def _spacing(encoding: Encoding, affine: np.ndarray | None) -> tuple[float, float, float]:
    """Voxel size (z, y, x) in mm; between slices it is the affine that knows the distance."""
    if affine is not None:
        x, y, z = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
        return z, y, x
    z, y, x = (fov / n for fov, n in zip(encoding.recon_fov, encoding.recon_matrix, strict=True))
    return z, y, x


def _meta(scan: RawScan, calibration: Calibration, moments: Mapping[Any, int]) -> dict[str, Any]:
    warnings = [*scan.meta.get("warnings", []), *calibration.warnings]
    missing = len(moments) * len(calibration.slices) - scan.n_frames
    if missing:
        warnings.append(f"{missing} slice(s) of the series were not acquired and are zero")
    return {**scan.meta, "steps": [dict(step) for step in calibration.steps], "warnings": warnings}


def gmaps_for(
    calibration: Calibration, *, accelerations: range = range(2, 9)
) -> tuple[dict[int, Tensor], dict[int, str]]:
    """g-factor maps (slice * z, y, x) for every R along k1 that the calibration lines support, and why not the others.

    From the same calibration lines, coil maps and field of view as the image itself.
    """
    maps: dict[int, Tensor] = {}
    absent: dict[int, str] = {}
    for r in accelerations:
        try:
            maps[r] = torch.cat([_gmap_of(calibration, place, r) for place in range(len(calibration.slices))])
        except InputError as error:
            absent[r] = str(error)
    return maps, absent


def _gmap_of(calibration: Calibration, place: int, r: int) -> Tensor:
    kernel = calibrate_for(calibration.acs[place], Lattice(r1=r), calibration.config)
    return gmap(unmixing(kernel, calibration.csm[place], axes=axes_for_unmixing(calibration.axes))).cpu()
