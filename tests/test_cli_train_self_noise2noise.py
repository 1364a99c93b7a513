"""`clearmr train mr-self-noise2noise`: from folders of raw scans to a model; what cannot be used is named."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clearmr import formats
from clearmr.cli import train_pairs
from clearmr.methods.mr_self_noise2noise import pairs, samples, store
from clearmr.scan import SnrImage
from cli_runs import done, listing, raw_file, refused, run, scan, tiny_model

SETTINGS = [
    "loop.steps=2", "loop.bf16=false", "net.channels=4,8", "data.patch=16", "data.batch=1", "loop.validate_every=2",
]  # fmt: skip
FLAGS = [word for setting in SETTINGS for word in ("--set", setting)]
TRAIN = ("train", "mr-self-noise2noise")
SIZES = {"sub-01": (16, 32, 32), "sub-02": (12, 36, 28), "sub-03": (16, 32, 30)}


def brain(size: tuple[int, int, int], **options: Any) -> Any:
    """A raw 3D scan as the paper's: R = 2 x 1, calibration lines within."""
    return scan("brain", matrix=size, **{"acceleration": (2, 1), "acs": (16, 12), "snr": 30.0, **options})


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with raw scans of three subjects, of different sizes."""
    folder = tmp_path_factory.mktemp("raw")
    for number, (subject, size) in enumerate(SIZES.items()):
        raw_file(folder / f"{subject}_t1w.h5", brain(size, seed=number))
    return folder


@pytest.fixture(scope="module")
def cache(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their pairs."""
    folder = tmp_path_factory.mktemp("cache") / "pairs"
    done(*TRAIN, "-d", raw, "-o", folder.parent / "run", "--cache", folder, *FLAGS)
    return folder


