"""Noise covariance of a scan without noise lines, from the corners of its k-space."""

from collections import defaultdict

import torch
from torch import Tensor

from clearmr.axes import CoilMatrix, NoiseSamples
from clearmr.errors import InputError
from clearmr.fourier import to_image
from clearmr.recon.noise import noise_covariance
from clearmr.scan import RawScan

OUTER = 0.8  # lines farther out than this part of the outermost one are quiet
HIGH_PASS = 0.7  # samples of the readout nearer to the centre than this part are left out
CENTRE = 0.5  # part of the image's readout in which the noise is read: the receive filter rolls off outside
MOST_FRAMES = 16


def estimate_noise_covariance(scan: RawScan) -> CoilMatrix:
    """Covariance (coil, coil) of the imaging samples' noise, in the receiver's units squared.

    Outer lines only; the readout's low frequencies are removed and the rest is read in the central part of the image's
    readout axis, since the receive filter makes real noise weaker towards its ends. Repetitions are subtracted first.
    Loud lines (residual signal) are left out by their median absolute deviation. Raises InputError without outer lines.
    """
    return noise_covariance(quiet_samples(scan))


def quiet_samples(scan: RawScan) -> NoiseSamples:
    """Samples (coil, sample) that hold noise and as little signal as can be, scaled as k-space noise is."""
    lines = [_outer_lines(scan, *pair) for pair in _pairs(scan)]
    lines = [line for line in lines if line.shape[1]]
    if not lines:
        todo = "give a noise scan with --noise-scan"
        raise InputError("outer k-space lines to estimate the noise from", "none", todo)
    quiet = _high_pass(torch.cat(lines, dim=1), scan)
    return _without_loud_lines(quiet).flatten(1)


def _pairs(scan: RawScan) -> list[tuple[int, int | None]]:
    """Frames and the repetition to subtract from each (None: there is none), at most MOST_FRAMES."""
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, frame in enumerate(scan.frames):
        lattice = int(torch.nonzero(scan.sampled[number].flatten())[:1].sum())
        alike[frame.slice, frame.contrast, frame.phase, frame.set, lattice].append(number)
    pairs: list[tuple[int, int | None]] = []
    for numbers in alike.values():
        repeats = list(zip(numbers[0::2], numbers[1::2], strict=False))
        pairs += repeats if repeats else [(numbers[0], None)]
    step = max(1, len(pairs) // MOST_FRAMES)
    return pairs[::step][:MOST_FRAMES]


def _outer_lines(scan: RawScan, frame: int, other: int | None) -> Tensor:
    """Outer acquired lines (coil, line, k0) of a frame, or of the difference of two, divided by sqrt(2)."""
    sampled = scan.sampled[frame] if other is None else scan.sampled[frame] & scan.sampled[other]
    k2, k1 = torch.nonzero(sampled, as_tuple=True)
    radius = torch.hypot(_relative(k1, sampled.shape[1]), _relative(k2, sampled.shape[0]))
    keep = radius >= OUTER * radius.max() if len(radius) else radius > 0
    lines = scan.kspace[frame][:, k2[keep], k1[keep]]
    return lines if other is None else (lines - scan.kspace[other][:, k2[keep], k1[keep]]) / 2**0.5


def _relative(index: Tensor, size: int) -> Tensor:
    """Position in k-space, -1 to 1; 0 on an axis of one line."""
    return (index - size // 2) / max(size / 2, 1.0) if size > 1 else torch.zeros(len(index))


def _high_pass(lines: Tensor, scan: RawScan) -> Tensor:
    """Remove low readout frequencies and keep the image's centre: (coil, line, x), at the lines' noise level."""
    n = lines.shape[-1]
    position = torch.arange(n) - n // 2
    keep = position.abs() >= HIGH_PASS * n / 2
    keep[: scan.readout[0]] = False
    keep[scan.readout[1] :] = False
    fraction = float(keep.float().mean())
    ratio = min(scan.encoding.recon_fov[2] / scan.encoding.encoded_fov[2], 1.0) if scan.encoding.encoded_fov[2] else 1.0
    centre = position.abs() <= max(CENTRE * ratio * n / 2, 1)
    return to_image(lines * keep.to(lines), (-1,))[..., centre] / fraction**0.5


def _without_loud_lines(quiet: Tensor) -> Tensor:
    energy = (quiet.abs() ** 2).mean(-1)  # (coil, line)
    loudness = (energy / energy.median(dim=1, keepdim=True).values.clamp_min(1e-38)).mean(0)
    middle = loudness.median()
    spread = 1.4826 * (loudness - middle).abs().median()
    return quiet[:, loudness <= middle + 3 * spread + 1e-6 * middle]
