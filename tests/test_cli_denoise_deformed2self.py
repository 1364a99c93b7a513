"""`clearmr denoise --method deformed2self`: every kind of file, a budget, fields of motion, and what is refused."""

import functools
import json
import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from clearmr import denoisers, formats, road
from clearmr.cli import denoise_series
from clearmr.errors import InputError
from clearmr.methods.deformed2self import motion
from clearmr.methods.deformed2self.draws import others_of
from clearmr.methods.deformed2self.inference import Deformed2Self
from clearmr.scan import SnrImage
from cli_runs import done, listing, raw_file, refused, run, scan
from dynamic_series import SD, Smoother, disc_series, rng

TINY = ("--method", "deformed2self", "--model", "tiny")
JOINT = ("--method", "deformed2self")


@pytest.fixture
def quick_prior(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A prior and a registration that take no time; whether the prior was asked for complex images."""
    asked: list[bool] = []

    def prior(room: Any, device: str, is_complex: bool) -> dict[str, Smoother]:
        asked.append(is_complex)
        return {"prior": Smoother()}

    monkeypatch.setattr(denoisers, "_prior", prior)
    monkeypatch.setattr(motion, "RegisterConfig", functools.partial(motion.RegisterConfig, steps=5))
    return asked


def noisy_series(n_frames: int = 4, size: int = 24) -> torch.Tensor:
    clean = disc_series(n_frames, size)
    return clean + SD * torch.randn(clean.shape, generator=rng())


def npz(path: Path, image: torch.Tensor, **more: Any) -> Path:
    """(frame, z, y, x), or one slice over time."""
    values = image if image.ndim == 4 else image[:, None]
    np.savez(path, image=values.numpy(), **{"noise_sd": np.full((1, 1, 1, 1), SD, np.float32), **more})
    return path


def nifti(path: Path, image: torch.Tensor) -> Path:
    """A cine of one slice, (x, y, 1, frame), with an affine of its own."""
    voxels = image.numpy().transpose(2, 1, 0)[:, :, None].astype(np.float32)
    affine = np.array([[-1.5, 0, 0, 4], [0, 1.25, 0, 5], [0, 0, 8, 6], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def load(path: Path) -> SnrImage:
    image = formats.load(path)
    assert isinstance(image, SnrImage)
    return image


def in_nifti(path: Path) -> Any:
    return nib.load(path)


def test_a_nifti_series_its_fields_and_its_report(tmp_path: Path, quick_prior: list[bool]) -> None:
    series = noisy_series().abs()
    given = nifti(tmp_path / "cine.nii.gz", series)
    out, moved = tmp_path / "out.nii.gz", tmp_path / "motion.nii.gz"
    more = ("--noise-sd", str(SD), "--fields", moved, "--seed", "3", "--report", "--json")
    said = json.loads(done("denoise", given, "-o", out, *JOINT, *more).out)
    assert said["method"] == "deformed2self" and quick_prior[-1] is False
    assert {str(moved), str(tmp_path / "motion.json"), str(tmp_path / "out_report.html")} <= set(said["written"])
    image = load(out)
    np.testing.assert_allclose(np.asarray(image.affine), in_nifti(given).affine)
    clean = disc_series(4, 24)[:, None]
    assert float((image.image - clean).square().mean()) < 0.5 * float((series[:, None] - clean).square().mean())
    step = image.meta["steps"][-1]
    assert (step["model"], step["start"], step["seed"]) == ("deformed2self-joint", ["smoother"], 3)
    fields = in_nifti(moved)
    assert fields.shape == (24, 24, 1, 4, 2, 3) and fields.header.get_intent()[0] == "vector"
    np.testing.assert_allclose(fields.affine, in_nifti(given).affine)
    told = json.loads((tmp_path / "motion.json").read_text())["ClearMR"]
    assert told["neighbours"][1] == [0, 2, 3] and told["axes"].endswith("(y, x), neighbour")
    assert told["meta"]["provenance"]["seed"] == 3
    assert told["meta"]["provenance"]["input_sha256"] == image.meta["provenance"]["input_sha256"]


def test_fields_are_those_of_the_room_and_a_slice_without_contrast_has_none(tmp_path: Path) -> None:
    series = noisy_series()
    image = torch.stack([series, torch.full_like(series, 0.5)], 1)
    given, out, moved = npz(tmp_path / "a.npz", image), tmp_path / "b.npz", tmp_path / "f.npz"
    found = done("denoise", given, "-o", out, *TINY, "--fields", moved, "--seed", "5", "--threads", "1")
    assert "slices without noise or without any contrast were left as they are" in found.err
    ready = road.denoiser("deformed2self", model="tiny", is_complex=False, seed=5, keep_fields=True)
    assert isinstance(ready, Deformed2Self)
    outcome = ready.run(load(given))
    torch.testing.assert_close(load(out).image, outcome.image.image, rtol=0, atol=0)
    with np.load(moved) as stored:
        assert stored["fields"].shape == (2, 4, 3, 2, 24, 24) and stored["fields"].dtype == np.float32
        np.testing.assert_array_equal(stored["fields"], outcome.fields)
        assert np.abs(stored["fields"][0]).max() > 0 == np.abs(stored["fields"][1]).max()
        assert stored["neighbours"].tolist() == [list(others_of(t, 4, 3)) for t in range(4)]
        assert str(stored["axes"]) == "slice, frame, neighbour, (y, x), y, x"
        assert json.loads(str(stored["meta"]))["provenance"]["command"].startswith("clearmr")


def test_raw_data_are_reconstructed_and_both_channels_move_as_one(tmp_path: Path, quick_prior: list[bool]) -> None:
    raw = raw_file(tmp_path / "raw.h5", scan("cine", n_frames=3, matrix=(1, 24, 20)))
    done("denoise", raw, "-o", tmp_path / "b.npz", *JOINT, "--fields", tmp_path / "f.npz")
    assert quick_prior[-1] is True
    image = load(tmp_path / "b.npz")
    assert image.is_complex and image.image.shape == (3, 1, 24, 20) and image.noise_source == "measured"
    with np.load(tmp_path / "f.npz") as stored:
        assert stored["fields"].shape == (1, 3, 2, 2, 24, 20) and np.isfinite(stored["fields"]).all()


def test_the_end_of_a_budget_is_told_and_the_result_is_never_worse_than_the_series(tmp_path: Path) -> None:
    given = npz(tmp_path / "a.npz", noisy_series())
    scratch = ("--method", "deformed2self", "--model", "scratch")
    found = done("denoise", given, "-o", tmp_path / "b.npz", *scratch, "--budget", "0.05s", "--json")
    assert "warning: the budget of 0.05 s ended before the work did: this is the best so far" in found.err
    assert any("best so far" in warning for warning in json.loads(found.out)["warnings"])
    clean = disc_series(4, 24)[:, None]
    before, after = (float((load(tmp_path / name).image - clean).square().mean()) for name in ("a.npz", "b.npz"))
    assert after <= before


def test_slices_that_no_time_is_left_for_come_back_as_they_were(tmp_path: Path, quick_prior: list[bool]) -> None:
    image = torch.stack([noisy_series()] * 4, 1)
    given, out, moved = npz(tmp_path / "a.npz", image), tmp_path / "b.npz", tmp_path / "f.npz"
    found = done("denoise", given, "-o", out, *JOINT, "--budget", "0.001s", "--fields", moved)
    assert "best so far, in 3 of 4 slices the noisy series itself" in found.err and "left as they are" not in found.err
    assert torch.equal(load(out).image[:, 1:], image[:, 1:]) and not torch.equal(load(out).image[:, :1], image[:, :1])
    with np.load(moved) as stored:
        assert stored["fields"].shape == (4, 4, 3, 2, 24, 24) and not stored["fields"][1:].any()


def test_the_budget_left_goes_with_the_progress() -> None:
    seen: list[tuple[int, int, dict[str, Any]]] = []
    told = denoise_series.telling_budget(lambda done, total, **info: seen.append((done, total, info)), 60.0)
    told(1, 4, loss=2.0)
    assert seen[0][:2] == (1, 4) and seen[0][2]["loss"] == 2.0
    assert seen[0][2]["seconds of the budget left:"] in (59, 60)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2m", 120), ("90s", 90), ("1h", 3600), ("1h30m", 5400), ("90", 90), ("1.5 M", 90), ("2min", 120), ("2m30", 150)],
)
def test_budgets_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert denoise_series.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "0m", "-2m", "2x", "nan", "inf", "1.2.3s", "m", "9" * 400])
def test_what_is_no_budget_is_said(text: str) -> None:
    with pytest.raises(InputError, match="--budget"):
        denoise_series.seconds_of(text)
    assert denoise_series.seconds_of(None) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([*TINY, "--budget", "soon"], "--budget as a time of more than 0; found soon; write for example 2m"),
        (["--budget", "2m"], "--method deformed2self with --budget; found the model snraware-small"),
        (["--fields", "f.npz"], "--method deformed2self with --fields; found the model snraware-small"),
        (["--method", "dip", "--budget", "2m", "--fields", "f.npz"], "found --budget, --fields"),
        ([*TINY, "--fields", "f.h5"], "ending in .npz, .nii, .nii.gz; found f.h5"),
        ([*TINY, "--fields", "out.npz"], "--fields apart from the other files; found out.npz"),
        ([*TINY, "--fields", "a.npz"], "an output that does not exist yet"),
        ([*TINY, "--fields", "no/f.npz"], "an output in an existing folder"),
        ([*TINY, "--fields", "f.npz", "--strength", "0"], "--fields of a series that is denoised"),
        ([*TINY, "--along", "depth"], "--along"),
        (["--method", "deformed2self", "--model", "unheard-of"], "joint, scratch, paper"),
        (["--method", "deformed2self", "--model", "snraware-small"], "a model of deformed2self"),
    ],
)
def test_wrong_options_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    npz(tmp_path / "a.npz", noisy_series())
    assert said in refused(tmp_path, "denoise", "a.npz", "-o", "out.npz", *options)


@pytest.mark.parametrize(
    ("shape", "said"),
    [((1, 1, 16, 16), "found a single frame"), ((1, 20, 16, 16), "found a volume of a single frame")],
)
def test_no_series_no_work(tmp_path: Path, shape: tuple[int, ...], said: str) -> None:
    npz(tmp_path / "a.npz", torch.rand(shape))
    line = refused(tmp_path, "denoise", tmp_path / "a.npz", "-o", tmp_path / "b.npz", *TINY)
    assert "at least 2 frames of one moving subject" in line and said in line


def test_voxels_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    series = noisy_series()
    series[1, 3, 3] = math.nan
    for given in (npz(tmp_path / "a.npz", series), nifti(tmp_path / "a.nii.gz", series)):
        assert "finite" in refused(tmp_path, "denoise", given, "-o", tmp_path / "b.npz", *TINY)


def test_constant_frames_come_back_and_it_is_said(tmp_path: Path) -> None:
    npz(tmp_path / "a.npz", torch.full((3, 16, 16), 0.5))
    found = done("denoise", tmp_path / "a.npz", "-o", tmp_path / "b.npz", *TINY, "--fields", tmp_path / "f.npz")
    assert "left as they are" in found.err and bool((load(tmp_path / "b.npz").image == 0.5).all())
    with np.load(tmp_path / "f.npz") as stored:
        assert stored["fields"].shape == (1, 3, 2, 2, 16, 16) and not stored["fields"].any()


def test_several_files_are_repeats_of_one_series(tmp_path: Path) -> None:
    parts = [npz(tmp_path / f"{n}.npz", noisy_series() + 0.01 * n) for n in range(2)]
    done("denoise", *parts, "-o", tmp_path / "b.npz", *TINY)
    mean = road.average([load(part) for part in parts])
    expected = road.denoise(mean, "deformed2self", model="tiny").image
    torch.testing.assert_close(load(tmp_path / "b.npz").image, expected)
    other = npz(tmp_path / "small.npz", noisy_series(4, 20))
    line = refused(tmp_path, "denoise", parts[0], other, "-o", tmp_path / "c.npz", *TINY)
    assert "repeats of one shape and kind" in line and "(4, 1, 20, 20)" in line


def test_a_file_for_each_frame_is_no_series(tmp_path: Path) -> None:
    parts = [npz(tmp_path / f"{n}.npz", frame[None]) for n, frame in enumerate(noisy_series())]
    line = refused(tmp_path, "denoise", *parts, "-o", tmp_path / "b.npz", *TINY)
    assert "one file with all frames of a series; found 4 files of a single frame" in line


def test_nothing_is_left_of_fields_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, moved = npz(tmp_path / "a.npz", noisy_series()), tmp_path / "f.nii.gz"

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clearmr.formats.fields.nibabel.save", full)
    found = run("denoise", given, "-o", tmp_path / "b.npz", *TINY, "--fields", moved)
    assert found.code == 2 and "No space left" in found.err and found.err.count("\n") == 1
    assert set(listing(tmp_path)) == {"a.npz", "b.npz"}


def test_the_schemes_are_among_the_models() -> None:
    rows = {row["name"]: row for row in json.loads(done("models", "list", "--json").out)}
    assert {rows[name]["method"] for name in ("joint", "scratch", "paper")} == {"deformed2self"}
    assert not rows["paper"]["bundled"] and rows["paper"]["parameters"] > rows["scratch"]["parameters"] > 0
    shown = json.loads(done("models", "show", "scratch").out)
    assert shown["scheme"] == "joint" and shown["settings"]["train"]["shared_mask"] is True
    assert "learns from the series itself" in done("models", "list").out
