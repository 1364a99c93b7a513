"""Unit noise in, `noise_sd` out: replicas of receiver noise through a fixed calibration, on every path."""

import dataclasses

import pytest
import torch

from clearmr.recon import ReconConfig, apply, calibrate
from clearmr.recon.calibration import Calibration
from clearmr.scan import FrameIndex, RawScan, Trapezoid
from laws import assert_linear, assert_unit_noise
from recon_scans import noise_level, receiver_noise, simulate

REPLICAS = 128


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other make tiny matrices slow on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise_replicas(scan: RawScan, mixing: torch.Tensor, *, count: int = REPLICAS, seed: int = 11) -> RawScan:
    """The scan's noise alone, `count` times, as frames; zero where nothing was acquired."""
    shape = (count, *scan.kspace.shape[2:])
    noise = receiver_noise(mixing, *shape, seed=seed).movedim(1, 0) * noise_level()
    sampled = scan.sampled[:1].expand(count, -1, -1)
    noise = noise * sampled[:, None, :, :, None]
    noise[..., : scan.readout[0]] = 0
    noise[..., scan.readout[1] :] = 0
    frames = tuple(FrameIndex(repetition=i) for i in range(count))
    return dataclasses.replace(scan, kspace=noise, sampled=sampled, frames=frames)


def assert_law(scan: RawScan, mixing: torch.Tensor, config: ReconConfig) -> Calibration:
    calibration = calibrate(scan, config=config)
    image = apply(noise_replicas(scan, mixing), calibration)
    promised = image.noise_sd[0]
    assert_unit_noise(image.image, promised, torch.ones_like(promised, dtype=torch.bool))
    return calibration


@pytest.mark.parametrize("kspace_filter", [None, 1.5])
@pytest.mark.parametrize("partial_fourier", [1.0, 0.75])
@pytest.mark.parametrize("acceleration", [1, 2, 3, 4, 6])
def test_noise_law_2d(acceleration, partial_fourier, kspace_filter):
    scan, mixing = simulate(acceleration=(acceleration, 1), partial_fourier=partial_fourier)
    calibration = assert_law(scan, mixing, ReconConfig(kspace_filter=kspace_filter))
    if acceleration == 1:
        torch.testing.assert_close(calibration.gmap, torch.ones_like(calibration.gmap), rtol=0, atol=1e-5)
    else:
        assert float(calibration.gmap.max()) > 1.05


@pytest.mark.parametrize("caipi_shift", [0, 1])
@pytest.mark.parametrize("partial_fourier", [1.0, 0.75])
def test_noise_law_3d(caipi_shift, partial_fourier):
    scan, mixing = simulate(
        matrix=(16, 24, 16), acceleration=(2, 2), caipi_shift=caipi_shift, partial_fourier=partial_fourier, acs=12
    )
    assert_law(scan, mixing, ReconConfig(kspace_filter=1.0))


@pytest.mark.parametrize("recon_matrix", [(1, 96, 72), (1, 48, 32), (1, 40, 40)])
def test_noise_law_zero_filled_and_coarser_images(recon_matrix):
    scan, mixing = simulate(acceleration=(2, 1), recon_matrix=recon_matrix)
    assert_law(scan, mixing, ReconConfig())


def test_noise_law_asymmetric_echo_and_cropped_phase_oversampling():
    scan, mixing = simulate(acceleration=(3, 1), recon_matrix=(1, 40, 48))
    encoding = dataclasses.replace(scan.encoding, recon_fov=(4.0, 4.0 * 40, 4.0 * 48))
    kspace = scan.kspace.clone()
    kspace[..., :20] = 0
    scan = dataclasses.replace(scan, kspace=kspace, readout=(20, 96), encoding=encoding)
    assert_law(scan, mixing, ReconConfig())


def test_noise_law_ramp_sampling():
    scan, mixing = simulate()
    ramp = Trapezoid(ramp_up=120.0, flat_top=240.0, ramp_down=120.0, delay=30.0, adc_duration=420.0)
    calibration = assert_law(dataclasses.replace(scan, ramp=ramp), mixing, ReconConfig())
    assert float(calibration.noise_x.square().mean()) == pytest.approx(1.0, abs=1e-4)
    assert float(calibration.noise_x.std()) > 1e-3


def test_apply_is_linear():
    scan, mixing = simulate(acceleration=(2, 1), partial_fourier=0.75)
    calibration = calibrate(scan)
    first, second = (noise_replicas(scan, mixing, count=2, seed=seed).kspace for seed in (1, 2))
    frames = tuple(FrameIndex(repetition=i) for i in range(2))
    pair = dataclasses.replace(scan, kspace=first, sampled=scan.sampled.expand(2, -1, -1), frames=frames)
    assert_linear(lambda k: apply(dataclasses.replace(pair, kspace=k), calibration).image, first, second)


def test_frames_of_fewer_lines_keep_the_signal_and_say_their_noise():
    """A moving lattice that does not divide the matrix: the signal must not flicker, the noise may."""
    scan, mixing = simulate(matrix=(1, 62, 48), acceleration=(4, 1), n_frames=4, shifting=True)
    calibration = calibrate(scan)
    image = apply(scan, calibration)
    lines = scan.sampled.sum((1, 2)).float()
    assert lines.min() < lines.max()
    per_line = image.noise_sd.mean((1, 2, 3)) ** 2 / lines
    torch.testing.assert_close(per_line, per_line[:1].expand(4), rtol=1e-5, atol=0)
    level = image.image.abs().amax((1, 2, 3))
    assert float(level.max() / level.min()) < 1.1
    one = dataclasses.replace(scan, kspace=scan.kspace[3:], sampled=scan.sampled[3:])
    replicas = apply(noise_replicas(one, mixing), calibration).image
    assert_unit_noise(replicas, image.noise_sd[3], torch.ones_like(image.noise_sd[3], dtype=torch.bool))
