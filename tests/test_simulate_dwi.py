"""A simulated head's DWI: tensors that are known, directions spread evenly, repeats off the truth; and its command."""

from pathlib import Path

import numpy as np
import pytest
import torch

import cli_runs
from clearmr import formats
from clearmr.cli import simulate_dwi
from clearmr.errors import InputError
from clearmr.formats.gradients_write import save_gradients
from clearmr.scan import SnrImage
from clearmr.simulate import Move, Protocol, draw_moves, dwi_head, moved, repeats, with_protocol
from clearmr.simulate.dwi import even_directions

SIZE = (18, 24, 24)


def blob(size: tuple[int, int, int], centre: tuple[float, float, float]) -> torch.Tensor:
    grid = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in size), indexing="ij")
    distance = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))
    return torch.exp(-torch.as_tensor(distance) / (2 * 2.5**2))[None]


def centre_of(volume: torch.Tensor) -> list[float]:
    grid = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in volume.shape), indexing="ij")
    return [float((g * volume).sum() / volume.sum()) for g in grid]


def test_the_signal_is_that_of_the_tensors() -> None:
    protocol = Protocol(directions=6, bvalue=800.0, unweighted=2)
    head = dwi_head(SIZE, protocol)
    assert head.image.shape == (8, *SIZE) and float(head.image.max()) == pytest.approx(1)
    xx, xy, yy, xz, yz, zz = head.tensor.double()
    x, y, z = protocol.bvecs[3]
    along = x * x * xx + y * y * yy + z * z * zz + 2 * (x * y * xy + x * z * xz + y * z * yz)
    assert torch.allclose(head.image[3].double(), head.s0 * torch.exp(-800 * along), atol=1e-6)
    assert torch.equal(head.image[0], head.image[1]) and torch.allclose(head.image[0], head.s0, atol=1e-6)
    other = with_protocol(head, Protocol(directions=30, bvalue=2000.0))
    assert other.image.shape[0] == 31 and torch.allclose(other.image[0], head.s0, atol=1e-6)


def test_tensors_are_physical_and_tissues_differ() -> None:
    from clearmr.simulate import brain_tissues

    head = dwi_head((24, 36, 36), Protocol(), seed=3, variety=1.0)
    xx, xy, yy, xz, yz, zz = head.tensor[:, head.brain].double()
    full = torch.stack([torch.stack([xx, xy, xz]), torch.stack([xy, yy, yz]), torch.stack([xz, yz, zz])])
    values = torch.linalg.eigvalsh(full.permute(2, 0, 1))
    assert float(values.min()) > 0 and float(values.max()) < 3.5e-3
    fluid, grey, white = (part[head.brain] > 0.95 for part in brain_tissues((24, 36, 36), seed=3, variety=1.0))
    mean = values.mean(1)
    assert float(mean[fluid].mean()) == pytest.approx(3e-3, rel=0.05)
    ratio = values[:, 2] / values[:, 0]
    assert float(ratio[fluid].max()) < 1.05  # free in all directions
    assert float(ratio[white].median()) > 2.5 > 1.5 > float(ratio[grey].median())


