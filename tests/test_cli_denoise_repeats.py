"""`clearmr denoise` of repeats and `clearmr train noise2average`, from files to files."""

import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from clearmr import formats
from clearmr.methods.noise2average import presets, rigid
from clearmr.scan import SnrImage
from cli_runs import done, refused
from noise2average_stubs import repeat, truth


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default with few steps."""
    slow = presets.default()
    tuning = dataclasses.replace(slow.tuning, block=(16, 16, 16), epochs=1, steps=2)
    known = dataclasses.replace(slow.known, first_views=1, views=1)
    fast = dataclasses.replace(slow, tuning=tuning, known=known)
    monkeypatch.setitem(presets.PRESETS, "default", lambda: fast)


def saved(folder: Path, name: str, image: SnrImage, affine: np.ndarray | None = None) -> Path:
    affine = np.eye(4) if affine is None else affine
    formats.save(dataclasses.replace(image, affine=affine), folder / name)
    return folder / name


@functools.cache
def clean() -> torch.Tensor:
    return 100 * truth(24)


def two(folder: Path) -> list[Path]:
    return [saved(folder, f"r{k}.nii.gz", repeat(clean(), 8.0, k)) for k in (1, 2)]


def test_repeats_become_one_volume_and_each_is_kept_when_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "out.nii.gz"
    mask = saved(tmp_path, "mask.nii.gz", repeat(torch.ones(24, 24, 24), 0.01, 0))
    done(
        "denoise", *two(tmp_path), "-o", out, "--method", "noise2average", "--noise-sd", "8", "--keep-repeats",
        "--mask", mask, "--rounds", "1", "--seed", "2", "--quiet",
    )  # fmt: skip
    average = formats.load(out)
    assert isinstance(average, SnrImage)
    plain = sum(formats.load(p).image for p in (tmp_path / "r1.nii.gz", tmp_path / "r2.nii.gz")) / 2  # type: ignore[union-attr]
    assert float((average.image - clean()).square().mean()) < 0.5 * float((plain - clean()).square().mean())
    for k in (1, 2):
        each = formats.load(tmp_path / f"out_repeat{k}.nii.gz")
        assert isinstance(each, SnrImage) and each.image.shape == average.image.shape
        assert not torch.equal(each.image, average.image)
    assert "noise2average" in (tmp_path / "out.json").read_text()
    step = next(s for s in average.meta["steps"] if s["name"] == "denoise")
    assert (step["method"], step["mask"], step["repeats"], step["seed"]) == ("noise2average", "given", 2, 2)
    assert max(r["round"] for r in step["rounds"]) == 1


def test_other_methods_still_average_repeats(tmp_path: Path) -> None:
    from cli_runs import halving_model

    done("denoise", *two(tmp_path), "-o", tmp_path / "o.npz", "--model", halving_model(), "--noise-sd", "8", "-q")
    found = formats.load(tmp_path / "o.npz")
    assert isinstance(found, SnrImage) and any(s["name"] == "average repeats" for s in found.meta["steps"])


def test_options_of_repeats_are_refused_to_other_methods(tmp_path: Path) -> None:
    paths, out = two(tmp_path), tmp_path / "o.nii.gz"
    line = refused(tmp_path, "denoise", *paths, "-o", out, "--register", "--rounds", "2", "--noise-sd", "8")
    assert "--method noise2average with --register, --rounds" in line


def test_bad_repeats_are_refused_in_one_line(tmp_path: Path) -> None:
    first, second = two(tmp_path)
    moved = rigid.moved(clean(), rigid.Motion((0.0, 3.0, 0.0)))
    far = saved(tmp_path, "far.nii.gz", repeat(moved, 2.0, 3))
    other = saved(tmp_path, "affine.nii.gz", repeat(clean(), 8.0, 4), np.diag([1.0, 1.0, 2.0, 1.0]))
    small = saved(tmp_path, "small.nii.gz", repeat(clean()[:20], 8.0, 5))
    contrast = saved(tmp_path, "contrast.nii.gz", repeat(100 * truth(24, 7), 2.0, 6))
    empty = saved(
        tmp_path, "empty.nii.gz", dataclasses.replace(repeat(clean(), 8.0, 0), image=torch.zeros(1, 24, 24, 24))
    )
    base = ("-o", tmp_path / "o.nii.gz", "--method", "noise2average", "--noise-sd", "8")
    refuse = functools.partial(refused, tmp_path, "denoise")
    assert "at least 2 repeats" in refuse(first, *base)
    assert "--register" in refuse(first, far, *base) and " mm" in refuse(first, far, *base)
    assert "one affine" in refuse(first, other, *base)
    assert "repeats of one shape" in refuse(first, small, *base)
    assert "one contrast" in refuse(first, contrast, *base)
    assert "an empty one" in refuse(first, second, *base, "--mask", empty)
    assert "--work" in refuse(first, second, *base, "--resume")
    assert "--rounds" in refuse(first, second, *base, "--rounds", "0")
    assert "--subsets 2" in refuse(first, *base, "--subsets", "3")
    assert "one diffusion acquisition" in refuse(first, second, *base, "--subsets", "2")
    assert "--subsets 2 or --register" in refuse(first, *base, "--subsets", "2", "--register")
    assert "--bvals" in refuse(first, *base, "--subsets", "2")
    assert "--subsets 2 with --bvals" in refuse(first, second, *base, "--bvals", first)


def test_register_takes_repeats_that_lie_apart(tmp_path: Path) -> None:
    pytest.importorskip("dipy")
    axis = torch.hann_window(40, periodic=False)
    volume = 100 * truth(40) * axis[:, None, None] * axis[:, None] * axis
    moved = rigid.moved(volume, rigid.Motion((0.0, 2.5, 0.0))).clamp_min(0)
    paths = [saved(tmp_path, f"{k}.nii.gz", repeat(v, 2.0, k)) for k, v in enumerate((volume, moved))]
    out = tmp_path / "o.nii.gz"
    base = ("denoise", *paths, "-o", out, "--method", "noise2average", "--noise-sd", "2", "--rounds", "1", "-q")
    assert "pass --register" in refused(tmp_path, *base)
    done(*base, "--register")
    found = formats.load(out)
    assert isinstance(found, SnrImage)
    step = next(s for s in found.meta["steps"] if s["name"] == "denoise")
    assert step["registered"] and step["apart_mm"][0] < 0.5
    assert step["registered_mm"][0] == pytest.approx(2.5, abs=0.3) and step["registered_degrees"][0] < 0.5


def test_a_run_in_a_work_folder_goes_on(tmp_path: Path) -> None:
    paths, work = two(tmp_path), tmp_path / "work"
    base = ("--method", "noise2average", "--noise-sd", "8", "--work", work, "-q")
    done("denoise", *paths, "-o", tmp_path / "a.npz", *base)
    assert "--resume" in refused(tmp_path, "denoise", *paths, "-o", tmp_path / "b.npz", *base)
    done("denoise", *paths, "-o", tmp_path / "b.npz", *base, "--resume")
    a, b = (formats.load(tmp_path / f"{n}.npz") for n in "ab")
    assert torch.equal(a.image, b.image)  # type: ignore[union-attr]
    assert "the run's own repeats" in refused(
        tmp_path, "denoise", *paths, "-o", tmp_path / "c.npz", *base, "--resume", "--seed", "9"
    )


def test_two_sets_of_one_diffusion_series(tmp_path: Path) -> None:
    pytest.importorskip("dipy")
    from test_noise2average_subsets import acquisition, signal

    bvals, bvecs = acquisition()
    series = saved(tmp_path, "dwi.nii.gz", repeat(100 * signal(bvals, bvecs, 12), 4.0, 0))
    (tmp_path / "dwi.bval").write_text(" ".join(map(str, bvals)))
    vectors = tmp_path / "other.bvec"
    vectors.write_text("\n".join(" ".join(map(str, row)) for row in bvecs.T))
    base = ("denoise", series, "--method", "noise2average", "--noise-sd", "4", "--subsets", "2", "--rounds", "1", "-q")
    assert "dwi.bvec" in refused(tmp_path, *base, "-o", tmp_path / "o.nii.gz")
    done(*base, "-o", tmp_path / "o.nii.gz", "--bvecs", vectors, "--keep-repeats")
    found = formats.load(tmp_path / "o.nii.gz")
    assert isinstance(found, SnrImage) and found.image.shape[0] == len(bvals)
    step = next(s for s in found.meta["steps"] if s["name"] == "denoise")
    assert step["apart_mm"] == [0.0] and set(step["rounds"][0]["motion_mm"]) == {0.0}
    assert (tmp_path / "o_repeat2.nii.gz").exists()
    vectors.write_text("0 1\n0 0\n0 0")
    assert "as many directions" in refused(tmp_path, *base, "-o", tmp_path / "p.nii.gz", "--bvecs", vectors)


def test_a_network_of_ones_own_is_trained_and_used(tmp_path: Path) -> None:
    volumes = tmp_path / "volumes"
    volumes.mkdir()
    for k in range(2):
        saved(volumes, f"sub-{k}.nii.gz", repeat(100 * truth(16, k), 0.5, k))
    run = tmp_path / "run"
    done("train", "noise2average", "-d", volumes, "-o", run, "--preset", "tiny", "--quiet", "--device", "cpu")
    card = json.loads((run / "model.json").read_text())
    assert card["method"] == "noise2average" and card["net"]["kind"] == "munet" and len(card["sha256"]) == 64
    out = tmp_path / "o.npz"
    done("denoise", *two(tmp_path), "-o", out, "--model", run, "--noise-sd", "8", "--quiet")  # the card says the method
    found = formats.load(out)
    assert isinstance(found, SnrImage)
    step = next(s for s in found.meta["steps"] if s["name"] == "denoise")
    assert step["scheme"] == "published" and step["rounds"][0]["round"] == 1
    assert "paper" in refused(
        tmp_path, "train", "noise2average", "-d", volumes, "-o", tmp_path / "x", "--preset", "odd"
    )
    line = refused(
        tmp_path, "denoise", *two_again(tmp_path), "-o", tmp_path / "p.npz", "--method", "noise2average", "--model",
        "paper", "--noise-sd", "8",
    )  # fmt: skip
    assert "clearmr train noise2average" in line


def two_again(folder: Path) -> list[Path]:
    return [folder / "r1.nii.gz", folder / "r2.nii.gz"]
