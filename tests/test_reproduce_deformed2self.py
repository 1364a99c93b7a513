"""Deformed2Self's tables made again, at a size that takes seconds."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from clearmr.errors import InputError
from clearmr.methods.deformed2self import presets
from clearmr.reproduce import Options, deformed2self_data, deformed2self_methods, kept, published, results
from clearmr.reproduce import deformed2self_picture as picture
from clearmr.reproduce import deformed2self_runs as runs
from clearmr.reproduce import deformed2self_table1 as table1
from clearmr.reproduce import deformed2self_table2 as table2
from clearmr.reproduce.deformed2self_data import Noise, Series, Sizes
from clearmr.reproduce.deformed2self_methods import LEFT, TAKEN, Given, Lengths
from clearmr.scan import SnrImage
from cli_runs import done, run
from dynamic_series import Smoother, rng

PAPER = Path(__file__).resolve().parents[2] / "shared" / "papers" / "deformed2self.txt"
SIZES = Sizes(matrix=(40, 40), frames=6, window=5, crop=40, targets=("middle",))
GAUSS, RICE, COUNTS = Noise("gaussian", 0.15), Noise("rician", 0.1), Noise("poisson", 20.0)


def micro(steps: int = 2) -> runs.Scale:
    tiny = presets.tiny()
    train = dataclasses.replace(tiny.train, steps=steps, passes=2, crop=0, held_out=0.0)
    paper = dataclasses.replace(tiny, scheme="target", train=train)
    prior = dataclasses.replace(presets.joint().prior, steps=0, views=1, rounds=1, patches=(4,), similar=40, window=3)
    lengths = Lengths(
        paper, 2, 2, 2, dataclasses.replace(tiny, train=train), dataclasses.replace(presets.joint(), prior=prior)
    )
    sources = {"pincat": (GAUSS,), "cine": (RICE,)}
    return runs.Scale(SIZES, sources, sources, {"pincat": lengths, "cine": lengths})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds instead of hours: a prior that is a mean, and no peer that is slow."""
    monkeypatch.setitem(runs.SCALES, "tiny", micro)
    monkeypatch.setattr(deformed2self_methods.snraware, "load", lambda *_, **__: Smoother())


@pytest.fixture
def cine(tmp_path: Path) -> Path:
    """A folder of frames with a disc that beats, and one file that is no clean frame."""
    folder = tmp_path / "cine"
    folder.mkdir()
    y, x = np.mgrid[:48, :56]
    for t in range(5):
        disc = np.hypot(y - 30, x - 20) < 8 + 2 * math.sin(2 * math.pi * t / 5)
        Image.fromarray((60 + 180 * disc).astype(np.uint8)).save(folder / f"clean_{t}.png")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "preview.png")
    return folder


def test_published_numbers_are_the_paper_s() -> None:
    if not PAPER.is_file():
        pytest.skip(f"no {PAPER}")
    text = PAPER.read_text(encoding="utf-8").replace("*", "")
    tables = [row for source in published.DEFORMED2SELF_TABLE1.values() for row in source.items()]
    for name, pairs in (*tables, *published.DEFORMED2SELF_TABLE2.items()):
        printed = " | ".join(f"{psnr:.2f} | {ssim:.3f}" for psnr, ssim in pairs)
        cells = text.replace("\t", " | ")
        assert f"{name} | {printed}" in cells, name
    for source, columns in published.DEFORMED2SELF_COLUMNS.items():
        assert all(len(row) == len(columns) == 6 for row in published.DEFORMED2SELF_TABLE1[source].values())


def test_scales_hold_what_the_issue_asks_for() -> None:
    tiny, full = runs.tiny(), runs.full()
    for source, columns in published.DEFORMED2SELF_COLUMNS.items():
        assert [(noise.kind, noise.level) for noise in full.noises[source]] == list(columns)  # type: ignore[index]
        assert set(tiny.noises[source]) <= set(full.noises[source])  # type: ignore[index]
    assert [noise.label for noise in tiny.noises["pincat"]] == ["Gaussian 15%", "Gaussian 25%", "Poisson P = 20"]
    assert [full.lengths[source].paper.train.steps for source in ("pincat", "cine")] == [2000, 4000]
    assert tiny.lengths["pincat"].paper == full.lengths["pincat"].paper
    assert full.lengths["pincat"].paper.train.others == 4 and full.sizes.targets == ("first", "middle")


def test_the_phantom_and_its_heart() -> None:
    found = deformed2self_data.phantom(Sizes((64, 64), frames=8, window=5), 3)
    assert found.clean.shape == (5, 1, 64, 64) and found.targets == (2,)
    whole = deformed2self_data.phantom(Sizes((64, 64), frames=8), 3)
    assert torch.equal(found.clean[2], whole.clean[whole.targets[0]]) and whole.targets == (4,)
    assert 0.01 < float(found.hearts[0].float().mean()) < 0.2


