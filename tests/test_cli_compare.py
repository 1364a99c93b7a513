"""`clearmr compare`: denoisers side by side, and what becomes of those that cannot be run."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

import compare_jobs
from clearmr import baselines, evaluate, road
from clearmr.cli import compare_entrants, compare_judge, compare_run
from clearmr.cli.compare_entrants import Entrant
from clearmr.cli.compare_run import Ended, Given
from clearmr.errors import InputError
from clearmr.methods import METHODS
from clearmr.scan import SnrImage
from cli_runs import done, refused, run

SHAPE = (2, 1, 40, 36)
SD = 0.1


def clean_image(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Two smooth tissues."""
    y, x = np.meshgrid(np.linspace(-1, 1, shape[2]), np.linspace(-1, 1, shape[3]), indexing="ij")
    plane = 1.0 + 0.5 * np.sin(3 * x) * np.cos(2 * y)
    return np.broadcast_to(plane, shape).astype(np.float32).copy()


def saved(path: Path, image: np.ndarray, **more: Any) -> Path:
    np.savez(path, image=image, **more)
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A noisy image of known noise, and the clean one."""
    rng, clean = np.random.default_rng(0), clean_image()
    noisy = (clean + SD * rng.normal(size=SHAPE)).astype(np.float32)
    level = np.full((1, 1, 1, 1), SD, np.float32)
    return saved(tmp_path / "noisy.npz", noisy, noise_sd=level), saved(tmp_path / "clean.npz", clean)


@dataclasses.dataclass(frozen=True)
class Smooth:
    """Means over `size` x `size` pixels."""

    name: str = "smooth"
    size: int = 3

    def __call__(self, image: SnrImage) -> SnrImage:
        parts = [image.image.real, image.image.imag] if image.is_complex else [image.image]
        padded = [torch.nn.functional.pad(part, (self.size // 2,) * 4, mode="replicate") for part in parts]
        smooth = [torch.nn.functional.avg_pool2d(part, self.size, stride=1) for part in padded]
        means = torch.complex(*smooth) if image.is_complex else smooth[0]
        step = {"name": "denoise", "method": self.name}
        return dataclasses.replace(image, image=means, meta={**image.meta, "steps": [step], "warnings": ["smoothed"]})


@dataclasses.dataclass(frozen=True)
class OfRepeats:
    """Takes each repeat of the input."""

    name: str = "repeats"

    def __call__(self, image: SnrImage) -> SnrImage:
        raise InputError("at least two repeats", "one", "give more")

    def of_repeats(self, images: Sequence[SnrImage], *, mask: Any = None) -> Any:
        @dataclasses.dataclass(frozen=True)
        class Outcome:
            average: SnrImage

        return Outcome(Smooth()(road.average(images)))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who was run, in order; in this process, and `smooth` denoisers of several widths in place of all."""
    names: list[str] = []
    sizes = {"bm4d": 3, "nlm": 5, "snraware": 7}

    def denoiser(method: str, **_: Any) -> Any:
        if method == "asm":
            raise InputError("a series", "one frame", "give more, or a --model")
        return OfRepeats() if method == "mppca" else Smooth(method, sizes.get(method, 3))

    def here(work: Any, given: Given, entrant: Entrant, out: Path, progress: Any, *, limit: float | None) -> Ended:
        names.append(entrant.name)
        if entrant.name == "bm3d":
            return Ended(None, "failed: RuntimeError: bad luck")
        try:
            return Ended(work(given, entrant, out, progress))
        except InputError as error:
            return Ended(None, str(error))

    monkeypatch.setattr(road, "denoiser", denoiser)
    monkeypatch.setattr(compare_run, "apart", here)
    monkeypatch.setattr(baselines, "absent", lambda package: "")  # none is called, so none need be installed
    return names


def rows_of(folder: Path) -> dict[str, Any]:
    return {row["name"]: row for row in json.loads((folder / "compare.json").read_text())["rows"]}


