"""MR-self Noise2Noise's Table 2 made again, at a size that trains in seconds."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from clearmr.errors import InputError
from clearmr.reproduce import mr_self_noise2noise_data as scans
from clearmr.reproduce import mr_self_noise2noise_picture as picture
from clearmr.reproduce import mr_self_noise2noise_runs as runs
from clearmr.reproduce import mr_self_noise2noise_scales as scales
from clearmr.reproduce import mr_self_noise2noise_table2 as table2
from clearmr.reproduce import published, results
from clearmr.reproduce.mr_self_noise2noise_found import Found
from cli_runs import done, run
from small_self_noise2noise import SIZES, micro

NAME = "mr-self-noise2noise-table2"
PAPER = Path(__file__).resolve().parents[2] / "shared" / "papers" / "mr_self_noise2noise.txt"
LEVELS = range(len(published.NOISE_LEVELS))


def test_published_numbers_are_the_paper_s() -> None:
    if not PAPER.is_file():
        pytest.skip(f"no {PAPER}")
    text = PAPER.read_text(encoding="utf-8").replace("*", "")
    for name, rows in published.SELF_NOISE2NOISE_TABLE2.items():
        assert name in text
        for row in rows:
            assert len(row) == 7 and "\t".join(row) in text, (name, row)


def test_published_gains_are_those_of_the_issue() -> None:
    before, after, _ = published.SELF_NOISE2NOISE_TABLE2["PSNR (dB)"]
    gains = [round(float(a.split()[0]) - float(b.split()[0]), 1) for b, a in zip(before, after, strict=True)]
    assert gains[0] == 0.5 and gains[-1] == 2.3 and min(gains) == 0.5


def test_nobody_is_trained_on_and_judged() -> None:
    for scale in (scales.tiny(), scales.full()):
        roles = scans.roles(scale.sizes)
        seeds = [one.seed for part in dataclasses.astuple(roles) for one in map(lambda x: scans.Subject(*x), part)]
        assert len(set(seeds)) == len(seeds)
        assert len(roles.judged) >= 4 and len(roles.training) >= 4 and roles.validation
        assert {one.contrast for one in roles.others} == {"t2", "black-blood"}
        assert {one.matrix for one in roles.others} == {scale.sizes.matrix, scale.sizes.other}


def test_networks_differ_in_what_their_names_say() -> None:
    scale = scales.tiny()
    main, clean, blind, whole = (scale.config(net) for net in runs.NETS)
    assert main == clean and main.net.noise_map and not main.net.bias and main.blend.image == "halves"
    assert blind.net.bias and not blind.net.noise_map and blind.net.scale == "peak"
    assert blind.data.added_noise == 0 and blind.blend.image == "original"
    assert dataclasses.replace(whole, net=main.net) == main and whole.net.image == "complex"
    assert blind.loop == main.loop and blind.net.channels == main.net.channels


@pytest.fixture(scope="module")
def learnt() -> tuple[Any, Any, Any]:
    """A noisy pair, its like with a clean label, and the truth in the unit of the fully sampled scan."""
    subject = scans.roles(SIZES).training[0]
    noisy, clean = scans.learnt_from(subject, SIZES, scales.tiny().base.split)
    return noisy[0], clean[0], scans.scanned(subject, SIZES).snr


def test_clean_labels_have_the_halves_signal(learnt: tuple[Any, Any, Any]) -> None:
    noisy, clean, truth = learnt
    assert torch.equal(noisy.first.image, clean.first.image) and not bool(clean.second.noise_sd.any())
    inside = truth > 0.2 * truth.max()
    label = clean.second.image.abs()
    for image in (noisy.first, noisy.second, noisy.original):
        ratio = float((image.image.abs() * label)[inside].sum() / label[inside].square().sum())
        assert ratio == pytest.approx(1.0, abs=0.04)  # 4 coils at R = 2 x 2 lose a little
    assert not torch.equal(noisy.second.image, clean.second.image)


@pytest.fixture(scope="module")
def judged() -> scans.Judged:
    """So noisy that what few coils and calibration lines cost does not count."""
    return scans.judged(scans.roles(SIZES).judged[0], dataclasses.replace(SIZES, snr=20.0))


def test_judged_scans_have_the_noise_that_is_said(judged: scans.Judged) -> None:
    """In one unit: the same signal at every level, and noise of sqrt(1 + level^2) times the scan's own."""
    inside = judged.head & (judged.truth > 0.3 * judged.truth.max())
    for level, (image, factor) in zip(published.NOISE_LEVELS, judged.levels, strict=True):
        magnitude, noise = image.image.abs() * factor, image.noise_sd * factor
        error = ((magnitude - judged.truth) / noise)[inside]
        assert float(error.std()) == pytest.approx(1.0, abs=0.12), level
        assert abs(float(error.mean())) < 0.25
        # A kernel from noisier calibration lines fills less, noise and signal alike: some percent here.
        own = judged.levels[0][0].noise_sd * judged.levels[0][1]
        assert float((noise / own)[inside].median()) == pytest.approx((1 + level**2) ** 0.5, rel=0.1)


