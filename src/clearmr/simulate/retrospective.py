"""A fully sampled scan made an undersampled one with more noise: what Table 2 of Jung et al. 2022 judges on."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from clearmr.axes import CoilMatrix
from clearmr.errors import InputError
from clearmr.scan import RawScan
from clearmr.simulate.receiver import Receiver, draw_noise
from clearmr.simulate.sampling import Sampling, acs_lines, lattice

ADDED_NOISE = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
_STREAM = 2022
_LEAST_FILLED = 0.75  # an elliptical shutter leaves 0.785 of its rectangle


def noise_ladder(
    scan: RawScan,
    *,
    levels: Sequence[float] = ADDED_NOISE,
    acceleration: tuple[int, int] = (2, 1),
    acs: int | tuple[int, int] = 24,
    seed: int = 0,
) -> Iterator[tuple[float, RawScan]]:
    """(level, `undersampled` scan with that much noise added) one after another; the levels share no noise."""
    for number, level in enumerate(levels):
        own = seed * 1009 + number
        yield level, undersampled(scan, acceleration=acceleration, acs=acs, added_noise=level, seed=own)


def undersampled(
    scan: RawScan,
    *,
    acceleration: int | tuple[int, int] = (2, 1),
    acs: int | tuple[int, int] = 24,
    added_noise: float = 0.0,
    covariance: CoilMatrix | None = None,
    seed: int = 0,
) -> RawScan:
    """A fully sampled scan with every R-th line kept and embedded calibration lines, and more noise, if asked for.

    acceleration (R of k1, R of k2) of the lattice through the centre; acs: fully sampled lines round it (k1, k2), of
    the first frame of each slice. added_noise: SD of the Gaussian noise added, in SDs of the noise that the acquired
    k-space has, and as that correlated between coils (Jung et al. 2022, Quantitative evaluation: 0.5 to 3). The noise
    samples are scaled by sqrt(1 + added_noise^2), so that they tell the noise of the result. covariance: E[n n^H]
    (coil, coil) of the imaging samples, for a scan without noise lines. Raises InputError where the scan is not fully
    sampled or EPI, or its noise is not known.
    """
    if added_noise < 0:
        raise InputError("added noise of 0 or more", str(added_noise), "give it in SDs of the scan's noise")
    _refuse_undersampled(scan)
    sampling = Sampling(
        acceleration=(acceleration, 1) if isinstance(acceleration, int) else acceleration,
        acs=(acs, acs) if isinstance(acs, int) else acs,
    )
    kspace = scan.kspace
    if added_noise:
        extra = imaging_covariance(scan) if covariance is None else covariance
        kspace = _noisier(scan, extra * added_noise**2, _generator(seed))
    n_k2, n_k1 = scan.sampled.shape[1:]
    kept = lattice(scan.n_frames, n_k2, n_k1, sampling) & scan.sampled
    own, own_lines = _embedded(scan, kspace, sampling)
    return dataclasses.replace(
        scan,
        kspace=kspace * kept[:, None, :, :, None],
        sampled=kept,
        encoding=dataclasses.replace(scan.encoding, acceleration=sampling.acceleration),
        noise=scan.noise and dataclasses.replace(scan.noise, samples=scan.noise.samples * (1 + added_noise**2) ** 0.5),
        calibration=own,
        calibration_sampled=own_lines,
        meta={**scan.meta, "retrospective": {"acceleration": list(sampling.acceleration), "added_noise": added_noise}},
    )


def imaging_covariance(scan: RawScan) -> CoilMatrix:
    """E[n n^H] (coil, coil), complex128, of the imaging samples, as the noise lines tell it.

    Their covariance over (T_acq / T_noise) BW (Kellman & McVeigh 2005), after averaging. Raises InputError where
    there are no noise lines or a dwell time is unknown.
    """
    noise = scan.noise
    if noise is None or noise.samples.shape[1] < 2 or not (scan.dwell_us > 0 and noise.dwell_us > 0):
        todo = "give the covariance of its noise, or add none"
        raise InputError("a scan with noise lines and dwell times", "one whose noise is not known", todo)
    samples = noise.samples.to(torch.complex128)
    samples = samples - samples.mean(1, keepdim=True)
    ratio = scan.bandwidth_ratio or Receiver().bandwidth_ratio
    scale = scan.dwell_us / noise.dwell_us * ratio / scan.average_noise**2
    return samples @ samples.mH / ((samples.shape[1] - 1) * scale)


def _refuse_undersampled(scan: RawScan) -> None:
    if scan.ramp is not None or scan.navigators is not None or scan.reversed_lines is not None:
        raise InputError("a scan that is not EPI", "EPI lines", "choose another scan")
    places = scan.sampled.any(0).nonzero()
    box = places.amax(0) - places.amin(0) + 1 if len(places) else torch.ones(2)
    if float(scan.sampled.float().sum()) < _LEAST_FILLED * float(box.prod()) * scan.n_frames:
        found = f"{float(scan.sampled.float().mean()):.0%} of the lines (k1, k2)"
        raise InputError("a fully sampled scan", found, "choose one of acceleration 1")


def _noisier(scan: RawScan, covariance: CoilMatrix, generator: torch.Generator) -> Tensor:
    """k-space with noise of `covariance` added to every sample that was acquired."""
    kspace = scan.kspace.clone()
    start, stop = scan.readout
    for frame, sampled in enumerate(scan.sampled):
        acquired = kspace[frame, :, sampled, start:stop]
        noise = draw_noise(covariance, acquired[0].numel(), generator)
        kspace[frame, :, sampled, start:stop] = acquired + noise.reshape(acquired.shape)
    return kspace


def _generator(seed: int) -> torch.Generator:
    """Never the stream of a scan simulated with the same seed: the two noises would be one."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence((seed % 2**63, _STREAM)).generate_state(1)[0]))


def _embedded(scan: RawScan, kspace: Tensor, sampling: Sampling) -> tuple[Tensor | None, Tensor | None]:
    """Calibration lines (slice, coil, k2, k1, k0) out of `kspace`, and which they are (slice, k2, k1)."""
    if sampling.acceleration == (1, 1):
        return None, None
    first = [next(i for i, f in enumerate(scan.frames) if f.slice == number) for number in scan.slices]
    lines = acs_lines(scan.sampled.shape[1], scan.sampled.shape[2], sampling) & scan.sampled[first]
    return kspace[first] * lines[:, None, :, :, None], lines