def order_of(table: str) -> list[str]:
    """Names of the table's rows."""
    return [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")][2:]


def test_a_table_a_page_a_json_and_every_image(tmp_path: Path, files: tuple[Path, Path], ran: list[str]) -> None:
    noisy, clean = files
    names = [flag for name in ("bm4d", "nlm", "asm", "bm3d") for flag in ("--method", name)]
    said = done("compare", noisy, "-o", tmp_path / "c", "--reference", clean, *names)
    assert ran == ["bm4d", "nlm", "asm", "bm3d"]  # two faults stopped nobody
    rows = rows_of(tmp_path / "c")
    assert list(rows) == ["noisy", "bm4d", "nlm"]
    truth = np.load(clean)["image"]
    for name, row in rows.items():
        image = np.load(tmp_path / "c" / row["file"])["image"]
        figures = evaluate.evaluate(truth, image)
        assert row["psnr"] == pytest.approx(figures["psnr"]) and row["ssim"] == pytest.approx(figures["ssim"])
        assert row["nrmse"] == pytest.approx(figures["nrmse"])
        if name != "noisy":
            removed = (np.load(noisy)["image"] - image) / SD
            assert row["removed_sd"] == pytest.approx(removed.std(), rel=1e-4)
            assert row["seconds"] > 0 and row["memory_gb"] > 0.05 and row["verdict"] in ("pass", "caution", "fail")
            assert row["verdict"] == row["trust"][0]["verdict"] and row["pure_noise"] > 0
    assert rows["bm4d"]["psnr"] > rows["noisy"]["psnr"] + 5
    lines, order = said.out.splitlines(), order_of(said.out)
    assert order == ["noisy", *sorted(["bm4d", "nlm"], key=lambda name: -rows[name]["psnr"])]
    assert f"**{max(rows[name]['psnr'] for name in order):.2f}**" in said.out
    assert "* asm left out: expected a series; found one frame; give more, or a --also asm=MODEL" in lines
    assert "* bm3d left out: failed: RuntimeError: bad luck" in lines and "* bm4d: smoothed" in lines
    assert (tmp_path / "c" / "table.md").read_text() == said.out
    assert (tmp_path / "c" / "compare.html").read_text().startswith("<!doctype html>")
    value = json.loads((tmp_path / "c" / "compare.json").read_text())
    assert set(value["left_out"]) == {"asm", "bm3d"} and value["provenance"]["machine"]["cores"]


def test_what_nobody_named_and_lasts_is_left_out(files: tuple[Path, Path]) -> None:
    entrants, left = compare_entrants.of_methods([], ["noise2void"], budget_s=60.0)
    names = [entrant.name for entrant in entrants]
    assert {"bm4d", "nlm", *(name.replace("_", "-") for name in METHODS)} <= set(names)
    assert "noise2void" in names and "dip" not in names and "--also dip" in left["dip"] and "noise2void" not in left
    assert {e.name: e.budget_s for e in entrants}["deformed2self"] == 60.0
    everyone, none = compare_entrants.of_methods(["all"], [], budget_s=60.0)
    assert {"dip", "self2self", "noise2void", "bm4d"} <= {entrant.name for entrant in everyone} and not none
    (given,), _ = compare_entrants.of_methods(["mr_self_noise2noise=a/run.safetensors"], [], budget_s=60.0)
    assert (given.name, given.model) == ("mr-self-noise2noise run", "a/run.safetensors")
    assert given.stem == "mr-self-noise2noise-run"


def test_who_is_done_is_not_run_again(tmp_path: Path, files: tuple[Path, Path], ran: list[str]) -> None:
    noisy, clean = files
    begin = ("compare", noisy, "-o", tmp_path / "c")
    done(*begin, "--method", "bm4d")
    assert "psnr" not in rows_of(tmp_path / "c")["bm4d"]
    done(*begin, "--method", "bm4d", "--method", "nlm", "--resume")
    assert ran == ["bm4d", "nlm"] and list(rows_of(tmp_path / "c")) == ["noisy", "bm4d", "nlm"]
    done(*begin, "--method", "snraware", "--resume")
    assert ran[2:] == ["snraware"] and list(rows_of(tmp_path / "c")) == ["noisy", "snraware", "bm4d", "nlm"]
    (tmp_path / "c" / "images" / "nlm.npz").unlink()
    done(*begin, "--method", "nlm", "--resume")
    assert ran[3:] == ["nlm"]
    done(*begin, "--method", "deformed2self", "--budget", "2m", "--resume")
    done(*begin, "--method", "deformed2self", "--budget", "3m", "--resume")
    assert ran[4:] == ["deformed2self", "deformed2self"]  # another budget is another question
    for other in (("--reference", clean), ("--seed", "1"), ("--noise-sd", "0.2")):
        assert "--resume" in refused(tmp_path, *begin, "--method", "nlm", "--resume", *other)
    assert ran[6:] == []


def test_images_of_other_tools(tmp_path: Path, files: tuple[Path, Path], ran: list[str]) -> None:
    noisy, clean = files
    other = saved(tmp_path / "other.npz", clean_image())
    scaled = saved(tmp_path / "scaled.npz", 3 * clean_image())
    small = saved(tmp_path / "small.npz", clean_image((2, 1, 30, 36)))
    flags = [
        flag for name, p in (("a b", other), ("x3", scaled), ("cut", small)) for flag in ("--image", f"{name}={p}")
    ]
    said = done("compare", noisy, "-o", tmp_path / "c", "--reference", clean, "--method", "bm4d", *flags)
    rows = rows_of(tmp_path / "c")
    assert list(rows) == ["noisy", "bm4d", "a b", "x3"] and rows["a b"]["psnr"] is None  # it is the reference
    assert rows["a b"]["removed_sd"] == pytest.approx(1.0, abs=0.05) and rows["a b"].get("seconds") is None
    assert "* x3: x3 has about 3 times the signal of the input: is it in the same unit?" in said.out
    assert order_of(said.out) == ["noisy", "a b", "bm4d", "x3"] and "| **inf** |" in said.out
    assert "* cut left out: expected an image of the noisy image's shape (2, 1, 40, 36)" in said.out
    assert (tmp_path / "c" / "images" / "a-b.npz").exists()


def test_complex_input_beside_a_magnitude(tmp_path: Path, ran: list[str]) -> None:
    rng, clean = np.random.default_rng(0), clean_image()
    noise = SD * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE))
    noisy = saved(tmp_path / "n.npz", (clean + noise).astype(np.complex64), noise_sd=np.full((1, 1, 1, 1), SD))
    image = saved(tmp_path / "m.npz", clean)
    done("compare", noisy, "-o", tmp_path / "c", "--method", "bm4d", "--image", f"m={image}")
    rows = rows_of(tmp_path / "c")
    assert rows["m"]["removed_sd"] == pytest.approx(1.0, abs=0.05)
    assert np.load(tmp_path / "c" / "images" / "bm4d.npz")["image"].dtype == np.complex64