def test_frames_that_are_named(cine: Path) -> None:
    frames = deformed2self_data.read_frames((cine,))
    assert frames.shape == (5, 1, 48, 56) and float(frames.max()) == 1
    assert torch.equal(frames, deformed2self_data.read_frames(tuple(sorted(cine.glob("clean_*")))))
    np.savez(cine / "series.npz", image=frames.numpy(), noise_sd=np.ones((1, 1, 1, 1)))
    torch.testing.assert_close(deformed2self_data.read_frames((cine / "series.npz",)), frames)
    whole = deformed2self_data.cine(frames, Sizes())
    assert whole.clean.shape == frames.shape and whole.targets == (0, 2)
    moving = whole.hearts[0].nonzero().float().mean(0)
    torch.testing.assert_close(moving, torch.tensor([30.0, 20.0]), atol=1.0, rtol=0)
    cut = deformed2self_data.cine(frames, Sizes(crop=24, targets=("middle",)))
    assert cut.clean.shape == (5, 1, 24, 24) and cut.targets == (2,)
    torch.testing.assert_close(cut.hearts[0].nonzero().float().mean(0), torch.tensor([12.0, 12.0]), atol=2.0, rtol=0)


def test_frames_that_cannot_be(cine: Path, tmp_path: Path) -> None:
    one = cine / "clean_0.png"
    for paths, word in (
        ((one, one), "three frames"),
        ((cine, cine / "a.npy"), "a.npy"),
        ((one, cine / "preview.png", one), "one size"),
    ):
        with pytest.raises(InputError, match=word):
            deformed2self_data.read_frames(paths)
    with pytest.raises(InputError, match="moving heart"):
        deformed2self_data.cine(torch.ones(4, 1, 20, 20), Sizes())


def test_the_noise_is_what_it_says_and_one_draw_for_all() -> None:
    clean = Series(torch.full((4, 1, 64, 64), 0.5), (2,), (torch.ones(64, 64, dtype=torch.bool),))
    for noise, sd in ((GAUSS, 0.15), (COUNTS, (0.5 / 20) ** 0.5)):
        found = deformed2self_data.noisy(clean, noise, 0).image
        assert float(found.std()) == pytest.approx(sd, rel=0.05) and float(found.mean()) == pytest.approx(0.5, abs=0.01)
        assert torch.equal(found, deformed2self_data.noisy(clean, noise, 0).image)
        assert not torch.equal(found, deformed2self_data.noisy(clean, noise, 1).image)
    assert float(deformed2self_data.noisy(clean, RICE, 0).image.min()) >= 0


@pytest.mark.parametrize("signal", [0.1, 0.3, 1.0])
def test_counts_through_anscombe_s_transform_keep_their_mean(signal: float) -> None:
    """Its noise has an SD of 1, and the mean of many comes back to the signal."""
    counts = torch.poisson(torch.full((1, 1, 300, 300), 40 * signal), generator=rng()) / 40
    image = SnrImage(counts, torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1), "given")
    values = deformed2self_methods.anscombe(image, 40.0).image
    assert float(values.std()) == pytest.approx(1, abs=0.05)
    back = deformed2self_methods.counted(values.mean(), 40.0)
    assert float(back) == pytest.approx(signal, rel=0.02)
    nothing = deformed2self_methods.anscombe(dataclasses.replace(image, image=torch.zeros(1, 1, 2, 2)), 40.0).image
    assert bool((nothing < 0).all())  # no filter takes it for a magnitude
    assert float(deformed2self_methods.counted(nothing, 40.0).max()) < 1e-3


def given(noise: Noise, clean: Tensor, **more: Any) -> Given:
    found = Series(clean, (2,), (torch.ones(clean.shape[-2:], dtype=torch.bool),))
    return Given(deformed2self_data.noisy(found, noise, 0), noise, (2,), micro().lengths["pincat"], **more)


@dataclasses.dataclass(frozen=True)
class Stub:
    """A peer that is a formula; `seen` says of each image whether it has values below 0."""

    function: Any
    seen: list[bool] = dataclasses.field(default_factory=list)
    name: str = "stub"

    def __call__(self, image: SnrImage) -> SnrImage:
        self.seen.append(bool((image.image < 0).any()))
        return dataclasses.replace(image, image=self.function(image.image))


def test_what_becomes_of_rice_s_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    """A perfect mean of magnitudes: left as it is, and brought to the signal."""
    told = given(RICE, torch.full((5, 1, 40, 40), 0.1))
    mean = Stub(lambda values: values.mean().expand(values.shape).clone())
    monkeypatch.setattr(deformed2self_methods.baselines, "load", lambda name, **_: mean)
    for name in ("dip", "self2self", "noise2void"):
        out = deformed2self_methods.denoised(name, told)
        assert float(out[LEFT].mean()) == pytest.approx(0.155, abs=0.003)
        assert float(out[TAKEN].mean()) == pytest.approx(0.1, abs=0.005)
    assert set(deformed2self_methods.denoised("noisy", told)) == {LEFT}


