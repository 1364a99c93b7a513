"""Every real raw scan at the command line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cli_runs import done, refused, tiny_model

NO_NOISE_LINES = {
    "raw_brain_16ch/brain_localcoil16_2dflash.dat": (1, 1, 128, 128),
    "raw_brain_16ch/brain_localcoil16_derived_ismrmrd.h5": (1, 1, 128, 128),
    "raw_phantom_1ch/gre256_3T_1ch.dat": (1, 1, 256, 256),
    "raw_phantom_2ch_two_repetitions/epi.dat": (1, 1, 80, 80),
    "raw_phantom_2ch_two_repetitions/gre_1rep.dat": (1, 1, 160, 160),
    "raw_phantom_2ch_two_repetitions/gre_2rep.dat": (2, 1, 160, 160),
    "raw_phantom_2ch_two_repetitions/gre_2rep_derived_ismrmrd.h5": (2, 1, 160, 160),
    "raw_phantom_32ch/phantom32ch_se2d_64.dat": (1, 1, 64, 64),
}
NOISE_LINES = {
    "raw_shepplogan_noise_scan/sl_R1_2rep.h5": (2, 1, 96, 96),
    "raw_shepplogan_noise_scan/sl_R2_acs24.h5": (2, 1, 96, 96),
}


def check(path: Path, shape: tuple[int, ...]) -> None:
    """An object well above the noise, and a background of noise: what an image in SNR units looks like."""
    found = np.load(path)
    snr = np.abs(found["image"]) / found["noise_sd"]
    assert found["image"].shape == shape and np.isfinite(snr).all()
    assert np.percentile(snr, 95) > 5
    corners = np.concatenate(
        [snr[..., y, x].ravel() for y in (slice(6), slice(-6, None)) for x in (slice(6), slice(-6, None))]
    )
    assert 0.4 < np.median(corners) < 4  # Rayleigh: 1.18; real receivers filter the edges of the readout


@pytest.mark.parametrize("name", NOISE_LINES)
def test_with_noise_lines_no_option_is_needed(tmp_path: Path, shared_data: Callable[[str], Path], name: str) -> None:
    found = done("recon", shared_data(name), "-o", tmp_path / "o.npz")
    check(tmp_path / "o.npz", NOISE_LINES[name])
    assert "noise measured" in found.err


@pytest.mark.parametrize("name", NO_NOISE_LINES)
def test_without_noise_lines_the_noise_is_estimated_on_demand(
    tmp_path: Path, shared_data: Callable[[str], Path], name: str
) -> None:
    path = shared_data(name)
    for command in (("recon",), ("denoise", "--model", tiny_model())):
        assert "--estimate-noise" in refused(tmp_path, *command, path, "-o", tmp_path / "o.npz")
    found = done("recon", path, "-o", tmp_path / "o.npz", "--estimate-noise")
    check(tmp_path / "o.npz", NO_NOISE_LINES[name])
    assert "noise estimated" in found.err and "warning" in found.err


@pytest.mark.parametrize("name", ["raw_phantom_32ch/phantom32ch_se2d_64.dat", *NOISE_LINES])
def test_the_demo_needs_no_option(tmp_path: Path, shared_data: Callable[[str], Path], name: str) -> None:
    done("demo", "--raw", shared_data(name), "-o", tmp_path / "demo", "--model", tiny_model())
    assert (tmp_path / "demo" / "report.html").stat().st_size < 10e6
