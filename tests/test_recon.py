"""The reconstruction: noise scale, coil maps, GRAPPA, g-factor maps, Fourier conventions, and kind refusals."""

import dataclasses
import math

import pytest
import torch

from clearmr.errors import InputError
from clearmr.fourier import crop_or_pad, to_image, to_kspace
from clearmr.recon import (
    ReconConfig,
    apply,
    apply_frame,
    calibrate,
    calibrate_grappa,
    estimate_csm,
    estimate_noise_covariance,
    gmap,
    gmaps_for,
    noise_covariance,
    noise_scale,
    prewhitener,
    reconstruct,
    unmixing,
)
from clearmr.recon.epi import GhostPhase, ghost_phase, ramp_positions
from clearmr.recon.grid import Axis, edge_taper, readout_matrix
from clearmr.recon.lattice import Lattice, lattice_lines
from clearmr.recon.phase_encoding import aliased_images, line_weights
from clearmr.scan import FrameIndex, NoiseScan, RawScan, Trapezoid
from laws import assert_adjoint, assert_unitary, complex_noise
from recon_scans import BANDWIDTH, DWELL, NOISE_DWELL, coil_maps, noise_level, phantom, receiver_noise, simulate


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other make tiny matrices slow on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def with_noise(scan: RawScan, mixing: torch.Tensor, *, seed: int = 3) -> RawScan:
    """The scan with receiver noise in its imaging and calibration lines."""

    def noise(mask: torch.Tensor, offset: int) -> torch.Tensor:
        shape = (mask.shape[0], *mask.shape[1:], scan.kspace.shape[-1])
        drawn = receiver_noise(mixing, *shape, seed=seed + offset).movedim(1, 0) * noise_level()
        return drawn * mask[:, None, :, :, None]

    calibration = scan.calibration
    if calibration is not None and scan.calibration_sampled is not None:
        calibration = calibration + noise(scan.calibration_sampled, 100)
    return dataclasses.replace(scan, kspace=scan.kspace + noise(scan.sampled, 0), calibration=calibration)


def body(n_y: int, n_x: int) -> torch.Tensor:
    """Where the phantom is, (z, y, x) of the reconstructed image."""
    return crop_or_pad(phantom(1, n_y, 2 * n_x), n_x, -1).abs() > 0.1


# --- noise ---------------------------------------------------------------------------------------------------------


def test_noise_scale_is_kellmans():
    assert noise_scale(dwell_us=5.0, noise_dwell_us=5.0, bandwidth_ratio=1.0) == pytest.approx(math.sqrt(2))
    assert noise_scale(dwell_us=10.0, noise_dwell_us=5.0, bandwidth_ratio=0.793) == pytest.approx(math.sqrt(4 * 0.793))


def test_prewhitened_noise_has_sd_one_in_each_part():
    scan, mixing = simulate()
    assert scan.noise is not None
    covariance = noise_covariance(scan.noise.samples)
    torch.testing.assert_close(covariance.to(torch.complex64), mixing @ mixing.mH, rtol=0, atol=0.03)
    white = prewhitener(covariance) @ receiver_noise(mixing, 20000, seed=9)
    assert float(white.real.std()) == pytest.approx(1, abs=0.01)
    assert float(white.imag.std()) == pytest.approx(1, abs=0.01)
    cross = (white @ white.mH / 20000 - 2 * torch.eye(8)).abs().max()
    assert float(cross) < 0.08


def test_the_scale_and_where_it_came_from_are_recorded():
    scan, _ = simulate()
    step = reconstruct(dataclasses.replace(scan, average_noise=0.5)).meta["steps"][0]
    assert step["scale"] == pytest.approx(math.sqrt(2 * DWELL / NOISE_DWELL * BANDWIDTH) / 0.5)
    assert (step["noise"], step["bandwidth_ratio"], step["dwell_us"]) == ("measured", BANDWIDTH, DWELL)


