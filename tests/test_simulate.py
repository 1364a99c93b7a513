"""The simulator: its noise is what it says, its lattice is what was asked for, its truth is what was measured."""

import itertools

import pytest
import torch

from clearmr.errors import InputError
from clearmr.fourier import crop_or_pad, to_image
from clearmr.simulate import SCENES, Receiver, simulate
from clearmr.simulate.coils import coil_maps
from clearmr.simulate.receiver import draw_noise, noise_covariance, noise_scan
from clearmr.simulate.sampling import Sampling, acs_lines, kept, lattice

SMALL = (1, 48, 40)


def full_images(scan) -> torch.Tensor:
    """Coil images (frame, coil, z, y, x) of a fully sampled scan, oversampling removed."""
    return crop_or_pad(to_image(scan.kspace, (-3, -2, -1)), scan.encoding.recon_matrix[2], -1)


@pytest.mark.parametrize("scene", SCENES, ids=lambda s: s.name)
def test_a_scene_has_the_asked_shape_a_peak_of_one_and_is_the_seeds(scene):
    matrix = (12, 32, 28) if scene.name == "brain" else (2, 32, 28)
    first, again, other = (scene.draw(matrix, n_frames=3, seed=s) for s in (1, 1, 2))
    assert first.shape == (3, *matrix) and first.dtype == torch.complex64
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.abs().max() == pytest.approx(1, abs=1e-5)
    corner = first[..., 0, 0].abs().max()
    assert corner < 0.02, "there is air round the object"


def test_the_heart_beats_and_the_rest_stands_still():
    cine = SCENES[1].draw((1, 64, 64), n_frames=3, seed=0).abs()[:, 0]
    moving = cine.std(0)
    assert moving[25:38, 30:43].max() > 0.2, "blood and muscle change places"
    assert moving[:10].max() < 0.02, "the chest wall does not move"
    assert (cine[0, 22:40, 25:45] > 0.7).sum() > 1.3 * (cine[1, 22:40, 25:45] > 0.7).sum(), "systole ejects blood"


def test_without_noise_a_full_scan_gives_the_truth_back():
    made = simulate("cine", matrix=SMALL, n_frames=2, n_coils=3, noise_sd=0.0)
    torch.testing.assert_close(full_images(made.scan), made.truth[:, None] * made.csm, atol=1e-5, rtol=0)
    assert made.scan.kspace.shape == (2, 3, 1, 48, 80) and made.scan.encoding.encoded_fov[2] == 680
    assert made.scan.calibration is None


def test_the_image_noise_has_the_asked_sd_and_the_told_covariance():
    made = simulate("phantom", matrix=(1, 96, 96), n_frames=4, n_coils=4, noise_sd=0.05)
    noise = (
        (full_images(made.scan) - made.truth[:, None] * made.csm).transpose(0, 1).reshape(4, -1).to(torch.complex128)
    )
    cov = noise @ noise.mH / noise.shape[1]
    assert (cov - made.noise_cov).abs().max() < 0.03 * made.noise_cov.abs().max()
    assert (cov.diagonal().real.mean() / 2).sqrt() == pytest.approx(0.05, rel=0.01)
    correlation = made.noise_cov[0, 1].abs() / (made.noise_cov[0, 0] * made.noise_cov[1, 1]).abs().sqrt()
    assert 0.05 < correlation < 0.7, "neighbouring coils share noise"


def test_the_noise_scan_prewhitens_the_data_to_unit_noise():
    """FACTS.md: inv(chol(C_noise)) * sqrt(2 T_acq / T_noise * BW)."""
    receiver = Receiver(dwell_us=4.0, noise_dwell_us=7.6, bandwidth_ratio=0.6)
    cov = noise_covariance(coil_maps(SMALL, n_coils=6), noise_sd=3.0, generator=torch.Generator().manual_seed(0))
    scan = noise_scan(cov, receiver, 256, torch.Generator().manual_seed(1))
    samples = scan.samples.to(torch.complex128)
    measured = samples @ samples.mH / (samples.shape[1] - 1)
    whiten = torch.linalg.inv(torch.linalg.cholesky(measured)) * (2 * 4.0 / scan.dwell_us * 0.6) ** 0.5
    white = whiten @ draw_noise(cov, 100_000, torch.Generator().manual_seed(2)).to(torch.complex128)
    torch.testing.assert_close(white.real.std(1), torch.ones(6, dtype=torch.float64), atol=0.012, rtol=0)
    torch.testing.assert_close(white.imag.std(1), torch.ones(6, dtype=torch.float64), atol=0.012, rtol=0)