def test_the_noisy_reference_shares_noise_with_the_original(judged: scans.Judged) -> None:
    image, factor = judged.levels[0]
    own, reference = (a - judged.truth for a in (image.image.abs() * factor, judged.noisy))
    inside = judged.head & (judged.truth > 0.3 * judged.truth.max())
    shared = float(np.corrcoef(own[inside].numpy(), reference[inside].numpy())[0, 1])
    assert shared > 0.45


def test_judged_scans_are_kept_whole(judged: scans.Judged, tmp_path: Path) -> None:
    labels = {"truth": torch.ones(SIZES.matrix, dtype=torch.uint8)}
    scans.save(judged, labels, tmp_path / "a.safetensors")
    again, kept = scans.load(tmp_path / "a.safetensors")
    assert torch.equal(kept["truth"], labels["truth"])
    assert all(torch.equal(getattr(again, name), getattr(judged, name)) for name in scans.PARTS)
    for (image, factor), (other, same) in zip(judged.levels, again.levels, strict=True):
        assert torch.equal(image.image, other.image) and torch.equal(image.noise_sd, other.noise_sd)
        assert factor == same and image.spacing == other.spacing


def test_figures_of_the_truth_are_perfect_and_of_a_blend_between(judged: scans.Judged) -> None:
    labels = {name: runs.tissues(getattr(judged, name), judged) for name in runs.REFERENCES}
    image, factor = judged.levels[-1]
    noisy = image.image.abs() * factor
    of_noisy = runs.figures(noisy, judged, labels, tissue=True)["truth"]
    of_better = runs.figures(0.5 * (noisy + judged.truth), judged, labels, tissue=True)["truth"]
    assert of_better["psnr"] == pytest.approx(of_noisy["psnr"] + 20 * np.log10(2), abs=1e-3)
    assert of_better["nrmse"] == pytest.approx(of_noisy["nrmse"] / 2, rel=1e-3) and of_better["ssim"] > of_noisy["ssim"]
    assert of_better["dice"] > of_noisy["dice"]
    assert runs.figures(judged.truth * 1.0001, judged, labels, tissue=True)["truth"]["dice"] > 0.99
    blends = runs.by_alpha(noisy, judged.truth + 1.0, judged)
    assert blends["truth"][10] == pytest.approx(of_noisy["psnr"], abs=1e-3) and blends["truth"][0] > blends["truth"][10]


def nifti(path: Path, frames: int = 1, depth: int = 16) -> Path:
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (depth, 40, 36)), indexing="ij")
    ball = 500 * ((z**2 + y**2 + x**2) < 0.7) + 200.0 * ((z**2 + y**2 + x**2) < 0.3)
    values = np.repeat(ball.T[..., None], frames, -1).astype(np.float32).squeeze()
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 3.0, 1.0])), path)
    return path