def test_a_missing_bandwidth_ratio_is_taken_as_0793_and_said():
    scan, _ = simulate()
    image = reconstruct(dataclasses.replace(scan, bandwidth_ratio=None))
    assert image.meta["steps"][0]["bandwidth_ratio"] == 0.793
    assert any("0.793" in warning for warning in image.meta["warnings"])
    chosen = reconstruct(dataclasses.replace(scan, bandwidth_ratio=None), config=ReconConfig(bandwidth_ratio=1.0))
    assert chosen.meta["steps"][0]["bandwidth_ratio"] == 1.0
    assert chosen.meta["warnings"] == []


def test_few_noise_samples_still_give_a_prewhitener():
    few = receiver_noise(torch.eye(8, dtype=torch.complex64), 6, seed=1)
    assert bool(torch.isfinite(prewhitener(noise_covariance(few)).abs()).all())


def test_noise_estimated_from_kspace_corners_is_within_four_percent():
    scan, mixing = simulate(matrix=(1, 128, 96), signal=10.0)
    estimated = estimate_noise_covariance(with_noise(scan, mixing)).to(torch.complex64)
    true = mixing @ mixing.mH * noise_level() ** 2
    sd_ratio = (torch.diagonal(estimated).real / torch.diagonal(true).real).sqrt()
    assert float((sd_ratio - 1).abs().max()) < 0.08
    assert float(sd_ratio.mean()) == pytest.approx(1, abs=0.04)
    assert float((estimated - true).abs().max()) < 0.15 * float(true.abs().max())
    image = reconstruct(with_noise(scan, mixing), estimate_noise=True)
    assert image.noise_source == "estimated"
    assert any("estimated" in warning for warning in image.meta["warnings"])


# --- coil maps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 64, 48), (12, 32, 24)])
@pytest.mark.parametrize("method", ["inati", "walsh"])
def test_coil_maps_are_unit_norm_and_true_up_to_a_smooth_phase(method, shape):
    true = crop_or_pad(coil_maps(6, shape[0], shape[1], 2 * shape[2]), shape[2], -1)
    image = crop_or_pad(phantom(shape[0], shape[1], 2 * shape[2]), shape[2], -1)
    maps = estimate_csm(true * image + 0.01 * complex_noise(6, *shape, seed=2), method=method)
    torch.testing.assert_close(torch.linalg.vector_norm(maps, dim=0), torch.ones(shape), rtol=0, atol=1e-4)
    inside = image.abs() > 0.1
    overlap = (maps.conj() * true).sum(0)
    assert float(overlap.abs()[inside].mean()) > (0.995 if shape[0] == 1 else 0.985)
    steps = torch.angle(overlap[:, 1:] * overlap[:, :-1].conj())[inside[:, 1:] & inside[:, :-1]]
    assert float(steps.abs().quantile(0.99)) < 0.2


# --- lattices, GRAPPA, unmixing ------------------------------------------------------------------------------------


def test_only_lattice_lines_make_the_image():
    sampled = torch.zeros(1, 32, dtype=torch.bool)
    sampled[0, 1::4] = True
    sampled[0, 12:20] = True
    kept = torch.nonzero(lattice_lines(sampled, Lattice(4))[0]).flatten()
    assert kept.tolist() == list(range(1, 32, 4))


