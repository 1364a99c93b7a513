"""A thinned lattice: interleaves of one scan, each with its own exact noise, none with a line of the other."""

import dataclasses

import pytest
import torch

from clearmr.errors import InputError
from clearmr.recon import apply, calibrate, thin
from clearmr.recon.chain import frame_lines
from clearmr.recon.lattice import Lattice, lattice_lines
from laws import assert_unit_noise
from recon_scans import simulate
from test_recon_noise_law import noise_replicas

REPLICAS = 128
WAYS = {
    "kz, R = 2x1": (dict(acceleration=(2, 1)), dict(axis="kz")),
    "ky, R = 2x1": (dict(acceleration=(2, 1)), dict(axis="ky")),
    "kz, R = 1": (dict(), dict(axis="kz")),
    "ky, R = 1": (dict(), dict(axis="ky")),
    "checkerboard, R = 2x1": (dict(acceleration=(2, 1)), dict(caipi=True, kernel=(4, 4, 3))),
    "kz of CAIPI 2x2": (dict(acceleration=(2, 2), caipi_shift=1), dict(axis="kz")),
    "ky of CAIPI 2x2": (dict(acceleration=(2, 2), caipi_shift=1), dict(axis="ky")),
    "checkerboard of CAIPI 2x2": (dict(acceleration=(2, 2), caipi_shift=1), dict(caipi=True)),
    "every fourth kz": (dict(), dict(axis="kz", factor=4)),
    "partial Fourier": (dict(acceleration=(2, 1), partial_fourier=0.75), dict(axis="ky")),
}


def small(**options):
    return simulate(**({"matrix": (16, 24, 12), "acs": 14, "n_coils": 12} | options))


@pytest.mark.parametrize("way", WAYS)
def test_noise_of_each_interleave_is_what_it_says_and_independent(way):
    scan, mixing = small(**WAYS[way][0])
    part = thin(calibrate(scan), **WAYS[way][1])
    replicas = noise_replicas(scan, mixing, count=REPLICAS)
    first, second = (apply(replicas, part, interleave=number) for number in (0, 1))
    for half in (first, second):
        assert_unit_noise(half.image, half.noise_sd[0], torch.ones_like(half.noise_sd[0], dtype=torch.bool))
    standard = [half.image / half.noise_sd for half in (first, second)]
    assert abs(complex((standard[0].conj() * standard[1]).mean())) / 2 < 0.01


@pytest.mark.parametrize("way", WAYS)
def test_interleaves_share_no_line_and_make_up_the_lattice(way):
    scan, _ = small(**WAYS[way][0])
    whole = calibrate(scan)
    part = thin(whole, **WAYS[way][1])
    seen = torch.zeros_like(scan.sampled[0], dtype=torch.int)
    for number in range(WAYS[way][1].get("factor", 2)):
        lines = frame_lines(scan.sampled[0], part, interleave=number)
        seen[lines.k2, lines.k1] += 1
    assert torch.equal(seen, lattice_lines(scan.sampled[0], whole.lattice).int())


def test_the_thinner_lattice_of_a_caipi_scan_is_regular_along_both_axes():
    assert Lattice(2, 2, 1).thinned("kz", 2) == Lattice(2, 4, 1)
    assert Lattice(2, 2, 1).thinned("ky", 2) == Lattice(4, 2, 0)
    assert Lattice(2, 1, 0).thinned("kz", 2, caipi=True) == Lattice(2, 2, 1)


@pytest.mark.parametrize("way", ["kz, R = 1", "ky, R = 1", "checkerboard, R = 2x1"])
def test_interleaves_hold_the_same_signal_and_so_does_the_whole_over_root_two(way):
    scan, _ = small(**WAYS[way][0], matrix=(24, 32, 24), acs=20, n_coils=16, signal=1000.0)
    whole = calibrate(scan)
    part = thin(whole, **(WAYS[way][1] | {"kernel": (4, 4, 3)}))
    first, second = (apply(scan, part, interleave=number).image for number in (0, 1))
    original = apply(scan, whole).image / 2**0.5
    inside = original.abs() > 0.3 * original.abs().max()
    signal = original.abs()[inside].mean()
    assert (first - second).abs()[inside].mean() < 0.01 * signal
    assert (first - original).abs()[inside].mean() < 0.01 * signal
    assert abs(1 - first.abs()[inside].mean() / signal) < 0.003


def test_lines_of_the_acs_off_the_lattice_enter_no_interleave():
    scan, _ = small(acceleration=(2, 1))
    assert scan.calibration_sampled is not None
    part = thin(calibrate(scan))
    extra = scan.calibration_sampled & ~scan.sampled
    assert bool(extra.any())
    loud = torch.where(extra[:, None, :, :, None], torch.full_like(scan.kspace, 1e6), scan.kspace)
    embedded = dataclasses.replace(scan, kspace=loud, sampled=scan.sampled | extra)
    for number in (0, 1):
        torch.testing.assert_close(
            apply(embedded, part, interleave=number).image, apply(scan, part, interleave=number).image, rtol=0, atol=0
        )


def test_an_interleave_of_fewer_lines_says_less_noise_and_keeps_the_signal():
    scan, _ = small(matrix=(15, 24, 12))
    part = thin(calibrate(scan), kernel=(4, 4, 3))
    first, second = (apply(scan, part, interleave=number) for number in (0, 1))
    torch.testing.assert_close(second.noise_sd / first.noise_sd, torch.full_like(first.noise_sd, (7 / 8) ** 0.5))
    assert abs(1 - float(first.image.abs().mean() / second.image.abs().mean())) < 0.03


def test_errors_of_a_thinned_lattice():
    scan, _ = small(matrix=(3, 24, 12), acs=12)
    with pytest.raises(InputError, match="at least 4 kz lines"):
        thin(calibrate(scan))
    scan, _ = small(acceleration=(2, 1), acs=4)
    with pytest.raises(InputError, match="ACS too small"):
        thin(calibrate(scan), axis="ky", factor=4)