def test_filters_take_the_noise_for_gaussian_only_where_the_bias_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    same = Stub(lambda values: values)
    monkeypatch.setattr(deformed2self_methods.baselines, "load", lambda name, **_: same)
    told = given(RICE, torch.full((5, 1, 40, 40), 0.5))
    out = deformed2self_methods.denoised("bm3d", told)
    assert same.seen == [False, True]
    torch.testing.assert_close(out[LEFT], told.image.image[[2], 0])
    deformed2self_methods.denoised("bm4d", given(COUNTS, torch.full((5, 1, 40, 40), 0.1)))
    assert same.seen[2:] == [True]


def test_d2s_learns_from_the_nearest_frames_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, tuple[int, ...]]] = []
    train = deformed2self_methods.training.train

    def look(series: Tensor, frames: tuple[int, ...], *more: Any) -> Any:
        seen.append((len(series), frames))
        return train(series, frames, *more)

    monkeypatch.setattr(deformed2self_methods.training, "train", look)
    clean = torch.rand(9, 1, 24, 24, generator=rng())
    told = dataclasses.replace(given(GAUSS, clean), targets=(0, 4))
    out = deformed2self_methods.denoised("d2s", told)[LEFT]
    assert seen == [(5, (0,)), (5, (2,))] and out.shape == (2, 24, 24)
    others = [deformed2self_methods.denoised(name, told)[LEFT] for name in list(deformed2self_methods.ABLATIONS)[1:]]
    assert not any(torch.equal(out, other) for other in others)


def test_figures_of_what_is_known() -> None:
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[8:24, 8:24] = True
    clean = Series(torch.rand(3, 1, 32, 32, generator=rng()), (1,), (inside,))
    off = clean.clean[[1], 0] + torch.where(inside, 0.1, 0.0)
    found = runs.figures(off, clean)
    assert found["roi_psnr"] == pytest.approx(20, abs=1e-4)
    assert found["psnr"] == pytest.approx(20 + 10 * math.log10(4), abs=1e-4) and found["roi_ssim"] < found["ssim"] < 1
    assert runs.figures(clean.clean[[1], 0], clean)["psnr"] == 200


def stub(method: str, source: str, noise: Noise, **psnr: float) -> dict[str, Any]:
    values = {bias: {"psnr": p, "ssim": p / 40, "roi_psnr": p - 1, "roi_ssim": p / 50} for bias, p in psnr.items()}
    name = f"{method}_{source}_{noise.name}"
    return {
        "method": method,
        "source": source,
        "noise": noise.name,
        "name": name,
        "figures": values,
        "cpu_seconds": 2.0,
    }


COLUMNS: list[table1.Column] = [("pincat", GAUSS, LEFT), ("cine", RICE, LEFT), ("cine", RICE, TAKEN)]


def test_checks_compare_like_with_like() -> None:
    found = [
        stub("d2s", "pincat", GAUSS, left=31.0), stub("self2self", "pincat", GAUSS, left=30.0),
        stub("d2s", "cine", RICE, left=24.0, taken=29.0), stub("self2self", "cine", RICE, left=23.5, taken=28.8),
        stub("joint", "cine", RICE, taken=30.0), stub("bm4d", "cine", RICE, left=24.5, taken=30.5),
    ]  # fmt: skip
    said = {check.claim: check for check in table1.checks(COLUMNS, found)}
    better = next(check for claim, check in said.items() if "S2S" in claim)
    assert better.holds and better.by.mean == pytest.approx(0.2) and "all 3 columns" in better.claim
    ours = next(check for claim, check in said.items() if "our default better than BM4D" in claim)
    assert not ours.holds and ours.by.mean == pytest.approx(-0.5) and ours.text().startswith("FAILS")
    assert not any("BM3D" in claim for claim in said)


def test_the_ablations_check() -> None:
    found = [stub("d2s", "pincat", GAUSS, left=31.0), stub("d2s-without-single", "pincat", GAUSS, left=30.0),
             stub("d2s-without-registration", "pincat", GAUSS, left=31.5)]  # fmt: skip
    first, second = table2.checks(COLUMNS[:1], found)
    assert first.holds and "single" in first.claim and not second.holds and second.by.mean == pytest.approx(-0.5)


