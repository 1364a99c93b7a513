"""Noise2Average's tables: who is judged, what a job keeps, what the table says of it; all of it very small."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from clearmr import evaluate
from clearmr.errors import InputError
from clearmr.evaluate import diffusion
from clearmr.formats.gradients_write import save_gradients
from clearmr.reproduce import Options, noise2average_dti, noise2average_methods, noise2average_runs, noise2average_t1w
from clearmr.reproduce import noise2average_data as data
from clearmr.reproduce import noise2average_table as tables
from clearmr.reproduce.noise2average_data import SIMULATED, Setting, Sizes
from clearmr.reproduce.noise2average_methods import Given, Lengths, Made
from clearmr.reproduce.noise2average_runs import Scale
from clearmr.reproduce.results import markdown
from clearmr.simulate import Protocol, dwi_head
from clearmr.train.fine_tuning import FineTuning

TUNING = FineTuning(block=(16, 16, 16), epochs=1, steps=1, learning_rate=1e-4)
SIZES = Sizes((16, 20, 18), (28, 40, 36), 0.05, directions=7)
MOVED, ALIGNED = Setting("moved", shift=0.5, degrees=0.5, gain=0.04), Setting("aligned")
LENGTHS = Lengths(TUNING, FineTuning(block=(16, 16, 16), epochs=1, steps=1, views=1), rounds=2)
SCALE = Scale(SIZES, (MOVED, ALIGNED), LENGTHS, left_out=(("aligned", "bm4d-each"),))
LABELS = {
    "ours": ("ours-0", "ours-1", "ours-2"),
    "published": ("published-1", "published-2"),
    "supervised": ("supervised-each", "supervised-average", "supervised-ours"),
}


def test_repeats_of_an_aligned_setting_are_the_clean_image_and_noise() -> None:
    who = data.subject("t1w", SIMULATED, SIZES, 5)
    assert who.clean.shape == (1, 16, 20, 18) == (1, *who.brain.shape)
    assert float(who.clean[:, who.brain].quantile(0.95)) == pytest.approx(1, abs=0.1)
    made = data.repeats(who, ALIGNED, SIZES, 0)
    assert len(made) == 2 and float(made[0].noise_sd) == pytest.approx(0.05)
    bright = who.clean > 0.5
    for image in made:
        difference = (image.image - who.clean)[bright]
        assert float(difference.std()) == pytest.approx(0.05, rel=0.1) and abs(float(difference.mean())) < 0.01
    assert not torch.equal(made[0].image, made[1].image)
    again = data.repeats(who, ALIGNED, SIZES, 0)
    assert torch.equal(made[1].image, again[1].image)


def test_moved_repeats_lie_on_both_sides_of_the_clean_image() -> None:
    who = data.subject("t1w", SIMULATED, SIZES, 5)
    quiet = dataclasses.replace(SIZES, level=1e-4)
    first, second = (image.image for image in data.repeats(who, MOVED, quiet, 0))
    apart = float((first - second)[:, who.brain].abs().mean())
    assert apart > 0.01
    for image in (first, second):
        assert float((image - who.clean)[:, who.brain].abs().mean()) < 0.8 * apart
    assert float(second[:, who.brain].mean() / first[:, who.brain].mean()) == pytest.approx(1.04, abs=0.01)


def test_the_crop_lies_where_it_is_asked_for() -> None:
    brain = torch.zeros(30, 40, 50, dtype=torch.bool)
    brain[5:25, 10:30, 20:40] = True
    sizes = dataclasses.replace(SIZES, crop=(8, 10, 12), place=(0.5, 0.25, 1.0))
    assert data._box(brain, sizes, 0) == (slice(11, 19), slice(10, 20), slice(34, 46))
    assert data._box(brain, sizes, 6) == (slice(5, 25), slice(4, 26), slice(30, 50))  # as much as there is, both sides
    with pytest.raises(InputError, match="brain"):
        data._box(torch.zeros(30, 40, 50, dtype=torch.bool), sizes, 0)


def test_simulated_dti_knows_its_tensors() -> None:
    who = data.subject("dti", SIMULATED, SIZES, 5)
    assert who.maps is not None and who.bvals is not None and who.bvecs is not None and who.white is not None
    assert who.clean.shape == (8, 16, 20, 18)
    maps = evaluate.fit_dti(who.clean, who.bvals, who.bvecs, who.brain)
    errors = evaluate.dti_errors(who.maps, maps, who.white)
    assert errors["fa_error"] < 1e-3 and errors["md_error"] < 1e-6 and errors["v1_error"] < 0.5
    assert errors["voxels"] > 100


def test_dti_of_a_file_is_what_its_tensors_predict(tmp_path: Path) -> None:
    protocol = Protocol(7)
    head = dwi_head((28, 40, 36), protocol)
    path = tmp_path / "scan.nii.gz"
    noisy = (1000 * head.image + 10 * torch.randn(head.image.shape, generator=torch.Generator().manual_seed(0))).abs()
    nibabel.save(nibabel.Nifti1Image(noisy.numpy().transpose(3, 2, 1, 0), np.diag([5.0, 5, 6, 1])), path)
    save_gradients(path, protocol.bvals.numpy(), protocol.bvecs.numpy())
    who = data.subject("dti", str(path), SIZES, 0)
    assert who.maps is not None and who.bvals is not None and who.bvecs is not None
    signal = diffusion.synthesised(who.maps, who.bvals, who.bvecs)
    assert np.abs(signal - who.clean.numpy())[:, who.brain.numpy()].max() < 1e-5
    assert who.clean.shape == (8, 16, 20, 18) and float(who.clean.max()) < 5


def options(folder: Path, **more: Any) -> Options:
    folder.mkdir(exist_ok=True)
    return Options(folder, **more)


def quick(name: str, given: Given) -> Made:
    """Results that a method could have: the clean image with less and less noise."""
    quality = {"noisy": 1.0, "average": 0.7, "noise2noise": 0.45, "published": 0.4, "ours": 0.2, "supervised": 0.1}
    generator = torch.Generator().manual_seed(len(name))
    images, rounds = {}, []
    for k, label in enumerate(LABELS.get(name, (name,))):
        share = quality.get(name, 0.5) * 0.9**k
        noise = torch.randn(given.clean.shape, generator=generator)
        images[label] = (given.clean + 0.05 * share * noise).clamp(min=0)
        number = k + (name == "published")
        rounds.append({"round": number, "held_out_error": 0.3 - 0.01 * number})
    return Made(images, tuple(rounds) if name in ("ours", "published") else ())


@pytest.mark.parametrize("kind", ["t1w", "dti"])
def test_a_table_is_made_of_kept_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    module = noise2average_t1w if kind == "t1w" else noise2average_dti
    monkeypatch.setattr(module, "SCALES", {"tiny": lambda: SCALE})
    monkeypatch.setattr(noise2average_methods, "made", quick)
    few = options(tmp_path / "out", only=("average", "noisy_simulated_moved"))
    part = module.run(few)
    assert [row[0] for row in part.rows] == ["one noisy repeat", "average of the repeats"] and not part.checks
    begun = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "runs").glob("*.json")}
    assert len(begun) == 3
    whole = module.run(options(tmp_path / "out"))
    assert all(path.stat().st_mtime_ns == then for path, then in begun.items())  # not done again
    failed = [check.claim for check in whole.checks if not check.holds]
    assert whole.checks and not [claim for claim in failed if "sharper" not in claim], failed  # all are as sharp
    labels = [row[0] for row in whole.rows]
    assert ("MP-PCA of the average" in labels) == (kind == "dti")
    assert labels[-1].startswith("supervised, our default") and "Noise2Average, our default, round 2" in labels
    text = markdown(whole)
    assert "Only the abstract" in text and "AONLM" in text and "our default, round" in text
    assert "BM4D of each, averaged" not in str(whole.more[0].rows)  # left out where aligned
    assert (tmp_path / "out" / "panel_simulated_moved.png").stat().st_size > 10_000
    saved = json.loads(next((tmp_path / "out" / "runs").glob("ours_*moved.json")).read_text())
    assert saved["settings"]["ours"]["scheme"] == "known-noise" and len(saved["rounds"]) == 3


def test_other_settings_in_the_folder_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise2average_methods, "made", quick)
    monkeypatch.setattr(noise2average_t1w, "SCALES", {"tiny": lambda: SCALE})
    noise2average_t1w.run(options(tmp_path / "out", only=("average",)))
    louder = dataclasses.replace(SCALE, sizes=dataclasses.replace(SIZES, level=0.06))
    monkeypatch.setattr(noise2average_t1w, "SCALES", {"tiny": lambda: louder})
    with pytest.raises(InputError, match="same settings"):
        noise2average_t1w.run(options(tmp_path / "out", only=("average",)))
    with pytest.raises(InputError, match="--only"):
        noise2average_t1w.run(options(tmp_path / "other", only=("nothing",)))


def test_every_method_runs(tmp_path: Path) -> None:
    """The real ones, on 16 x 20 x 18 voxels: each network one step."""
    who = data.subject("t1w", SIMULATED, SIZES, 5)
    given = Given(data.repeats(who, MOVED, SIZES, 0), who.brain, who.clean, LENGTHS)
    found: dict[str, torch.Tensor] = {}
    for name in noise2average_runs.METHODS:
        if name in noise2average_runs.DTI_ONLY or noise2average_runs.absent(name):
            continue
        made = noise2average_methods.made(name, given)
        assert set(made.images) == set(LABELS.get(name, (name,)))
        if name in ("ours", "published"):
            assert [told["round"] for told in made.rounds] == [int(label[-1]) for label in LABELS[name]]
            assert all(told["held_out_error"] > 0 for told in made.rounds)
        found |= made.images
    scores = {label: evaluate.evaluate(who.clean, out, who.brain[None])["psnr"] for label, out in found.items()}
    assert all(score > scores["noisy"] + 1 for label, score in scores.items() if label != "noisy"), scores
    assert torch.allclose(found["average"], sum(i.image for i in given.repeats) / 2)  # type: ignore[arg-type]


def found_of(errors: Mapping[str, list[float]]) -> list[dict[str, Any]]:
    made = []
    for scheme, values in errors.items():
        first = 0 if scheme == "ours" else 1
        rounds = [{"round": first + k, "held_out_error": value} for k, value in enumerate(values)]
        made.append({"method": scheme, "subject": "who", "setting": "moved", "rounds": rounds, "figures": {}})
    return made


def test_a_run_keeps_the_round_before_the_first_that_is_worse() -> None:
    found = found_of({"ours": [0.5, 0.4, 0.3, 0.2], "published": [0.3, 0.31, 0.1]})
    assert tables.chosen(found, "who", "moved", "ours") == "ours-2"  # two rounds, where none is worse
    assert tables.chosen(found, "who", "moved", "published") == "published-1"
    assert tables.chosen(found, "other", "moved", "ours") is None
    ours, published = sorted(tables.round_checks(found, "who", "moved", "who"), key=lambda c: "published" in c.claim)
    assert ours.holds and ours.by.mean == pytest.approx(25) and not published.holds
    worse = found_of({"ours": [0.3, 0.35, 0.1]})
    assert tables.chosen(worse, "who", "moved", "ours") == "ours-0"


def test_a_claim_holds_against_every_rival() -> None:
    there = {"a": {"psnr": 30.0, "fa": 0.1}, "b": {"psnr": 29.0, "fa": 0.3}, "c": {"psnr": 30.5, "fa": 0.2}}
    over = tables.better("a", "a", ("b", "c", "absent"), there, "psnr")
    assert over is not None and not over.holds and over.by.mean == pytest.approx(-0.5)
    under = tables.better("a", "a", ("b", "c"), there, "fa", more=False, factor=10.0)
    assert under is not None and under.holds and under.by.mean == pytest.approx(1.0)
    assert tables.better("a", None, ("b",), there, "psnr") is None
    assert tables.better("a", "a", ("absent",), there, "psnr") is None


def test_the_bound_is_no_winner() -> None:
    there = {"average": {"psnr": 30.0}, "noise2noise": {"psnr": 31.0}, "supervised-each": {"psnr": 35.0}}
    assert tables.winner(there, "psnr") == "Noise2Noise"
