"""`clearmr train`: a corpus prepared from raw scans and images, training on it, stopping and going on."""

import dataclasses
import functools
import json
import os
import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from clearmr import load
from clearmr.cli import train_inputs
from cli_runs import done, listing, raw_file, refused, run, scan

SETTINGS = [
    "loop.steps=2", "loop.bf16=false", "net.channels=4,8", "net.cells=1", "data.patch=2,16,16", "data.batch=1",
    "data.coil_arrays=1", "data.synthetic=0",
]  # fmt: skip
FLAGS = [word for setting in SETTINGS for word in ("--set", setting)]


def magnitude(path: Path, *, seed: int = 0) -> Path:
    """A clean magnitude volume."""
    noise = np.random.default_rng(seed).normal(size=(1, 3, 40, 36)) * 2
    np.savez(path, image=np.abs(100 + noise).astype(np.float32))
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared from a folder with a raw cine and a file with a magnitude image, of two subjects."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "scans").mkdir()
    raw_file(folder / "scans" / "sub-01_cine.h5", scan("cine", matrix=(1, 48, 48), n_frames=4, n_coils=5))
    (folder / "scans" / "notes.txt").write_text("mine")
    image = magnitude(folder / "sub-02_brain.npz")
    found = done("train", "prepare", folder / "scans", image, "-o", folder / "corpus", "--noise-sd", "2")
    assert "left out: notes.txt" in found.err and "2 series of 2 subjects" in found.err
    assert "sub-01_cine.h5: no g map for R = 6, 7, 8: 5 coil(s)" in found.err
    assert found.out == ""
    return folder / "corpus"


def test_a_corpus_holds_images_in_snr_units(corpus: Path) -> None:
    index = json.loads((corpus / "index.json").read_text())
    assert [line["subject"] for line in index["series"]] == ["sub-01", "sub-02"]
    assert [line["shape"] for line in index["series"]] == [[4, 1, 48, 48], [1, 3, 40, 36]]
    with h5py.File(corpus / "0000_sub-01_cine.h5") as cine, h5py.File(corpus / "0001_sub-02_brain.h5") as brain:
        assert cine.attrs["noise_source"] == "measured" and brain.attrs["noise_source"] == "given"
        assert cine.attrs["simulated"] == "" and brain.attrs["simulated"] == "phase,gmaps"
        for file in (cine, brain):
            assert 2 in file.attrs["accelerations"] and max(file.attrs["accelerations"]) <= 8
            assert len(file["gmaps"]) == len(file.attrs["accelerations"])
            origin = json.loads(file.attrs["provenance"])
            assert {"version", "command", "input_sha256", "seed"} <= set(origin) and len(origin["input"]) == 1
        assert np.median(np.abs(brain["image"][:])) == pytest.approx(50, rel=0.02)  # 100 over a noise SD of 2
        assert brain["noise_sd"][:].item() == 1


def test_preparing_again_gives_the_same_arrays(corpus: Path) -> None:
    source = corpus.parent / "sub-02_brain.npz"
    done("train", "prepare", source, "-o", corpus.parent / "again", "--noise-sd", "2")
    with (
        h5py.File(corpus / "0001_sub-02_brain.h5") as a,
        h5py.File(corpus.parent / "again" / "0000_sub-02_brain.h5") as b,
    ):
        for name in a:
            np.testing.assert_array_equal(a[name][:], b[name][:])
    assert "choose another" in refused(corpus.parent, "train", "prepare", source, "-o", corpus.parent / "again")
    done("train", "prepare", source, "-o", corpus.parent / "again", "--subject", "sub-09", "--force", "--quiet")
    assert json.loads((corpus.parent / "again" / "index.json").read_text())["series"][0]["subject"] == "sub-09"