def test_the_paper_stands_in_the_row_below() -> None:
    made = [runs.Job("d2s", "pincat", Noise("gaussian", 0.25), SIZES, micro().lengths["pincat"], Path("x"))]
    table = table1.table(made, [stub("d2s", "pincat", Noise("gaussian", 0.25), left=29.5)], "tiny")
    rows = {(row[0], row[1]): row[2] for row in table.rows}
    assert rows["D2S, paper()", "ours"] == "29.50 / 0.738" and rows["", "paper's D2S"] == "29.10 / 0.891"
    assert rows["", "paper's VBM4D"] == "28.28 / 0.886" and rows["NLM", "ours"] is None
    assert "PINCAT-like, not the original" in results.markdown(table)
    assert all(len(row) == len(table.columns) for row in table.rows)
    other = table1._paper("D2S", ("cine", RICE, TAKEN)), table1._paper("D2S", ("pincat", Noise("gaussian", 0.1), LEFT))
    assert other == (None, None)


def test_tables_are_made_and_gone_on_with(tmp_path: Path, cine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = [one for one in runs.METHODS if one[0] in ("noisy", "bm3d", "dip", "d2s", "joint")]
    monkeypatch.setattr(runs, "METHODS", quick)
    monkeypatch.setattr(picture, "METHODS", quick)
    absent = deformed2self_methods.baselines.absent
    monkeypatch.setattr(runs.baselines, "absent", lambda p: "bm3d is not installed" if p == "bm3d" else absent(p))
    out, flags = tmp_path / "t", ("--threads", "1", "--device", "cpu", "--data", cine)
    first = done("reproduce", "deformed2self-table1", "-o", out, *flags, "--only", "d2s_pincat")
    assert [path.name for path in (out / "runs").glob("*.json")] == ["d2s_pincat_gaussian-15.json"]
    kept = (out / "runs" / "d2s_pincat_gaussian-15.json").stat().st_mtime_ns
    whole = done("reproduce", "deformed2self-table1", "-o", out, *flags, "--resume")
    assert (out / "runs" / "d2s_pincat_gaussian-15.json").stat().st_mtime_ns == kept
    assert "BM3D has a dash: bm3d is not installed" in whole.out and "31.77 / 0.946" in first.out
    assert "bias taken out" in whole.out and "its middle frame" in whole.out
    assert {"panel_pincat_gaussian-15.png", "panel_cine_rician-10.png", "results.json", "table.md"} <= {
        path.name for path in out.iterdir()
    }
    value = json.loads((out / "results.json").read_text())
    assert len(value["figures"]["runs"]) == 8 and len(value["checks"]) == 1
    monkeypatch.setattr(deformed2self_methods, "denoised", None)  # all is there: nothing more is run
    assert done("reproduce", "deformed2self-table1", "-o", out, *flags, "--resume").out == whole.out
    ablations = run("reproduce", "deformed2self-table2", "-o", out, *flags, "--resume", "--only", "d2s_")
    assert ablations.code == 0 and "27.68 / 0.887" in ablations.out and "w/o image registration | - |" in ablations.out
    monkeypatch.setitem(runs.SCALES, "tiny", lambda: micro(3))
    said = run("reproduce", "deformed2self-table1", "-o", out, *flags, "--resume")
    assert said.code == 2 and "same settings" in said.err


def test_all_methods_run_and_the_ablations_too(tmp_path: Path) -> None:
    options = Options(tmp_path, only=("d2s", "scratch", "noise2void"))
    names = [name for name, _, _ in runs.METHODS]
    made = runs.wanted(micro(), options, [*names, *list(deformed2self_methods.ABLATIONS)[1:]], micro().noises)
    found = kept.done(made, runs.work, options)
    assert len(found) == 5 and all(math.isfinite(one["figures"][LEFT]["roi_ssim"]) for one in found)
    assert {one["source"] for one in found} == {"pincat"}


@pytest.mark.parametrize(
    ("args", "word"),
    [(["--only", "unet"], "noisy_pincat"), (["--data", "{o}/no"], "no file"), (["--data", "{o}"], "PNG frames")],
)
def test_mistakes(tmp_path: Path, args: list[str], word: str) -> None:
    given_args = (arg.replace("{o}", str(tmp_path)) for arg in args)
    said = run("reproduce", "deformed2self-table1", "-o", tmp_path / "t", *given_args)
    assert said.code == 2 and word in said.err and said.err.count("\n") == 1, said.err


def test_the_real_cine(shared_data: Any) -> None:
    frames = deformed2self_data.read_frames((shared_data("cine_10frames"),))
    assert frames.shape == (10, 1, 224, 224)
    found = deformed2self_data.cine(frames, Sizes(crop=128, targets=("first", "middle")))
    assert found.clean.shape == (10, 1, 128, 128) and found.targets == (0, 5)
    share = float(found.hearts[0].float().mean())
    assert 0.08 < share < 0.2
    middle = found.hearts[0].nonzero().float().mean(0)
    torch.testing.assert_close(middle, torch.full((2,), 64.0), atol=2.0, rtol=0)
