"""The benchmark of training pairs: its peer makes pairs of the same law."""

import numpy as np
import pytest
import torch

from clearmr import bench
from clearmr.bench import pairs
from clearmr.methods.snraware.config import NoiseConfig
from clearmr.methods.snraware.noise import AxisFilter, NoiseDraw, draw_noise, filtered_noise


def test_the_entry_names_rate_and_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SHAPE", (6, 40, 36)), ("PATCH", (4, 16, 16)), ("PATCHES", 4), ("PEER_PATCHES", 2)):
        monkeypatch.setattr(pairs, name, value)
    threads = torch.get_num_threads()
    entry = bench.run("pairs")
    assert torch.get_num_threads() == threads
    assert entry["clearmr"]["patches_per_second"] == pytest.approx(1 / entry["clearmr"]["seconds"], rel=0.1)
    assert entry["times slower than clearmr"]["whole series in NumPy"] > 0


def test_the_peer_and_ours_have_one_law() -> None:
    draw = NoiseDraw(1.0, 0, AxisFilter(1.5, 0.7, True, 0.85), AxisFilter(0.8, 0.55), 0)
    rng = np.random.default_rng(0)
    white = rng.standard_normal((400, 40, 36)) + 1j * rng.standard_normal((400, 40, 36))
    theirs = torch.from_numpy(pairs.filter_frames(white, draw)[:, 5:21, 7:23]).to(torch.complex64)
    ours = filtered_noise((400, 16, 16), draw, lengths=(40, 36))
    for lag in (0, 1, 3):
        for axis in (-1, -2):
            found = [
                (v.narrow(axis, lag, 16 - lag) * v.narrow(axis, 0, 16 - lag).conj()).mean() / 2 for v in (ours, theirs)
            ]
            assert abs(complex(found[0] - found[1])) < 0.03


def test_the_peers_patch_is_a_pair() -> None:
    series, gmaps = pairs.problem()
    inputs, target = pairs.whole_series_patch(series.numpy(), gmaps.numpy(), 3)
    assert inputs.shape == (3, 16, 64, 64) and target.shape == (2, 16, 64, 64) and inputs.dtype == np.float32
    draw = draw_noise(NoiseConfig(), len(gmaps), torch.Generator().manual_seed(3))
    variance = ((inputs[:2] - target) / inputs[2]) ** 2
    expected = 1 - 1 / ((draw.sigma**2 + 1) * inputs[2] ** 2)  # what is told counts the native noise of 1 too
    assert variance.mean() == pytest.approx(expected.mean(), rel=0.1)