def test_snr_is_the_mean_snr_of_the_best_combination():
    made = simulate("phantom", matrix=(1, 64, 64), n_frames=1, n_coils=5, snr=12.0)
    assert made.snr[made.truth.abs() > 0.02].mean() == pytest.approx(12, rel=1e-4)
    weights = torch.linalg.solve(made.noise_cov, made.csm.reshape(5, -1).to(torch.complex128)).mH
    weights = weights / (weights * made.csm.reshape(5, -1).T).sum(1, keepdim=True)
    combined = (weights * full_images(made.scan).reshape(5, -1).T).sum(1)
    error = (combined - made.truth.flatten()).real * made.snr.flatten() / made.truth.abs().flatten().clamp(min=1e-9)
    assert error[made.truth.flatten().abs() > 0.02].std() == pytest.approx(1, rel=0.06)


def test_the_noise_of_two_seeds_differs_and_of_one_agrees():
    a, b, c = (simulate("phantom", matrix=SMALL, n_coils=2, seed=s).scan for s in (3, 3, 4))
    assert torch.equal(a.kspace, b.kspace) and torch.equal(a.noise.samples, b.noise.samples)
    assert not torch.equal(a.noise.samples, c.noise.samples)


@pytest.mark.parametrize("r", [1, 2, 3, 4, 6])
def test_lattice_passes_through_the_centre(r):
    lines = lattice(2, 1, 97, Sampling(acceleration=(r, 1)))
    assert lines[:, 0, 48].all() and lines.sum() == 2 * sum((k - 48) % r == 0 for k in range(97))


def test_caipi_shifts_the_lattice_per_acquired_step():
    lines = lattice(1, 12, 12, Sampling(acceleration=(2, 2), caipi_shift=1))[0]
    assert lines.sum() == 36
    assert lines[6, 6] and lines[7, 8] and not lines[6, 8] and lines[6, 10]


def test_interleaved_frames_fill_k_space():
    lines = lattice(6, 8, 9, Sampling(acceleration=(3, 2), calibration="interleaved"))
    assert (lines.sum(0) == 1).all()


@pytest.mark.parametrize("fraction, side", list(itertools.product([5 / 8, 0.75, 1.0], ["low", "high"])))
def test_partial_fourier_keeps_the_centre_and_leaves_out_a_side(fraction, side):
    start, stop = kept(64, fraction, side)
    assert stop - start == 64 * fraction and start <= 32 < stop
    lines = lattice(1, 1, 64, Sampling(partial_fourier=fraction, side=side))[0, 0]
    assert lines.nonzero().flatten().tolist() == list(range(start, stop))
    assert not acs_lines(1, 64, Sampling(acs=(64, 1), partial_fourier=fraction, side=side))[0, :start].any()


def test_asymmetric_echo_leaves_zeros_at_the_start_of_the_readout():
    scan = simulate("phantom", matrix=SMALL, n_coils=2, echo_fraction=0.75).scan
    assert scan.readout == (20, 80)
    assert (scan.kspace[..., :20] == 0).all() and (scan.kspace[..., 20:] != 0).all()


def test_embedded_calibration_shares_the_lattices_lines():
    scan = simulate("cine", matrix=SMALL, n_frames=2, n_coils=3, acceleration=3, acs=12).scan
    assert scan.calibration_sampled[0, 0].nonzero().flatten().tolist() == list(range(18, 30))
    shared = scan.calibration_sampled[0] & scan.sampled[0]
    assert shared.sum() == 4
    assert torch.equal(scan.calibration[0][:, shared], scan.kspace[0][:, shared])
    assert (scan.kspace[:, :, ~scan.sampled[0]] == 0).all()


def test_separate_calibration_has_noise_of_its_own():
    scan = simulate("brain", matrix=(16, 32, 32), n_coils=4, acceleration=(2, 2), acs=8, calibration="separate").scan
    assert scan.calibration_sampled.sum() == 64 and scan.encoding.acceleration == (2, 2)
    shared = scan.calibration_sampled[0] & scan.sampled[0]
    assert not torch.isclose(scan.calibration[0][:, shared], scan.kspace[0][:, shared]).any()


def test_impossible_scans_are_refused_in_one_line():
    bad = (
        {"scene": "moon"},
        {"partial_fourier": 0.4},
        {"acceleration": 0},
        {"n_coils": 0},
        {"noise_sd": 1.0, "snr": 1.0},
    )
    for options in bad:
        with pytest.raises(InputError) as told:
            simulate(**{"scene": "phantom", "matrix": SMALL, **options})
        assert "\n" not in str(told.value)
