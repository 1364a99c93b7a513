"""Halves of a scan: independent noise of known strength, one signal. Bad scans are refused in one line."""

import dataclasses

import pytest
import torch

from clearmr.errors import InputError
from clearmr.methods.mr_self_noise2noise.config import SplitConfig
from clearmr.methods.mr_self_noise2noise.pairs import split
from clearmr.scan import FrameIndex, RawScan
from clearmr.simulate import simulate

BRAIN = {"matrix": (32, 48, 48), "n_coils": 16, "acceleration": (2, 1), "acs": 24, "oversampling": 1}
TINY = {"matrix": (12, 24, 16), "n_coils": 8, "acceleration": (2, 1), "acs": 12, "oversampling": 1}
REPLICAS = 24


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def brain() -> tuple[RawScan, torch.Tensor]:
    """A noise-free scan with the noise lines of a noisy one, and where the object is."""
    clean = simulate("brain", noise_sd=0.0, **BRAIN)
    noise = simulate("brain", snr=20.0, **BRAIN).scan.noise
    return dataclasses.replace(clean.scan, noise=noise), clean.truth[0].abs() > 0.05 * clean.truth.abs().max()


def test_halves_and_original_have_one_signal(brain):
    scan, inside = brain
    (pair,) = split(scan)
    first, second, original = (image.image[0][inside] for image in (pair.first, pair.second, pair.original))
    signal = original.abs().mean()
    assert (first - second).abs().mean() < 0.01 * signal
    assert (first - second).abs().square().mean().sqrt() < 0.02 * signal
    assert (first - original).abs().mean() < 0.01 * signal
    assert pair.first.image.shape == (1, 32, 48, 48) and pair.first.image.dtype == torch.complex64
    assert pair.original.noise_sd[0][inside].mean() < pair.first.noise_sd[0][inside].mean()


def test_the_published_halves_are_kz_lines_of_both_parities(brain):
    scan, inside = brain
    (pair,) = split(scan, SplitConfig.paper())
    names = {step["name"]: step for step in pair.first.meta["steps"]}
    assert names["thin"] | {} == {
        "name": "thin", "axis": "kz", "factor": 2, "acceleration": [2, 2], "caipi_shift": 0, "kernel": [2, 2, 3],
    }  # fmt: skip
    halves = [half.image[0][inside] for half in (pair.first, pair.second)]
    # These coils tell kz poorly, and so small a kernel leaves some of the fold: far less than it would be untouched.
    assert (halves[0] - halves[1]).abs().mean() < 0.1 * pair.original.image[0][inside].abs().mean()


def test_pseudo_replicas_of_a_scan_have_independent_noise_of_known_sd():
    """The scan's own noise, again and again, through one split of a scan with many repetitions."""
    clean = simulate("brain", noise_sd=0.0, **TINY)
    noisy = simulate("brain", snr=20.0, **TINY).scan
    generator = torch.Generator().manual_seed(3)
    kspace = _noise_of(clean.scan, noisy, REPLICAS, generator)
    frames = tuple(FrameIndex(repetition=i) for i in range(REPLICAS))
    sampled = noisy.sampled[:1].expand(REPLICAS, -1, -1)
    scan = dataclasses.replace(noisy, kspace=kspace, sampled=sampled, frames=frames)
    pairs = split(scan)
    assert len(pairs) == REPLICAS
    stacks = [torch.cat([getattr(pair, name).image for pair in pairs]) for name in ("first", "second", "original")]
    sds = [getattr(pairs[0], name).noise_sd for name in ("first", "second", "original")]
    unit = [stack / sd for stack, sd in zip(stacks, sds, strict=True)]
    for values in unit:
        assert float(values.abs().square().mean() / 2) ** 0.5 == pytest.approx(1.0, abs=0.02)
    assert abs(complex((unit[0].conj() * unit[1]).mean())) / 2 < 0.02
    assert float((unit[0].conj() * unit[2]).mean().real) / 2 > 0.15  # the original has its noise in common with both


def _noise_of(clean: RawScan, noisy: RawScan, count: int, generator: torch.Generator) -> torch.Tensor:
    """Noise (frame, coil, k2, k1, k0) of the covariance that the noise lines tell, where lines were acquired."""
    from clearmr.recon.whitening import whitening

    matrix = torch.linalg.inv(whitening(noisy).matrix.to(torch.complex128)).to(torch.complex64)
    shape = (count, *clean.kspace.shape[1:])
    white = torch.complex(torch.randn(shape, generator=generator), torch.randn(shape, generator=generator))
    return torch.einsum("cd,fdzyx->fczyx", matrix, white) * noisy.sampled[:1, None, :, :, None]


@pytest.fixture(scope="module")
def tiny() -> RawScan:
    return simulate("brain", snr=20.0, **TINY).scan


def _without(scan: RawScan, lines: slice) -> RawScan:
    sampled, kspace = scan.sampled.clone(), scan.kspace.clone()
    sampled[:, lines], kspace[:, :, lines] = False, 0
    return dataclasses.replace(scan, sampled=sampled, kspace=kspace)


def test_missing_lines_are_named(tiny):
    with pytest.raises(InputError, match="where the odd kz lines of frame 0"):
        split(_without(tiny, slice(1, None, 2)))
    with pytest.raises(InputError, match="where the even kz lines of frame 0"):
        split(_without(tiny, slice(0, None, 2)))


def test_bad_scans_and_settings_are_refused_in_one_line(tiny):
    flat = simulate("phantom", matrix=(1, 32, 32), n_coils=4, acceleration=2).scan
    one = simulate("brain", **(TINY | {"n_coils": 1, "acceleration": (1, 1)})).scan
    blind = dataclasses.replace(tiny, calibration=None, calibration_sampled=None)
    few = simulate("brain", **(TINY | {"matrix": (3, 24, 16), "acceleration": (1, 1)})).scan
    cases = [
        (flat, SplitConfig(), "3D raw data .*found 2D data"),
        (one, SplitConfig(), "found one coil"),
        (blind, SplitConfig(), "calibration lines"),
        (few, SplitConfig(), "at least 4 kz lines"),
        (tiny, SplitConfig(factor=3), "even split factor"),
        (tiny, SplitConfig(factor=0), "even split factor"),
        (tiny, SplitConfig(kernel=(1, 4, 5)), "3D kernel"),
        (tiny, SplitConfig(axis="ky", factor=6, caipi=False), "ACS too small"),
    ]
    for scan, config, words in cases:
        with pytest.raises(InputError, match=words) as caught:
            split(scan, config)
        assert "\n" not in str(caught.value)