def test_a_bad_file_leaves_nothing_behind(tmp_path: Path) -> None:
    good, bad = magnitude(tmp_path / "good.npz"), tmp_path / "bad.h5"
    bad.write_bytes(b"not a scan")
    assert "bad.h5" in refused(tmp_path, "train", "prepare", good, bad, "-o", tmp_path / "corpus", "--quiet")
    for args, said in (
        (["--noise-sd", "-1", good], "--noise-sd"),
        ([tmp_path / "none.h5"], "none.h5"),
        ([tmp_path / "empty"], "empty"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert said in refused(tmp_path, "train", "prepare", *args, "-o", tmp_path / "corpus", "--quiet")


def test_folders_are_searched_to_their_depth(tmp_path: Path) -> None:
    for name in ("sub-03", "sub-04"):
        (tmp_path / "study" / name / "anat").mkdir(parents=True)
        magnitude(tmp_path / "study" / name / "anat" / "T1w.npz")
    (tmp_path / "study" / ".git").mkdir()
    (tmp_path / "study" / ".git" / "x.npz").write_bytes(b"no image")
    done("train", "prepare", tmp_path / "study", "-o", tmp_path / "corpus", "--quiet")
    series = json.loads((tmp_path / "corpus" / "index.json").read_text())["series"]
    assert [line["subject"] for line in series] == ["sub-03", "sub-04"]


def test_force_replaces_no_folder_but_a_corpus(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    image = magnitude(tmp_path / "a.npz")
    assert "a corpus to replace" in refused(tmp_path, "train", "prepare", image, "-o", mine, "--force", "--quiet")


def test_a_scan_without_noise_lines_is_refused_or_estimated(tmp_path: Path) -> None:
    silent = dataclasses.replace(scan("phantom", matrix=(1, 64, 64), n_frames=1), noise=None)
    raw = raw_file(tmp_path / "a.h5", silent)
    assert "--estimate-noise" in refused(tmp_path, "train", "prepare", raw, "-o", tmp_path / "corpus", "--quiet")
    done("train", "prepare", raw, "-o", tmp_path / "corpus", "--estimate-noise", "--quiet")
    with h5py.File(tmp_path / "corpus" / "0000_a.h5") as file:
        assert file.attrs["noise_source"] == "estimated"


def test_training_on_a_corpus_ends_in_a_model(corpus: Path, tmp_path: Path) -> None:
    found = done("train", "snraware", "-d", corpus, "-o", tmp_path / "run", *FLAGS)
    assert "1 series to train on; 1 to validate on: sub-0" in found.err
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    assert card["validation"]["subjects"] in (["sub-01"], ["sub-02"])
    assert card["provenance"]["input"] == [str(corpus / "index.json")]
    image = magnitude(tmp_path / "i.npz", seed=1)
    done("denoise", image, "-o", tmp_path / "o.npz", "--model", tmp_path / "run" / "model.safetensors")


def test_training_on_images_ends_in_a_model_that_denoises(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    raw = raw_file(tmp_path / "a.h5", scan("cine", matrix=(1, 48, 48), n_frames=4))
    done("recon", raw, "-o", folder / "case.nii.gz")
    (folder / "SOURCE.txt").write_text("mine")
    data = ("-d", folder, "--validation", folder)
    found = done("train", "snraware", "-o", tmp_path / "run", *data, *FLAGS)
    assert found.err.count("left out") == 2 * 4  # text, JSON and two maps, twice
    done("denoise", raw, "-o", tmp_path / "o.npz", "--model", tmp_path / "run" / "model.safetensors")
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    assert card["config"]["loop"]["steps"] == 2 and card["provenance"]["input"] == [str(folder / "case.nii.gz")]
    again = run("train", "snraware", "-o", tmp_path / "run", *data, *FLAGS)
    assert again.code == 2 and "--resume" in again.err
    done("train", "snraware", "-o", tmp_path / "run", *data, *FLAGS, "--resume", "--name", "second")
    files = listing(tmp_path / "run")
    assert files["second.safetensors"] == files["model.safetensors"]


def test_a_second_network_is_trained_after_a_first(corpus: Path, tmp_path: Path) -> None:
    """It mends the first's filtered images, is kept in one file with it, and the cases are made once."""
    done("train", "snraware", "-d", corpus, "-o", tmp_path / "run", *FLAGS)
    first = tmp_path / "run" / "model.safetensors"
    small = ("cases=3", "held_out=1", "frames=3", "size=20", "side=16", "scans=0.4", "volumes=0.3")
    more = [word for setting in small for word in ("--set", f"second.{setting}")]
    second = ("train", "snraware", "-d", corpus, "--preset", "small-second", *FLAGS, *more)
    done(*second, "-o", tmp_path / "second", "--after", first)
    both = tmp_path / "second" / "model.safetensors"
    done(*second, "-o", tmp_path / "on", "--after", both)
    assert json.loads((tmp_path / "on" / "model.json").read_text())["second"]["after"] == str(both)
    cases = sorted((tmp_path / "second" / "cases").iterdir())
    assert 1 <= len(cases) <= 3
    card = json.loads((tmp_path / "second" / "model.json").read_text())
    assert card["second"]["after"] == str(first) and card["second"]["config"]["net"]["pilots"]
    assert not card["net"]["pilots"] and card["config"]["loop"]["steps"] == 2
    raw = raw_file(tmp_path / "a.h5", scan("cine", matrix=(1, 48, 48), n_frames=4))
    told = []
    for model in (first, tmp_path / "second" / "model.safetensors"):
        done("denoise", raw, "-o", tmp_path / "o.npz", "--model", model, "--force")
        told.append(load(tmp_path / "o.npz").meta["steps"][-1]["mended"])
    assert told == [0, 2]
    models = (first, tmp_path / "second" / "model.safetensors")
    counts = [json.loads(done("models", "show", path).out)["parameters"] for path in models]
    assert counts[1] > 2 * counts[0]
    assert "--after MODEL" in refused(tmp_path, *second, "-o", tmp_path / "x")
    assert "a preset of second" in refused(tmp_path, *second[:4], *FLAGS, "-o", tmp_path / "x", "--after", first)
    assert "--from" in refused(tmp_path, *second, "-o", tmp_path / "x", "--after", first, "--from", first)
    assert "channels=(4, 8)" in refused(tmp_path, *second, "-o", tmp_path / "x", "--after", "snraware-small")


def test_a_stopped_run_says_so_in_a_line_and_goes_on(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clearmr.methods.snraware import pairs

    original = pairs.Samples.__call__

    def stopping(self: pairs.Samples, step: int, index: int) -> Any:
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, step, index)

    longer = [f.replace("steps=2", "steps=5") for f in FLAGS]
    out = tmp_path / "run"
    with monkeypatch.context() as patched:
        # Validation batches are made before signals are watched.
        patched.setattr(pairs.Samples, "whole", lambda self, step: original(self, step, 0))
        patched.setattr(pairs.Samples, "__call__", stopping)
        found = run("train", "snraware", "-d", corpus, "--validation", corpus, "-o", out, *longer)
    assert found.code == 128 + signal.SIGTERM
    assert "stopped at step 3 of 5; go on with --resume" in found.err.splitlines()[-1]
    assert not (out / "model.safetensors").exists()
    done("train", "snraware", "-d", corpus, "--validation", corpus, "-o", out, *longer, "--resume")
    assert (out / "model.safetensors").is_file()
    done("train", "snraware", "-d", corpus, "--validation", corpus, "-o", tmp_path / "whole", *longer)
    models = [listing(folder)["model.safetensors"] for folder in (out, tmp_path / "whole")]
    assert models[0] == models[1]


def test_the_split_is_by_subject() -> None:
    cases = [train_inputs.Case(f"sub-{k % 3}", Path(f"{k}.h5"), None) for k in range(9)]  # type: ignore[arg-type]
    kept, checks = train_inputs.split(cases)
    assert len(kept) == 6 and len(checks) == 3 and len({case.subject for case in checks}) == 1
    assert not {case.subject for case in kept} & {case.subject for case in checks}


def test_one_subject_is_validated_on_dead_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clearmr.methods.snraware import leaves

    monkeypatch.setattr(leaves, "synthetic_series", functools.partial(leaves.synthetic_series, n=2))
    image = magnitude(tmp_path / "a.npz")
    found = done("train", "snraware", "-d", image, "-o", tmp_path / "run", *FLAGS)
    assert "one subject only" in found.err


def test_a_real_raw_scan_becomes_a_series(shared_data: Any, tmp_path: Path) -> None:
    raw = shared_data("raw_shepplogan_noise_scan/sl_R2_acs24.h5")
    done("train", "prepare", raw, "-o", tmp_path / "corpus", "--quiet")
    (line,) = json.loads((tmp_path / "corpus" / "index.json").read_text())["series"]
    assert line["shape"] == [2, 1, 96, 96] and {2, 3, 4} <= set(line["accelerations"])
