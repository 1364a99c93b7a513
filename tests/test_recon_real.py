"""The reconstruction of real raw scans, and of the ISMRMRD reference tool's simulated one. Skipped without the data."""

import dataclasses

import h5py
import numpy as np
import pytest
import torch

from clearmr.formats import load
from clearmr.recon import ReconConfig, apply, calibrate, reconstruct
from clearmr.scan import RawScan
from laws import assert_unit_noise
from test_recon_noise_law import noise_replicas, one_thread  # noqa: F401

SIMULATED = "raw_shepplogan_noise_scan"
TRUE_BANDWIDTH = ReconConfig(bandwidth_ratio=1.0)  # the tool's noise scan is as strong as its imaging noise


def raw(path) -> RawScan:
    scan = load(path)
    assert isinstance(scan, RawScan)
    return scan


def test_reference_tools_noise_scan_gives_unit_noise(shared_data):
    image = reconstruct(raw(shared_data(f"{SIMULATED}/sl_R1_2rep.h5")), config=TRUE_BANDWIDTH).image
    difference = torch.view_as_real(image[0] - image[1]) / 2**0.5
    assert float(difference.std()) == pytest.approx(1, abs=0.04)  # its 192 noise samples are known to 3 percent in SD


@pytest.mark.parametrize("name", ["sl_R1_2rep.h5", "sl_R2_acs24.h5"])
def test_noise_law_on_the_reference_tools_scans(shared_data, name):
    scan = raw(shared_data(f"{SIMULATED}/{name}"))
    assert scan.noise is not None
    calibration = calibrate(scan, config=TRUE_BANDWIDTH)
    mixing = torch.linalg.cholesky(calibration.covariance).to(torch.complex64)
    one = dataclasses.replace(scan, kspace=scan.kspace[:1], sampled=scan.sampled[:1], frames=scan.frames[:1])
    # noise_replicas makes the simulated scans' stronger imaging noise: undo that factor
    replicas = noise_replicas(one, mixing)
    level = (scan.dwell_us / scan.noise.dwell_us) ** 0.5 / (5.0 / 4.0 / 0.8) ** 0.5
    image = apply(dataclasses.replace(replicas, kspace=replicas.kspace * level), calibration)
    assert_unit_noise(image.image, image.noise_sd[0], torch.ones_like(image.noise_sd[0], dtype=torch.bool))


def test_accelerated_agrees_with_full_within_the_predicted_noise(shared_data):
    full = reconstruct(raw(shared_data(f"{SIMULATED}/sl_R1_2rep.h5")), config=TRUE_BANDWIDTH)
    half = reconstruct(raw(shared_data(f"{SIMULATED}/sl_R2_acs24.h5")), config=TRUE_BANDWIDTH)
    reference = full.image.mean(0)
    inside = reference.abs() > 0.1 * reference.abs().max()
    for frame in half.image:
        residual = (frame * 2**0.5 - reference)[inside]
        predicted = (2 * half.noise_sd[0][inside] ** 2 + 0.5) * 2  # both parts; the reference is a mean of two
        assert 0.85 < float((residual.abs() ** 2 / predicted).mean().sqrt()) < 1.15


def test_estimated_maps_are_the_reference_tools_own(shared_data):
    path = shared_data(f"{SIMULATED}/sl_R1_2rep.h5")
    calibration = calibrate(raw(path), config=TRUE_BANDWIDTH)
    with h5py.File(path) as file:
        stored = file["dataset/csm"][()]
    true = torch.from_numpy(np.ascontiguousarray(stored["real"] + 1j * stored["imag"])).to(torch.complex64)
    true = torch.einsum("cd,dzyx->czyx", calibration.prewhitening, true.reshape(8, 1, 96, 96))
    overlap = (true.conj() * calibration.csm[0]).sum(0).abs() / torch.linalg.vector_norm(true, dim=0)
    image = apply(raw(path), calibration).image[0].abs()
    assert float(overlap[image > 0.1 * image.max()].mean()) > 0.998


def test_estimated_noise_of_two_repetitions_is_that_of_their_difference(shared_data):
    scan = raw(shared_data("raw_phantom_2ch_two_repetitions/gre_2rep.dat"))
    image = reconstruct(scan, estimate_noise=True).image
    centre = (image[0] - image[1])[0, 30:130, 30:130] / 2**0.5
    assert float(torch.view_as_real(centre).std()) == pytest.approx(1, abs=0.02)


def test_epi_is_straightened(shared_data):
    scan = raw(shared_data("raw_phantom_2ch_two_repetitions/epi.dat"))
    image = reconstruct(scan, estimate_noise=True)
    assert [step["name"] for step in image.meta["steps"][1:3]] == ["ramp sampling", "ghost phase"]
    ghosted = reconstruct(dataclasses.replace(scan, navigators=None), estimate_noise=True)
    corner = (..., slice(68, 80), slice(0, 12))  # air: the ghost of the phantom's other end falls there
    assert float(image.image[corner].abs().mean()) < 0.8 * float(ghosted.image[corner].abs().mean())


@pytest.mark.parametrize(
    "path",
    [
        "raw_brain_16ch/brain_localcoil16_2dflash.dat",
        "raw_phantom_1ch/gre256_3T_1ch.dat",
        "raw_phantom_32ch/phantom32ch_se2d_64.dat",
    ],
)
def test_fully_sampled_scans_have_g_one(shared_data, path):
    image = reconstruct(raw(shared_data(path)), estimate_noise=True)
    assert image.noise_source == "estimated"
    torch.testing.assert_close(image.gmap, torch.ones_like(image.gmap), rtol=0, atol=1e-4)
    assert float(image.image.abs().amax()) > 20