def test_volumes_that_are_given(tmp_path: Path) -> None:
    first, second, series = nifti(tmp_path / "a.nii"), nifti(tmp_path / "b.nii"), nifti(tmp_path / "c.nii", 3)
    roles = scans.roles(SIZES, (first, series, second))
    assert (roles.training[-1].path, roles.judged[-1].path, roles.others[-1].path) == (first, second, series)
    assert len({one.seed for one in (roles.training[-1], roles.judged[-1], roles.others[-1])}) == 3
    volume, fov = scans.volume_of(first, (12, 32, 48))
    assert volume.shape == (1, 12, 32, 36) and fov == (48.0, 80.0, 72.0)
    found = scans.judged(roles.judged[-1], SIZES)
    middle = tuple(n // 2 for n in found.truth.shape)
    assert bool(found.brain[middle]) and bool(found.head[middle]) and not bool(found.head[0, 0, 0, 0])


def test_volumes_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 8 slices"):
        scans.roles(SIZES, (nifti(tmp_path / "flat.nii", depth=4),))
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
    twice = [nifti(tmp_path / name / "sub-01_T1w.nii") for name in ("x", "y")]
    with pytest.raises(InputError, match="sub-01 twice"):
        scans.roles(SIZES, twice)


def test_a_real_volume(shared_data: Any) -> None:
    path = shared_data("t1_brain_child_0p9mm/t1w_cropped.nii.gz")
    volume, fov = scans.volume_of(path, (24, 48, 48))
    assert volume.shape == (1, 24, 48, 48) and fov == pytest.approx((110.0, 220.0, 172.8), abs=0.1)


def level(psnr: float, alpha: float) -> dict[str, Any]:
    values = {"psnr": psnr, "ssim": 0.9 + psnr / 1000, "nrmse": 1 / psnr, "dice": 0.9 + psnr / 1000}
    by_alpha = [psnr - (a - alpha) ** 2 for a in runs.ALPHAS]
    return {"truth": values, "noisy": values, "psnr_by_alpha": {"truth": by_alpha, "noisy": by_alpha[::-1]}}


def found(gain: float = 0.5, short: float = 0.1) -> Found:
    """Originals from 41 dB down; the main network gains more from level to level, clean targets a little more."""
    originals = {name: [level(41.0 - 2 * k + 0.1 * n, 0) for k in LEVELS] for n, name in enumerate(("a", "b", "t2"))}

    def network(net: str, more: float) -> dict[str, Any]:
        made = {
            name: [level(one["truth"]["psnr"] + gain + 0.2 * k + more, 0.3) for k, one in enumerate(levels)]
            for name, levels in originals.items()
        }
        return {"net": net, "seed": 0, "alpha": 0.1, "subjects": made}

    networks = [network(runs.MAIN, 0.0), network(runs.CLEAN, short)]
    return Found(("a", "b"), ("t2",), originals, networks, [{"subject": "a", "levels": [], "seconds": 1.0}])


def test_checks_say_what_holds_and_what_fails() -> None:
    good = {check.claim: check for check in table2.checks(found())}
    assert all(check.holds for check in good.values()) and len(good) == 8
    psnr = next(check for claim, check in good.items() if claim.startswith("PSNR (dB) higher"))
    assert psnr.by.mean == pytest.approx(0.5) and psnr.by.n == 2
    near = next(check for claim, check in good.items() if "clean targets" in claim)
    assert near.by.mean == pytest.approx(0.4)
    worse = table2.checks(found(gain=-0.3, short=0.6))
    # One level of seven is enough to fail; the gain still grows, and the alphas are as before.
    assert [check.holds for check in worse] == [False, False, False, False, True, False, False, True]
    assert not table2.checks(dataclasses.replace(found(), networks=found().networks[1:]))


def test_the_table_stands_beside_the_paper_s(tmp_path: Path) -> None:
    table = table2.table(found(), scales.tiny(), "tiny")
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert table.rows[0][:3] == ("PSNR (dB)", "original", "41.05 +- 0.07") and table.rows[1][2] == "41.55 +- 0.07"
    assert table.rows[3][2] == "41.2 ± 0.8" and table.rows[5][1:3] == ("paper's p", "< 0.001")
    assert all(len(row) == len(more.columns) for more in table.more for row in more.rows)
    text = results.markdown(table)
    assert text.count("| --- |") >= 5 and "## Networks side by side" in text and "no raw 3D" in text
    alphas = table.more[2].rows
    assert alphas[0][1] == "0.3 (+0.09)" and alphas[1][1] == "0.7 (+0.49)"
    assert table.more[3].rows[1][1] == "+0.50" and table.more[3].rows[1][-1] == "+1.70"
    json.dumps(dataclasses.asdict(table), allow_nan=False)
    picture.curves(tmp_path / "a.png", found(), table2.LABELS)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_table_is_made_and_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scales.SCALES, "tiny", micro)
    out, flags = tmp_path / "t", ("--threads", "1", "--device", "cpu")
    first = done("reproduce", NAME, "-o", out, *flags, "--only", "clean")
    assert "the same, clean targets" in first.out and "41.2 ± 0.8" in first.out
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.json") if path.name != "results.json"}
    whole = done("reproduce", NAME, "-o", out, *flags, "--resume")
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    names = {path.name for path in out.iterdir()}
    assert {"results.json", "table.md", table2.CURVES, table2.SLICES, "runs", "scans", "pairs"} <= names
    value = json.loads((out / "results.json").read_text())
    assert value["name"] == NAME and len(value["figures"]["networks"]) == 4 and len(value["checks"]) == 9
    for network in value["figures"]["networks"]:
        assert set(network["subjects"]) >= set(value["figures"]["subjects"])
    (out / "runs" / f"{runs.COMPLEX}_0" / "figures.json").unlink()  # stopped after its training
    assert done("reproduce", NAME, "-o", out, *flags, "--resume").out == whole.out
    monkeypatch.setattr(runs.method, "fit", None)  # all is there: nothing more is trained
    monkeypatch.setattr(scans, "judged", None)
    assert done("reproduce", NAME, "-o", out, *flags, "--resume").out == whole.out
    monkeypatch.setitem(scales.SCALES, "tiny", lambda: micro(3))
    said = run("reproduce", NAME, "-o", out, *flags, "--resume")
    assert said.code == 2 and "same settings" in said.err


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--only", "unet"], "sn2n or clean-targets"),
        (["-d", "{o}/flat.nii"], "8 slices"),
        (["-d", "{o}/no"], "no file"),
    ],
)
def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], word: str) -> None:
    monkeypatch.setitem(scales.SCALES, "tiny", micro)
    nifti(tmp_path / "flat.nii", depth=4)
    said = run("reproduce", NAME, "-o", tmp_path / "t", *(arg.replace("{o}", str(tmp_path)) for arg in args))
    assert said.code == 2 and word in said.err and said.err.count("\n") == 1, said.err