def acs_of(n_coils: int, n_y: int, n_x: int, lines: int) -> torch.Tensor:
    """Noise-free calibration lines (coil, 1, k1, k0) of the phantom, readout not oversampled."""
    maps, image = (
        crop_or_pad(full, n_x, -1) for full in (coil_maps(n_coils, 1, n_y, 2 * n_x), phantom(1, n_y, 2 * n_x))
    )
    full_kspace = to_kspace(maps * image, (1, 2, 3))
    return full_kspace[:, :, n_y // 2 - lines // 2 : n_y // 2 + lines // 2]


@pytest.mark.parametrize("r", [2, 3, 4])
def test_grappa_fills_missing_lines_whatever_the_offset(r):
    full = acs_of(16, 96, 64, 96)
    kernel = calibrate_grappa(full[:, :, 32:64], (r, 1))
    reach = kernel.weights.shape[3] // 2
    for offset in range(r):
        lattice = torch.zeros_like(full)
        lattice[:, :, offset::r] = full[:, :, offset::r]
        filled = torch.nn.functional.conv2d(lattice.movedim(1, 0), kernel.weights[:, :, 0], padding=(reach, 2))
        inner = slice(2 * r, -2 * r)
        error = torch.linalg.vector_norm((filled[0] - full[:, 0])[:, inner])
        assert float(error / torch.linalg.vector_norm(full[:, 0, inner])) < 0.04
        torch.testing.assert_close(filled[0][:, offset::r], full[:, 0, offset::r], rtol=1e-3, atol=1e-3)


def test_unmixing_is_the_kernels_convolution_seen_in_the_image():
    full = acs_of(8, 32, 24, 32)
    kernel = calibrate_grappa(full, (3, 1))
    maps = crop_or_pad(coil_maps(8, 1, 32, 48), 24, -1)
    u = unmixing(kernel, maps)
    lattice = torch.zeros_like(full)
    lattice[:, :, 1::3] = full[:, :, 1::3]
    reach = (kernel.weights.shape[3] // 2, kernel.weights.shape[4] // 2)
    wrapped = torch.nn.functional.pad(
        torch.view_as_real(lattice[:, 0]).movedim(-1, 0), (reach[1], reach[1], reach[0], reach[0]), mode="circular"
    )
    filled = torch.nn.functional.conv2d(torch.complex(wrapped[0], wrapped[1])[None], kernel.weights[:, :, 0])
    slow = (maps.conj() * to_image(filled[0][:, None], (1, 2, 3))).sum(0) / 3
    quick = (u * to_image(lattice, (1, 2, 3))).sum(0)
    torch.testing.assert_close(quick, slow, rtol=1e-3, atol=1e-4)


def test_gmap_matches_sense_where_calibration_is_ideal():
    """GRAPPA of ample calibration lines approaches SENSE's g (Pruessmann et al. 1999)."""
    maps = crop_or_pad(coil_maps(16, 1, 96, 128), 64, -1)
    inside = body(96, 64)
    lines = acs_of(16, 96, 64, 48) + 0.005 * complex_noise(16, 1, 48, 64, seed=8)
    ours = gmap(unmixing(calibrate_grappa(lines, (3, 1)), maps))
    folded = maps[:, 0].reshape(16, 3, 32, 64).permute(2, 3, 0, 1)
    gram = folded.mH @ folded
    g2 = torch.diagonal(torch.linalg.inv(gram), dim1=-2, dim2=-1).real * torch.diagonal(gram, dim1=-2, dim2=-1).real
    sense = g2.sqrt().permute(2, 0, 1).reshape(1, 96, 64)
    assert float(ours[inside].mean() / sense[inside].mean()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("acceleration", [2, 3])
def test_accelerated_agrees_with_full_within_the_predicted_noise(acceleration):
    full, mixing = simulate(matrix=(1, 96, 64), n_coils=12)
    part, _ = simulate(matrix=(1, 96, 64), n_coils=12, acceleration=(acceleration, 1), acs=32)
    reference, image = reconstruct(full), reconstruct(with_noise(part, mixing))
    inside = body(96, 64)
    residual = (image.image * acceleration**0.5 - reference.image)[0][inside]
    predicted = image.noise_sd[0][inside] * acceleration**0.5
    ratio = (residual.abs() ** 2 / (2 * predicted**2)).mean().sqrt()
    assert 0.9 < float(ratio) < 1.2


@pytest.mark.parametrize("caipi_shift", [0, 1])
def test_3d_with_caipi_agrees_with_full(caipi_shift):
    matrix = (16, 32, 24)
    full, _ = simulate(matrix=matrix, n_coils=12)
    part, _ = simulate(matrix=matrix, n_coils=12, acceleration=(2, 2), caipi_shift=caipi_shift, acs=16)
    reference, image = reconstruct(full), reconstruct(part)
    error = torch.linalg.vector_norm(image.image * 2 - reference.image) / torch.linalg.vector_norm(reference.image)
    assert float(error) < 0.05
    assert image.image.shape == (1, 16, 32, 24)
    assert image.meta["steps"][-1]["kernel"][1] >= 2


def test_a_moving_lattice_calibrates_itself():
    """TGRAPPA: a static object must look the same in every frame."""
    scan, _ = simulate(matrix=(1, 64, 48), acceleration=(3, 1), n_coils=12, n_frames=3, shifting=True)
    assert scan.calibration is None
    image = reconstruct(scan)
    reference = reconstruct(simulate(matrix=(1, 64, 48), n_coils=12)[0]).image
    for frame in image.image:
        error = torch.linalg.vector_norm(frame * 3**0.5 - reference[0]) / torch.linalg.vector_norm(reference)
        assert float(error) < 0.05


def test_gmaps_of_every_acceleration_come_from_one_calibration():
    scan, mixing = simulate(matrix=(1, 64, 48), acceleration=(2, 1), n_coils=12, acs=12)
    calibration = calibrate(with_noise(scan, mixing))
    maps, absent = gmaps_for(calibration)
    torch.testing.assert_close(maps[2], calibration.gmap.flatten(0, 1))
    inside = body(64, 48)
    means = [float(maps[r][inside].mean()) for r in (2, 3, 4)]
    assert means == sorted(means) and means[0] > 1
    assert set(maps) | set(absent) == set(range(2, 9))
    narrow, missing = gmaps_for(calibrate(with_noise(simulate(acceleration=(2, 1), acs=8)[0], mixing[:8, :8])))
    assert 8 in missing and "too small" in missing[8] and 2 in narrow


def test_a_short_acs_shrinks_the_kernel():
    assert calibrate_grappa(acs_of(8, 64, 64, 24), (4, 1)).lines == (1, 4)
    assert calibrate_grappa(acs_of(8, 64, 64, 8), (4, 1)).lines == (1, 2)
    with pytest.raises(InputError, match="too small for the kernel: 1 x 4 lines"):
        calibrate_grappa(acs_of(8, 64, 64, 4), (4, 1))


# --- Fourier conventions and the matrices --------------------------------------------------------------------------


@pytest.mark.parametrize("n", [16, 17])
def test_fourier_is_unitary_and_adjoint(n):
    x, y = complex_noise(3, n, 12, seed=1), complex_noise(3, n, 12, seed=2)
    assert_unitary(lambda k: to_image(k, (1, 2)), lambda i: to_kspace(i, (1, 2)), x)
    assert_adjoint(lambda k: to_image(k, (1, 2)), lambda i: to_kspace(i, (1, 2)), x, y)
    assert_adjoint(lambda a: crop_or_pad(a, 25, 1), lambda a: crop_or_pad(a, n, 1), x, complex_noise(3, 25, 12, seed=3))


@pytest.mark.parametrize("n", [16, 17])
def test_the_matrices_are_the_centred_fourier_transform(n):
    kspace = complex_noise(2, n, 2 * n, seed=4)
    axes = Axis(1, 1, 1.0, 1.0), Axis(n, n, 200.0, 200.0)
    x = readout_matrix(Axis(2 * n, 2 * n, 400.0, 400.0), (0, 2 * n), kspace_filter=None, taper=10)
    weights = line_weights(torch.ones(1, n, dtype=torch.bool), Lattice(), axes, ReconConfig())
    image = aliased_images(kspace @ x.T, weights, axes, scale=weights.power**-0.5)
    torch.testing.assert_close(image[:, 0], to_image(kspace, (1, 2)), rtol=1e-4, atol=1e-4)


def test_readout_oversampling_is_removed_as_by_cropping():
    kspace = complex_noise(3, 64, seed=5)
    matrix = readout_matrix(Axis(64, 32, 400.0, 200.0), (0, 64), kspace_filter=None, taper=10)
    torch.testing.assert_close(kspace @ matrix.T, crop_or_pad(to_image(kspace, (1,)), 32, 1), rtol=1e-4, atol=1e-4)


def test_zero_filling_is_padding_of_kspace():
    kspace = complex_noise(3, 32, seed=6)
    matrix = readout_matrix(Axis(32, 48, 200.0, 200.0), (0, 32), kspace_filter=None, taper=10)
    expected = to_image(crop_or_pad(kspace, 48, 1), (1,)) * (48 / 32) ** 0.5
    torch.testing.assert_close(kspace @ matrix.T, expected, rtol=1e-4, atol=1e-4)


def test_the_taper_is_a_hanning_on_the_cut_side_only():
    lines = torch.arange(64)
    weight = edge_taper(lines, 16, 63, 64, width=10, margin=2)
    expected = [0.5 * (1 - math.cos(2 * math.pi * k / 21)) for k in range(1, 11)]
    torch.testing.assert_close(weight[16:26], torch.tensor(expected, dtype=torch.float64))
    assert bool((weight[26:] == 1).all())
    assert bool((edge_taper(lines, 8, 55, 64, width=10, margin=2) == 1).all())


# --- EPI -----------------------------------------------------------------------------------------------------------


def test_ghost_phase_is_found_and_undone():
    scan, _ = simulate(matrix=(1, 64, 48))
    n0 = 96
    forward = readout_matrix(Axis(n0, 48, 384.0, 192.0), (0, n0), kspace_filter=None, taper=10)
    backward = torch.zeros_like(scan.sampled)
    backward[..., 1::2] = True
    true = GhostPhase(0.4, 0.03)
    full_x = torch.polar(torch.ones(n0), 0.4 + 0.03 * (torch.arange(n0) - n0 // 2).float())

    def spoilt(lines):
        return to_kspace(to_image(lines, (-1,)) * full_x, (-1,))

    kspace = torch.where(backward[:, None, :, :, None], spoilt(scan.kspace), scan.kspace)
    line = scan.kspace[0, :, 0, 32]
    navigators = torch.stack([line, spoilt(line), line])
    polarity = torch.tensor([False, True, False])
    epi = dataclasses.replace(
        scan, kspace=kspace, reversed_lines=backward, navigators=navigators, navigator_reversed=polarity
    )
    found = ghost_phase(epi, forward)
    assert found is not None
    assert (found.constant, found.slope) == (
        pytest.approx(true.constant, abs=0.01),
        pytest.approx(true.slope, abs=1e-3),
    )
    image, clean = reconstruct(epi).image, reconstruct(scan).image
    ghosted = reconstruct(dataclasses.replace(epi, navigators=None)).image
    assert float((image - clean).abs().max()) < 0.02 * float(clean.abs().max())
    assert float((ghosted - clean).abs().max()) > 0.1 * float(clean.abs().max())
    torch.testing.assert_close(found.correction(48).abs(), torch.ones(48, dtype=torch.float64))


def test_ramp_sampled_lines_give_the_same_image():
    scan, _ = simulate(matrix=(1, 64, 48))
    ramp = Trapezoid(ramp_up=100.0, flat_top=300.0, ramp_down=100.0, delay=20.0, adc_duration=460.0)
    uniform = ramp_positions(Trapezoid(0.0, 500.0, 0.0, 20.0, 460.0), 96)
    torch.testing.assert_close(uniform, torch.arange(96, dtype=torch.float64) - 48, rtol=0, atol=1e-6)
    fine = Axis(96, 96, 384.0, 384.0)
    resample = fine.waves(ramp_positions(ramp, 96)).mH.to(torch.complex64) / 96**0.5
    hybrid = to_image(scan.kspace, (-1,))
    ramped = dataclasses.replace(scan, kspace=hybrid @ resample.T, ramp=ramp)
    image, clean = reconstruct(ramped).image, reconstruct(scan).image
    level = (image.conj() * clean).sum().abs() / (image.abs() ** 2).sum()
    assert float(torch.linalg.vector_norm(level * image - clean) / torch.linalg.vector_norm(clean)) < 0.03


# --- the chain -----------------------------------------------------------------------------------------------------


def test_slices_become_z_and_repetitions_frames():
    scan, _ = simulate(matrix=(1, 32, 24))
    order = [(slice_number, repetition) for repetition in range(2) for slice_number in (2, 0, 1)]
    kspace = torch.cat([scan.kspace * (1 + s + 10 * r) for s, r in order])
    frames = tuple(FrameIndex(slice=s, repetition=r) for s, r in order)
    series = dataclasses.replace(scan, kspace=kspace, sampled=scan.sampled.expand(6, -1, -1), frames=frames)
    image = reconstruct(series)
    assert image.image.shape == (2, 3, 32, 24)
    assert image.gmap.shape == image.noise_sd.shape == (1, 3, 32, 24)
    peak = image.image.abs().amax((2, 3))
    ratio = peak / peak[0, 0]
    torch.testing.assert_close(ratio, torch.tensor([[1.0, 2, 3], [11, 12, 13]]), rtol=0.05, atol=0)
    calibration = calibrate(series)
    alone = apply_frame(kspace[1], series.sampled[1], calibration, slice_number=0)
    torch.testing.assert_close(alone[0], image.image[0, 0])


def test_progress_is_told_and_input_untouched():
    scan, _ = simulate(acceleration=(2, 1), n_frames=3)
    before, told = scan.kspace.clone(), []
    apply(scan, calibrate(scan), progress=lambda done, total, **info: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    torch.testing.assert_close(scan.kspace, before, rtol=0, atol=0)


def test_a_header_that_is_wrong_about_acceleration_is_overruled_and_said():
    scan, _ = simulate(acceleration=(2, 1))
    silent = dataclasses.replace(scan, encoding=dataclasses.replace(scan.encoding, acceleration=(1, 1)))
    image = reconstruct(silent)
    torch.testing.assert_close(image.image, reconstruct(scan).image)
    assert any("R = 2 x 1" in warning for warning in image.meta["warnings"])


def broken(change: str) -> RawScan:
    scan, _ = simulate(acceleration=(3, 1))
    assert scan.noise is not None and scan.calibration is not None and scan.calibration_sampled is not None
    noise, poisoned = scan.noise, scan.kspace.clone()
    poisoned[0, 0, 0, 30, 5] = complex(float("nan"), 0)
    dead = noise.samples.clone()
    dead[2] = 0
    few = torch.zeros_like(scan.calibration_sampled)
    few[:, :, 31:34] = True
    replacements = {
        "no noise": {"noise": None},
        "no dwell": {"dwell_us": 0.0},
        "no noise dwell": {"noise": NoiseScan(noise.samples, 0.0)},
        "coils differ": {"noise": NoiseScan(noise.samples[:4], 5.0)},
        "dead coil": {"noise": NoiseScan(dead, 5.0)},
        "twice the same coil": {"noise": NoiseScan(noise.samples[[0, 0, 2, 3, 4, 5, 6, 7]], 5.0)},
        "zeros": {"kspace": torch.zeros_like(scan.kspace)},
        "nan": {"kspace": poisoned},
        "small acs": {"calibration_sampled": few},
        "no acs": {"calibration": None, "calibration_sampled": None},
        "one coil": {
            "kspace": scan.kspace[:, :1],
            "calibration": scan.calibration[:, :1],
            "noise": NoiseScan(noise.samples[:1], 5.0),
        },
    }
    return dataclasses.replace(scan, **replacements[change])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("no noise", "--noise-scan .* --estimate-noise"),
        ("no dwell", "dwell times above zero.*--estimate-noise"),
        ("no noise dwell", "dwell times above zero"),
        ("coils differ", "4 coils of noise and 8 of data"),
        ("dead coil", r"coil\(s\) \[2\]"),
        ("twice the same coil", "singular noise covariance"),
        ("zeros", "only zeros"),
        ("nan", "NaN"),
        ("small acs", "too small for the kernel: 1 x 3 lines"),
        ("no acs", "calibration lines round the centre"),
        ("one coil", "several coils for R = 3; found one coil"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, words):
    with pytest.raises(InputError, match=words) as refusal:
        reconstruct(broken(change))
    assert "\n" not in str(refusal.value)