def test_repeats_are_averaged_or_given_one_by_one(tmp_path: Path, files: tuple[Path, Path], ran: list[str]) -> None:
    noisy, clean = files
    rng = np.random.default_rng(1)
    level = np.full((1, 1, 1, 1), SD, np.float32)
    again = saved(
        tmp_path / "again.npz", (clean_image() + SD * rng.normal(size=SHAPE)).astype(np.float32), noise_sd=level
    )
    methods = ("--method", "mppca", "--method", "bm4d")
    done("compare", noisy, again, "-o", tmp_path / "c", "--reference", clean, *methods)
    rows = rows_of(tmp_path / "c")
    images = {name: np.load(tmp_path / "c" / row["file"])["image"] for name, row in rows.items()}
    np.testing.assert_allclose(images["noisy"], (np.load(noisy)["image"] + np.load(again)["image"]) / 2, rtol=1e-5)
    np.testing.assert_allclose(images["mppca"], images["bm4d"], rtol=1e-5)
    assert np.load(tmp_path / "c" / "input.npz")["noise_sd"].item() == pytest.approx(SD / 2**0.5)
    alone = run("compare", noisy, "-o", tmp_path / "d", "--method", "mppca", "--method", "bm4d")
    assert alone.code == 0 and "* mppca left out: expected at least two repeats" in alone.out


def test_nifti_keeps_its_header(tmp_path: Path, ran: list[str]) -> None:
    affine = np.diag([2.0, 1.5, 3.0, 1.0])
    values = np.random.default_rng(0).normal(2, SD, (36, 40, 5)).astype(np.float32)
    nibabel.Nifti1Image(values, affine).to_filename(tmp_path / "t.nii.gz")
    done("compare", tmp_path / "t.nii.gz", "-o", tmp_path / "c", "--noise-sd", "0.1", "--method", "bm4d")
    names = [path.name for path in (tmp_path / "c" / "images").iterdir()]
    assert "bm4d.nii.gz" in names and not [name for name in names if name.endswith(("sd.nii.gz", "gmap.nii.gz", "npz"))]
    back = nibabel.load(tmp_path / "c" / "images" / "bm4d.nii.gz")
    assert back.shape == (36, 40, 5)  # type: ignore[attr-defined]
    np.testing.assert_allclose(back.affine, affine)  # type: ignore[attr-defined]


def test_quick_runs_no_denoiser_again(tmp_path: Path, files: tuple[Path, Path], ran: list[str]) -> None:
    done("compare", files[0], "-o", tmp_path / "c", "--method", "bm4d", "--quick")
    row = rows_of(tmp_path / "c")["bm4d"]
    assert row["pure_noise"] is None and row["lesion"] is None and row["edges"] > 0
    assert {check["verdict"] for check in row["trust"] if check["name"] == "pure_noise"} == {"not run"}