def test_a_seed_is_a_head_and_a_matrix_too_small_is_refused() -> None:
    one, same, other = (dwi_head(SIZE, Protocol(6), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.image, same.image) and not torch.equal(one.tensor, other.tensor)
    with pytest.raises(InputError, match="at least 16"):
        dwi_head((8, 24, 24))
    for wrong in ({"directions": 5}, {"bvalue": 0.0}, {"unweighted": 0}):
        with pytest.raises(InputError, match="at least 6 directions"):
            Protocol(**wrong)  # type: ignore[arg-type]


def test_directions_repel_each_other() -> None:
    for n in (6, 32):
        vectors = even_directions(n).numpy()
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
        cosine = np.abs(vectors @ vectors.T) - np.eye(n)
        nearest = np.degrees(np.arccos(cosine.max(1)))
        assert nearest.min() > 0.85 * nearest.max()
        # as far apart as caps that cover 60 % of the half sphere
        assert nearest.min() > np.degrees(2 * np.arccos(1 - 0.6 / n))
    assert float((even_directions(6) @ even_directions(6).T - torch.eye(6)).abs().max().acos().rad2deg()) > 62  # 63.4


def test_a_move_shifts_turns_and_scales() -> None:
    size, start = (21, 25, 29), (10.0, 12.0, 14.0)
    off = moved(blob(size, start), Move(shift=(2.0, -2.0, 1.0), gain=1.5), spacing=(2.0, 1.0, 1.0))[0]
    assert centre_of(off.double()) == pytest.approx([11.0, 10.0, 15.0], abs=0.02)
    assert float(off.max()) == pytest.approx(1.5, abs=0.05)
    aside = blob(size, (10.0, 12.0, 20.0))
    about_z = centre_of(moved(aside, Move(degrees=(90.0, 0.0, 0.0)), spacing=(1.0, 1.0, 1.0))[0].double())
    about_x = centre_of(moved(aside, Move(degrees=(0.0, 0.0, 90.0)), spacing=(1.0, 1.0, 1.0))[0].double())
    assert about_z[0] == pytest.approx(10, abs=0.05) and abs(about_z[1] - 12) == pytest.approx(6, abs=0.05)
    assert about_x == pytest.approx([10.0, 12.0, 20.0], abs=0.05)
    clean = blob(size, start)
    assert torch.equal(moved(clean, Move(), spacing=(1.0, 1.0, 1.0)), clean)


def test_moves_lie_round_the_reference() -> None:
    for n in (2, 5):
        drawn = draw_moves(n, shift=0.25, degrees=0.3, gain=0.03, generator=torch.Generator().manual_seed(0))
        shifts, turns = (torch.tensor([getattr(m, name) for m in drawn]) for name in ("shift", "degrees"))
        assert torch.allclose(shifts.mean(0), torch.zeros(3), atol=1e-6)
        assert float(shifts.norm(dim=1).max()) == pytest.approx(0.25)
        assert float(turns.norm(dim=1).max()) == pytest.approx(0.3)
        assert [m.gain for m in drawn][:: n - 1] == pytest.approx([0.985, 1.015])
    with pytest.raises(InputError, match="two repeats"):
        draw_moves(1, shift=0.1, degrees=0.0, gain=0.0, generator=torch.Generator())


def test_repeats_have_their_own_rician_noise() -> None:
    clean = torch.full((1, 20, 30, 30), 10.0)
    one, two = repeats(clean, (Move(), Move(gain=1.1)), 0.5, torch.Generator().manual_seed(0))
    assert float(one.image.std()) == pytest.approx(0.5, rel=0.05)
    assert float(two.image.mean()) == pytest.approx(11 + 0.5**2 / 22, abs=0.02)
    together = torch.stack([one.image.flatten(), two.image.flatten()])
    assert abs(float(torch.corrcoef(together)[0, 1])) < 0.03
    assert float(one.noise_sd) == 0.5 and two.meta["move"]["gain"] == 1.1


def test_simulate_dwi_writes_repeats_with_gradients(tmp_path: Path) -> None:
    out = tmp_path / "d.nii.gz"
    more = ("--directions", 6, "--bvalue", 700, "--repeats", 2, "--misalign", "0.25,0.3", "--snr", 25)
    cli_runs.done("simulate", "dwi", "-o", out, "--matrix", 32, *map(str, more), "--truth", tmp_path / "t.nii.gz")
    assert not out.exists()
    truth = formats.load(tmp_path / "t.nii.gz")
    assert isinstance(truth, SnrImage)
    images = []
    for k in (1, 2):
        path = tmp_path / f"d_repeat{k}.nii.gz"
        images.append(formats.load(path).image)
        assert np.loadtxt(tmp_path / f"d_repeat{k}.bval").tolist() == [0.0, *[700.0] * 6]
        vectors = np.loadtxt(tmp_path / f"d_repeat{k}.bvec")
        assert vectors.shape == (3, 7) and np.allclose(np.linalg.norm(vectors[:, 1:], axis=0), 1)
        # FSL's x is mirrored in a file whose own axes are not
        known = Protocol(6).bvecs.numpy()[1:].T
        assert np.allclose(vectors[:, 1:], known * np.array([[-1], [1], [1]]), atol=1e-6)
    assert images[0].shape == truth.image.shape == (7, 16, 32, 32)
    assert not torch.equal(images[0], images[1])
    assert float((images[0] - truth.image).abs().mean()) < 0.05


def test_x_of_directions_is_mirrored_where_the_affine_does_not_mirror(tmp_path: Path) -> None:
    vectors = Protocol(6).bvecs.numpy()
    for name, sign in (("right", 1.0), ("left", -1.0)):
        save_gradients(tmp_path / f"{name}.nii", np.ones(7), vectors, affine=np.diag([sign, 2.0, 2.0, 1.0]))
        written = np.loadtxt(tmp_path / f"{name}.bvec")
        assert np.allclose(written, vectors.T * np.array([[-sign], [1], [1]]), atol=1e-7)


def test_the_noise_is_asked_for_by_the_snr_of_the_brain_without_weighting() -> None:
    head = dwi_head(SIZE, Protocol(6), seed=1)
    assert simulate_dwi._level(head, None, 25.0) * 25 == pytest.approx(float(head.s0[head.brain].mean()))


def test_simulate_dwi_refuses(tmp_path: Path) -> None:
    out = tmp_path / "d.nii.gz"
    start = ("simulate", "dwi", "-o", out)
    assert ".nii.gz" in cli_runs.refused(tmp_path, "simulate", "dwi", "-o", tmp_path / "d.h5")
    assert "--coils" in cli_runs.refused(tmp_path, *start, "--coils", "3")
    assert "both" in cli_runs.refused(tmp_path, *start, "--snr", "20", "--noise-sd", "0.1")
    assert "MM,DEGREES" in cli_runs.refused(tmp_path, *start, "--misalign", "far")
    assert "--repeats" in cli_runs.refused(tmp_path, *start, "--matrix", "32", "--misalign", "0.2,0")
    assert "--directions" in cli_runs.refused(
        tmp_path, "simulate", "brain", "-o", tmp_path / "b.h5", "--directions", "9"
    )
    out.with_name("d.bval").write_text("mine")
    assert "d.bval" in cli_runs.refused(tmp_path, *start, "--matrix", "32")