@pytest.fixture(scope="module")
def model(raw: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that ended well."""
    out = tmp_path_factory.mktemp("model") / "run"
    found = done(*TRAIN, "-d", raw, "-o", out, "--cache", cache, *FLAGS)
    assert "3 of 3 scans used; 3 split before" in found.err
    assert "2 subjects to train on; 1 to validate on: sub-0" in found.err
    assert "median SNR of the halves" in found.err
    assert "alpha" in found.err.splitlines()[-1] and "dB over the noisy first halves" in found.err.splitlines()[-1]
    return out


def card_of(run_folder: Path, name: str = "model") -> dict[str, Any]:
    return json.loads((run_folder / f"{name}.json").read_text())  # type: ignore[no-any-return]


def test_subjects_of_different_size_end_in_a_model_with_its_card(model: Path, raw: Path) -> None:
    card = card_of(model)
    assert card["method"] == "mr_self_noise2noise" and card["alpha"] in [k / 10 for k in range(11)]
    assert len(card["alpha_psnr"]) == 11 and card["alpha_psnr"][round(10 * card["alpha"])] == max(card["alpha_psnr"])
    held_out, trained = card["validation"]["subjects"], card["data"]["subjects"]
    assert len(held_out) == 1 and sorted(held_out + trained) == sorted(SIZES)
    assert card["config"]["loop"]["steps"] == 2 and card["data"]["skipped"] == {}
    assert len(card["provenance"]["input"]) == 2 and card["rician"]["snr"] > 0


def test_what_cannot_be_used_is_named_skipped_and_counted(raw: Path, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    shutil.copytree(raw, folder)
    (folder / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (folder / "cut.dat").write_bytes(bytes(50))
    np.savez(folder / "image.npz", image=np.ones((1, 8, 20, 20), np.float32))
    raw_file(folder / "flat.h5", scan())
    (folder / "notes.txt").write_text("mine")
    (folder / ".hidden.h5").write_text("not ours")
    shutil.copy(raw / "sub-01_t1w.h5", folder / "sub-09_t1w.h5")
    out = tmp_path / "run"
    found = done(*TRAIN, "-d", folder, "-o", out, "--cache", cache, *FLAGS)
    assert "3 of 8 scans used; 3 split before; 5 skipped: broken.h5" in found.err
    assert "left out: notes.txt" in found.err and ".hidden" not in found.err
    reasons = card_of(out)["data"]["skipped"]
    assert {Path(path).name for path in reasons} == {"broken.h5", "cut.dat", "image.npz", "flat.h5", "sub-09_t1w.h5"}
    for path, why in reasons.items():
        assert f"skipped: {path}: {why}" in found.err
    assert "the same bytes as" in reasons[str(folder / "sub-09_t1w.h5")]
    assert "an image" in reasons[str(folder / "image.npz")]
    assert "3D" in reasons[str(folder / "flat.h5")]


def alone(tmp_path: Path, given: Any, *more: str) -> str:
    """What is said of a folder with one scan that cannot be used, beside one to validate on."""
    folder = tmp_path / "raw"
    folder.mkdir()
    raw_file(folder / "scan.h5", given)
    data = ("-d", folder, "--validation", folder, "--cache", tmp_path.with_suffix(".pairs"))
    return refused(tmp_path, *TRAIN, *data, "-o", tmp_path / "run", "--quiet", *FLAGS, *more)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"matrix": (1, 40, 32)}, "3D"),
        ({"acs": 0}, "ACS"),
        ({"n_coils": 1}, "coil"),
        ({"matrix": (3, 32, 32), "acs": (16, 3)}, "at least 4 kz lines"),
    ],
    ids=["2D", "no ACS", "one coil", "too few lines"],
)
def test_a_scan_that_cannot_be_split(tmp_path: Path, options: dict[str, Any], word: str) -> None:
    said = alone(tmp_path, brain(**{"size": (16, 32, 32), **{"size": options.pop("matrix", (16, 32, 32))}, **options}))
    assert word in said and "scan.h5" in said


def test_a_scan_with_too_few_slices_for_the_network(tmp_path: Path) -> None:
    said = alone(tmp_path, brain((6, 32, 32), acs=(16, 6)), "--set", "net.slices=13")
    assert "at least 7 slices" in said and "found 6" in said


@pytest.mark.parametrize("half", [0, 1], ids=["even", "odd"])
def test_a_half_without_lines(tmp_path: Path, half: int) -> None:
    whole = brain((16, 32, 32))
    sampled = whole.sampled.clone()
    sampled[:, half + 2 :: 2] = False  # but one, so that the others are no lattice of their own
    kspace = whole.kspace * sampled[:, None, :, :, None]
    assert "lines" in alone(tmp_path, dataclasses.replace(whole, sampled=sampled, kspace=kspace))


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("--preset", "huge"), "tiny, small, paper"),
        (("--set", "split.axis"), "--set"),
        (("--set", "split.axes=kz"), "split.axis"),
        (("--set", "split.axis=kx"), "kx"),
        (("--set", "split.factor=3"), "3"),
        (("--set", "net.slices=6"), "net.slices"),
        (("--set", "net.image=phase"), "net.image"),
        (("--from", "no-such-model"), "no-such-model"),
        (("--noise-scan", "no-such-scan.h5"), "no-such-scan.h5"),
        (("--cache", __file__), "a folder as --cache"),
        (("--resume",), "resume"),
    ],
)
def test_wrong_options(raw: Path, cache: Path, tmp_path: Path, args: tuple[str, ...], word: str) -> None:
    given = (*TRAIN, "-d", raw, "-o", tmp_path / "run", "--cache", tmp_path / "pairs", "--quiet", *FLAGS)
    if args[0] == "--from":
        given = (*given, "--cache", cache)
    assert word in refused(tmp_path, *given, *args)


def test_a_model_of_another_method_to_begin_with(raw: Path, cache: Path, tmp_path: Path) -> None:
    given = (*TRAIN, "-d", raw, "-o", tmp_path / "run", "--cache", cache, "--quiet", *FLAGS, "--from", tiny_model())
    assert "mr-self-noise2noise" in refused(tmp_path, *given).replace("_", "-")


def test_nothing_to_train_on(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    given = (*TRAIN, "-o", tmp_path / "run", "--quiet")
    assert "none in" in refused(tmp_path, *given, "-d", folder)
    assert "no-such" in refused(tmp_path, *given, "-d", tmp_path / "no-such")
    assert "-d" in refused(tmp_path, *given)


def test_one_subject_is_refused_before_any_work(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "split", _never)
    given = (*TRAIN, "-d", raw / "sub-01_t1w.h5", "-o", tmp_path / "run", *FLAGS)
    said = refused(tmp_path, *given)
    assert "two subjects" in said and "sub-01" in said and "--validation" in said


def _never(*_: object, **__: object) -> None:
    raise AssertionError("split, though the pairs are there")


def test_pairs_are_split_once(raw: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "split", _never)
    moved = shutil.copytree(raw, tmp_path / "moved")
    done(*TRAIN, "-d", moved, "-o", tmp_path / "run", "--cache", cache, *FLAGS)
    assert not (tmp_path / "run" / "pairs").exists()
    with pytest.raises(AssertionError, match="split"):
        run(*TRAIN, "-d", moved, "-o", tmp_path / "b", "--cache", cache, *FLAGS, "--set", "split.kernel=2,2,5")


def test_subjects_by_folder_by_name_and_by_bids(tmp_path: Path) -> None:
    for name in ("p1/a.h5", "p1/later/b.h5", "p2/a.h5", "c.h5", "d.part.dat", "x/sub-7/anat/e.h5"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"raw")
    found = {str(s.path.relative_to(tmp_path)): s.subject for s in train_pairs.scans_of([tmp_path], quiet=True)}
    assert found == {
        "p1/a.h5": "p1", "p1/later/b.h5": "p1", "p2/a.h5": "p2", "c.h5": "c", "d.part.dat": "d",
        "x/sub-7/anat/e.h5": "sub-7",
    }  # fmt: skip
    twice = train_pairs.scans_of([tmp_path / "p1", tmp_path / "p1" / "a.h5"], quiet=True)
    assert [(s.path.name, s.subject) for s in twice] == [("a.h5", "a"), ("b.h5", "later")]
    ours = train_pairs.scans_of([tmp_path], without=[(tmp_path / "p1").resolve()], quiet=True)
    assert not any("p1" in s.path.parts for s in ours)


def test_stopped_while_splitting(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = pairs.split
    calls: list[object] = []

    def stopping(*given: Any, **options: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*given, **options)

    out = tmp_path / "run"
    monkeypatch.setattr(pairs, "split", stopping)
    found = run(*TRAIN, "-d", raw, "-o", out, *FLAGS)
    assert found.code == 128 + signal.SIGTERM and "stopped while splitting, 1 of 3" in found.err
    kept = list((out / "pairs").iterdir())
    assert len(kept) in (1, 2) and all(path.suffix == ".h5" for path in kept)
    found = done(*TRAIN, "-d", raw, "-o", out, *FLAGS)
    assert f"{len(kept)} split before" in found.err and len(calls) == 5 - len(kept)


def test_a_run_killed_by_sigterm_resumes_to_the_same_result(raw: Path, cache: Path, tmp_path: Path) -> None:
    steps = ("--set", "loop.steps=40", "--set", "loop.validate_every=20", "--set", "loop.log_every=1")
    given = [*TRAIN, "-d", raw, "--cache", cache, *FLAGS, *steps, "--threads", "1"]
    out, whole = tmp_path / "run", tmp_path / "whole"
    command = [sys.executable, "-m", "clearmr", *map(str, given), "-o", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        _wait_for(lambda: (out / "metrics.jsonl").is_file() and (out / "metrics.jsonl").read_text().count("\n") > 4)
        process.terminate()
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "of 40; go on with --resume" in said.splitlines()[-1]
    assert not (out / "model.safetensors").exists()
    done(*given, "-o", out, "--resume")
    done(*given, "-o", whole)
    files = [listing(folder) for folder in (out, whole)]
    assert files[0]["model.safetensors"] == files[1]["model.safetensors"]
    assert card_of(out)["alpha_psnr"] == card_of(whole)["alpha_psnr"]


def _wait_for(there: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_a_resumed_run_is_held_to_its_scans_and_settings(model: Path, raw: Path, cache: Path, tmp_path: Path) -> None:
    out = shutil.copytree(model, tmp_path / "run")
    given = (*TRAIN, "-o", out, "--cache", cache, *FLAGS, "--quiet", "--resume")
    fewer = ("-d", raw / "sub-01_t1w.h5", "-d", raw / "sub-02_t1w.h5")
    assert "pairs for" in refused(tmp_path, *given, *fewer)
    assert "data.patch 16; found 8" in refused(tmp_path, *given, "-d", raw, "--set", "data.patch=8")
    done(*given, "-d", raw, "--name", "again")
    files = listing(out)
    assert files["again.safetensors"] == files["model.safetensors"]


def test_what_is_validated_on_is_better_not_trained_on(raw: Path, cache: Path, tmp_path: Path) -> None:
    given = (*TRAIN, "-d", raw, "--cache", cache, *FLAGS, "--validation", raw / "sub-02_t1w.h5")
    found = done(*given, "-o", tmp_path / "run")
    assert "warning: also trained on: sub-02" in found.err and "4 of 4 scans used" in found.err


def magnitude(path: Path, shape: tuple[int, ...] = (1, 12, 30, 28)) -> Path:
    noise = np.random.default_rng(0).normal(size=shape)
    np.savez(path, image=np.abs(20 + noise).astype(np.float32), noise_sd=np.ones((1, 1, 1, 1), np.float32))
    return path


def image_of(path: Path) -> SnrImage:
    found = formats.load(path)
    assert isinstance(found, SnrImage)
    return found


def _without_blend(model: Path, folder: Path) -> Path:
    """The same model with an alpha of 0: two steps of training end in the original, alpha 1."""
    copy = shutil.copytree(model, folder / "blended")
    (copy / "model.json").write_text(json.dumps({**card_of(model), "alpha": 0.0}))
    return copy


@pytest.mark.parametrize("method", ["auto", "mr-self-noise2noise", "mr_self_noise2noise"])
def test_a_raw_scan_is_denoised_by_the_model(model: Path, raw: Path, tmp_path: Path, method: str) -> None:
    given = (raw / "sub-01_t1w.h5", "-o", tmp_path / "o.npz", "--model", model, "--method", method)
    found = done("denoise", *given, "--along", "volume")
    image = image_of(tmp_path / "o.npz")
    assert not image.is_complex and tuple(image.image.shape) == (1, *SIZES["sub-01"])
    step = image.meta["steps"][-1]
    assert (step["method"], step["along"]) == ("mr_self_noise2noise", "volume")
    assert "for magnitudes: the phase" in found.err
    done("recon", raw / "sub-01_t1w.h5", "-o", tmp_path / "r.npz")
    assert torch.equal(image.noise_sd, image_of(tmp_path / "r.npz").noise_sd)


def test_a_nifti_is_denoised_and_another_image_refused(model: Path, raw: Path, tmp_path: Path) -> None:
    done("recon", raw / "sub-02_t1w.h5", "-o", tmp_path / "a.nii.gz")
    done("denoise", tmp_path / "a.nii.gz", "-o", tmp_path / "b.nii.gz", "--model", _without_blend(model, tmp_path))
    before, after = image_of(tmp_path / "a.nii.gz"), image_of(tmp_path / "b.nii.gz")
    assert before.image.shape == after.image.shape and not torch.equal(before.image, after.image)
    assert before.affine is not None and np.allclose(before.affine, after.affine)
    given = ("-o", tmp_path / "o.npz", "--model", model)
    flat = magnitude(tmp_path / "flat.npz", (1, 2, 30, 28))
    assert "slices" in refused(tmp_path, "denoise", flat, *given)
    np.savez(tmp_path / "c.npz", image=np.ones((1, 12, 30, 28), np.complex64), noise_sd=np.ones((1, 1, 1, 1)))
    assert "magnitude" in refused(tmp_path, "denoise", tmp_path / "c.npz", *given)
    assert "--along" in refused(tmp_path, "denoise", flat, *given, "--along", "sideways")


def test_method_and_model_must_go_together(model: Path, tmp_path: Path) -> None:
    given = ("denoise", magnitude(tmp_path / "a.npz"), "-o", tmp_path / "o.npz")
    said = refused(tmp_path, *given, "--method", "mr-self-noise2noise", "--model", tiny_model())
    assert "one of snraware" in said
    assert "one of mr-self-noise2noise" in refused(tmp_path, *given, "--method", "snraware", "--model", model)
    assert "snraware, mr-self-noise2noise" in refused(tmp_path, *given, "--method", "noise2self")
    assert "clearmr train mr-self-noise2noise" in refused(tmp_path, *given, "--method", "mr-self-noise2noise")
    shown = json.loads(done("models", "show", model / "model.safetensors").out)
    assert shown["method"] == "mr_self_noise2noise" and shown["card"]["alpha"] == card_of(model)["alpha"]
    assert "snraware-small" in done("models", "list").out


def test_a_complex_model_keeps_the_phase(raw: Path, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done(*TRAIN, "-d", raw, "-o", out, "--cache", cache, *FLAGS, "--set", "net.image=complex", "--name", "phase")
    done("denoise", raw / "sub-01_t1w.h5", "-o", tmp_path / "o.npz", "--model", out / "phase.safetensors")
    assert image_of(tmp_path / "o.npz").is_complex


def test_stored_pairs_train_like_those_in_memory(raw: Path, cache: Path) -> None:
    stored = [pair for path in sorted(raw.iterdir()) for pair in _stored(path, cache)]
    from clearmr.methods.mr_self_noise2noise.presets import tiny

    config = tiny()
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, patch=20, batch=1))
    lazy = samples.Samples(stored, config, 3)
    memory = samples.Samples([pair.whole() for pair in stored], config, 3)
    for step in range(12):
        for a, b in zip(lazy(step, 0), memory(step, 0), strict=True):
            assert torch.equal(a, b)


def _stored(path: Path, cache: Path) -> list[store.StoredPair]:
    from clearmr.methods.mr_self_noise2noise.config import SplitConfig

    found = store.stored(cache, train_pairs.Splitting(SplitConfig(), cache).key(path))
    assert found is not None
    return found