def test_in_a_mask(tmp_path: Path, files: tuple[Path, Path], ran: list[str]) -> None:
    noisy, clean = files
    inside = np.zeros((1, 1, 40, 36), np.float32)
    inside[..., 8:30, 8:30] = 1
    mask = saved(tmp_path / "mask.npz", inside)
    done("compare", noisy, "-o", tmp_path / "c", "--reference", clean, "--mask", mask, "--method", "bm4d")
    found = rows_of(tmp_path / "c")["noisy"]
    wanted = evaluate.evaluate(np.load(clean)["image"], np.load(noisy)["image"], inside)
    assert found["psnr"] == pytest.approx(wanted["psnr"])


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["{n}", "-o", "{o}", "--method", "median"], "bm4d"),
        (["{n}", "-o", "{o}", "--method", "bm4d", "--method", "bm4d"], "twice"),
        (["{n}", "-o", "{o}", "--image", "fsl.nii.gz"], "NAME=FILE"),
        (["{n}", "-o", "{o}", "--image", "fsl=none.nii.gz"], "none.nii.gz"),
        (["{n}", "-o", "{o}", "--image", "noisy={n}"], "noisy twice"),
        (["{n}", "-o", "{o}", "--format", "png"], "--format"),
        (["{n}", "-o", "{o}", "--budget", "soon"], "soon"),
        (["{n}", "-o", "{o}", "--timeout", "0s"], "--timeout"),
        (["{n}", "-o", "{o}", "--mask", "{n}"], "--reference"),
        (["{n}", "-o", "{o}", "--reference", "{s}"], "shape"),
        (["{n}", "-o", "{o}", "--reference", "none.npz"], "none.npz"),
        (["{n}", "{s}", "-o", "{o}"], "repeats"),
        (["none.npz", "-o", "{o}"], "none.npz"),
        (["{n}", "-o", "{d}"], "new folder"),
        (["{n}", "-o", "{d}", "--resume"], "clearmr compare"),
        (["{n}", "-o", "{o}", "--resume"], "without --resume"),
        (["{n}", "-o", "{o}/no/c"], "no folder"),
    ],
)
def test_mistakes(tmp_path: Path, files: tuple[Path, Path], ran: list[str], args: list[str], word: str) -> None:
    names = {"n": files[0], "o": tmp_path / "c", "d": tmp_path / "d"}
    names["s"] = saved(tmp_path / "small.npz", clean_image((2, 1, 30, 36)))
    names["d"].mkdir()
    (names["d"] / "a.txt").write_text("mine")
    assert word in refused(tmp_path, "compare", *(arg.format(**names) for arg in args))
    assert ran == []


def test_nobody_left(tmp_path: Path, files: tuple[Path, Path], ran: list[str]) -> None:
    said = run("compare", files[0], "-o", tmp_path / "c", "--method", "asm")
    assert said.code == 2 and "a denoiser that can be run" in said.err and said.out == ""


GIVEN, ONE = Given(Path("input.npz"), seed=7), Entrant("one", "bm4d")


def test_a_process_of_its_own(tmp_path: Path) -> None:
    told: list[Any] = []

    def progress(*args: Any, **info: Any) -> None:
        told.append((args, info))

    ended = compare_run.apart(compare_jobs.works, GIVEN, ONE, tmp_path / "a.npz", progress, limit=60.0)
    assert ended.figures and ended.figures["pid"] != os.getpid() and ended.figures["seed"] == 7
    assert told == [((1, 2), {"loss": 0.5}), ((2, 2), {"loss": 0.25})]
    assert list(tmp_path.iterdir()) == []  # what it printed is gone with it


def test_no_fault_stops_the_others(tmp_path: Path) -> None:
    def ended(work: Any, limit: float | None = 60.0) -> str:
        found = compare_run.apart(work, GIVEN, ONE, tmp_path / "a.npz", lambda *_, **__: None, limit=limit)
        assert found.figures is None
        return found.reason

    assert ended(compare_jobs.refuses) == "expected a series; found a single frame; give more"
    assert "process died (exit code -9)" in ended(compare_jobs.dies)
    assert "--timeout" in ended(compare_jobs.sleeps, 1.0) and list(tmp_path.iterdir()) == []
    assert "failed: ZeroDivisionError" in ended(compare_jobs.breaks)
    assert "in breaks" in (tmp_path / "a.npz.log").read_text()


def test_a_peer_for_real(tmp_path: Path, files: tuple[Path, Path]) -> None:
    pytest.importorskip("dipy")
    said = done("compare", files[0], "-o", tmp_path / "c", "--reference", files[1], "--method", "nlm", "--threads", "1")
    row = rows_of(tmp_path / "c")["nlm"]
    assert row["psnr"] > rows_of(tmp_path / "c")["noisy"]["psnr"] + 3 and 0.1 < row["memory_gb"] < 3
    assert row["step"]["method"] == "nlm" and "nlm" in said.out


def test_of_another_unit() -> None:
    one = torch.ones(1, 1, 1, 1)
    a, b = (SnrImage(value * torch.ones(1, 1, 8, 8), one, one, "given") for value in (1.0, 2.0))
    assert "about 2 times" in compare_judge.unit_note(a, b, "it") and not compare_judge.unit_note(a, a, "it")
