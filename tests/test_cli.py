"""The command line as a whole: fast help, examples that parse, each command end to end, what goes to which stream."""

import io
import json
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import clearmr
from clearmr.cli import COMMANDS, GROUPS, app, common
from clearmr.report import Results
from cli_runs import done, halving_model, raw_file, scan, tiny_model

EXAMPLES = [c.EXAMPLE for c in COMMANDS] + [e for group in GROUPS.values() for e in group.EXAMPLES.values()]
COMMAND_PATHS = [[command.NAME] for command in COMMANDS] + [[g, name] for g in GROUPS for name in GROUPS[g].EXAMPLES]


def test_help_is_fast_and_loads_no_torch() -> None:
    code = "import sys; from clearmr.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    helps, library = ([processor_seconds(each) for _ in range(3)] for each in (code, "import typer, rich.console"))
    assert min(helps) < max(0.5, 8 * min(library))  # on a slow machine beside what it is made with


def processor_seconds(code: str) -> float:
    """Not of the wall: the machine may be busy."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert found.returncode == 0, found.stderr
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def test_help_of_every_command_loads_no_torch() -> None:
    code = f"""
import sys
from clearmr.cli import main
for path in {COMMAND_PATHS!r}:
    assert main([*path, "--help"]) == 0
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("program", [[sys.executable, "-m", "clearmr"], [str(Path(sys.executable).parent / "clearmr")]])
def test_both_programs(program: list[str]) -> None:
    if not Path(program[0]).exists():
        pytest.skip("the package is not installed here")
    found = subprocess.run([*program, "--version"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, f"clearmr {clearmr.__version__}\n")
    assert subprocess.run([*program, "fly"], capture_output=True, check=False).returncode == 2


@pytest.mark.parametrize(("path", "example"), list(zip(COMMAND_PATHS, EXAMPLES, strict=True)), ids=EXAMPLES)
def test_every_example_parses_and_is_in_the_help(
    path: list[str], example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *args = shlex.split(example)
    assert program == "clearmr" and args[: len(path)] == path
    command: Any = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]
    command.make_context(example, args[len(path) :])  # raises where an option or a value is wrong
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    help_text = done(*path, "--help").out
    assert example in " ".join(help_text.split())


def test_no_command_is_help() -> None:
    assert "simulate" in done().out


def test_the_walk_from_k_space_to_the_page(tmp_path: Path) -> None:
    """simulate -> recon -> denoise -> report -> evaluate, with what each must leave behind."""
    raw, truth = tmp_path / "cine.h5", tmp_path / "truth.npz"
    size = ("--matrix", "40", "--frames", "3", "--coils", "4", "--acceleration", "2", "--acs", "16")
    done("simulate", "cine", "-o", raw, "--truth", truth, *size)
    done("recon", raw, "-o", tmp_path / "noisy.npz")
    done("denoise", tmp_path / "noisy.npz", "-o", tmp_path / "clean.npz", "--model", tiny_model(), "--report")
    done("report", tmp_path / "clean_results", "-o", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page == (tmp_path / "clean_report.html").read_text()
    assert "receiver noise bandwidth ratio 0.793" in page and "noise samples per coil" in page
    results = Results.load(tmp_path / "clean_results")
    assert results.method == "snraware" and results.noise_source == "measured" and results.model["name"] == "random"
    names = [step["name"] for step in results.steps]
    assert names[0] == "prewhiten" and names[-1] == "denoise"
    assert results.noisy.shape == (3, 1, 40, 40) == np.load(truth)["image"].shape
    assert {"mean", "sd", "kurtosis", "histogram", "by_gmap"} <= set(results.statistics)
    assert {"before", "after", "noise_left", "note"} <= set(results.snr)
    provenance = results.provenance
    assert provenance["version"] == clearmr.__version__ and len(provenance["input_sha256"]) == 64
    assert provenance["model"]["sha256"] == json.loads(tiny_model().with_suffix(".json").read_text())["sha256"]
    assert {"seed", "noise_source", "command", "date"} <= set(provenance)
    judged = json.loads(done("evaluate", "--reference", truth, "--test", tmp_path / "clean.npz").out)
    assert {"psnr", "ssim", "nrmse", "mean_signal_ratio"} <= set(judged)


def test_the_results_are_what_was_denoised(tmp_path: Path) -> None:
    done("denoise", raw_file(tmp_path / "a.h5"), "-o", tmp_path / "o.npz", "--model", tiny_model(), "--report")
    results = Results.load(tmp_path / "o_results")
    saved = np.load(tmp_path / "o.npz")
    np.testing.assert_array_equal(results.denoised, saved["image"])
    np.testing.assert_array_equal(results.noise_sd, saved["noise_sd"])
    z = (results.noisy - results.denoised) / results.noise_sd
    assert results.statistics["sd"] == pytest.approx(np.concatenate([z.real, z.imag]).std(), rel=1e-4)


def test_recon_writes_all_gmaps(tmp_path: Path) -> None:
    found = done("recon", raw_file(tmp_path / "a.h5"), "-o", tmp_path / "i.npz", "--all-gmaps", tmp_path / "g.npz")
    maps = np.load(tmp_path / "g.npz")
    assert "R2" in maps and maps["R2"].shape == (1, 40, 32)
    np.testing.assert_allclose(maps["R2"], np.load(tmp_path / "i.npz")["gmap"][0], rtol=1e-4)
    told = {f"R = {r}:" for r in range(2, 9) if f"R{r}" not in maps}
    assert all(word in found.err for word in told)


@pytest.mark.parametrize("ending", ["npz", "nii.gz", "h5"])
def test_recon_says_where_the_noise_comes_from_in_every_format(tmp_path: Path, ending: str) -> None:
    raw, out = raw_file(tmp_path / "raw.h5"), tmp_path / f"o.{ending}"
    done("recon", raw, "-o", out, "--complex")
    from clearmr import formats
    from clearmr.scan import SnrImage

    image = formats.load(out)
    assert isinstance(image, SnrImage)
    assert image.noise_source == "measured" and image.is_complex
    assert image.meta["provenance"]["noise_source"] == "measured" and image.meta["provenance"]["input"] == [str(raw)]
    assert image.meta["steps"][0]["scale"] > 0


@pytest.mark.parametrize("command", ["recon", "denoise", "snr"])
def test_json_is_one_object_on_stdout(tmp_path: Path, command: str) -> None:
    model = () if command == "recon" else ("--model", tiny_model())
    extra = ("--replicas", "2") if command == "snr" else ()
    found = done(command, raw_file(tmp_path / "a.h5"), "-o", tmp_path / "o.npz", "--json", *model, *extra)
    value = json.loads(found.out)
    assert isinstance(value, dict) and value["written"] == [str(tmp_path / "o.npz")] and "warnings" in value


@pytest.mark.parametrize("command", ["recon", "denoise", "snr"])
def test_quiet_is_silent_also_where_there_are_warnings(tmp_path: Path, command: str) -> None:
    from dataclasses import replace

    raw = raw_file(tmp_path / "a.h5", replace(scan(), noise=None))
    args = ["--estimate-noise", *([] if command == "recon" else ["--model", tiny_model()])]
    args += ["--replicas", "2"] if command == "snr" else []
    loud = done(command, raw, "-o", tmp_path / "loud.npz", *args)
    quiet = done(command, raw, "-o", tmp_path / "quiet.npz", *args, "--quiet")
    assert "warning: the noise level was estimated" in loud.err and "warning" not in loud.out
    assert quiet.err == "" and (command == "snr" or quiet.out == "")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "quiet", "drawn"),
    [(Terminal, False, True), (Terminal, True, False), (io.StringIO, False, False)],
)
def test_progress_bars_are_for_terminals(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], quiet: bool, drawn: bool
) -> None:
    monkeypatch.setattr(sys, "stderr", stream())
    with common.progress_bar("reading", quiet=quiet) as progress:
        progress(1, 2, loss=0.5)
    assert ("reading" in sys.stderr.getvalue()) == drawn  # type: ignore[attr-defined]


def test_json_holds_no_nan() -> None:
    assert json.loads(common.as_json({"a": float("nan"), "b": [np.float32(1), np.inf], "c": Path("x")})) == {
        "a": None, "b": [1.0, None], "c": "x",
    }  # fmt: skip


def test_evaluate_takes_several_images_and_writes_json(tmp_path: Path) -> None:
    done("simulate", "phantom", "-o", tmp_path / "p.h5", "--matrix", "32", "--truth", tmp_path / "t.npz")
    truth, out = tmp_path / "t.npz", tmp_path / "e.json"
    found = done("evaluate", "--reference", truth, "--test", truth, truth, "--mask", truth, "--json", out)
    assert found.out == ""
    value = json.loads(out.read_text())
    assert len(value["results"]) == 2 and value["results"][0]["nrmse"] == 0 and value["results"][0]["psnr"] is None


def test_models_are_listed_and_shown() -> None:
    rows = json.loads(done("models", "list", "--json").out)
    assert isinstance(rows, list)
    for row in rows:
        assert {"name", "parameters", "bundled"} <= set(row) and row["parameters"] > 0
    for row in (row for row in rows if row["bundled"]):
        assert row["name"] in done("models", "list").out
        assert json.loads(done("models", "show", row["name"]).out)["card"]["sha256"]


def test_the_demo_walks_the_road_on_a_raw_file(tmp_path: Path) -> None:
    from dataclasses import replace

    raw = raw_file(tmp_path / "a.h5", replace(scan(), noise=None))
    found = done("demo", "--raw", raw, "-o", tmp_path / "demo", "--model", tiny_model())
    assert {p.name for p in (tmp_path / "demo").iterdir()} == {
        "noisy.npz", "denoised.npz", "results", "panel.png", "report.html",
    }  # fmt: skip
    assert "noise estimated" in found.err and "warning: the noise level was estimated" in found.err
    assert "ESTIMATE" in (tmp_path / "demo" / "report.html").read_text()
    done("demo", "--raw", raw, "-o", tmp_path / "demo", "--model", tiny_model(), "--force")


def test_the_demo_simulates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clearmr.cli import demo

    small = {"matrix": (1, 40, 40), "n_frames": 2, "n_coils": 4, "acceleration": 2, "snr": 20.0, "acs": 16}
    monkeypatch.setattr(demo, "SCENE", small)
    found = done("demo", "-o", tmp_path / "demo", "--model", tiny_model())
    assert "signal known  PSNR" in found.err and "report.html" in found.err
    results = Results.load(tmp_path / "demo" / "results")
    assert results.reference is not None
    z = (results.noisy - results.reference) / results.noise_sd  # the noise, and nothing else
    assert abs(z.mean()) < 0.05 and z.real.std() == pytest.approx(1, abs=0.05) == z.imag.std()
    assert results.metrics["noisy"]["psnr"] > 0
    assert (tmp_path / "demo" / "cine.h5").is_file()


def test_snr_of_a_scan_agrees_with_what_is_promised(tmp_path: Path) -> None:
    raw, out = raw_file(tmp_path / "a.h5"), tmp_path / "s.npz"
    found = done("snr", raw, "-o", out, "--replicas", "48", "--model", halving_model(), "--refine", "0")
    maps = np.load(tmp_path / "s.npz")
    done("recon", tmp_path / "a.h5", "-o", tmp_path / "i.npz")
    image = np.load(tmp_path / "i.npz")
    ratio = maps["noise_sd_before"] / image["noise_sd"]
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert ratio.std() < 1.2 * 0.5 / 47**0.5
    bright = np.abs(image["image"]) > 10 * image["noise_sd"]
    snr = np.abs(image["image"]) / image["noise_sd"]
    np.testing.assert_allclose(maps["snr_before"][bright], snr[bright], rtol=0.45)
    left = maps["noise_sd_after"] / maps["noise_sd_before"]
    assert np.median(left) == pytest.approx(0.5, abs=0.03)  # half, and a little more for the kept centre of k-space
    np.testing.assert_allclose(maps["snr_after"], maps["mean_after"] / maps["noise_sd_after"], rtol=1e-3)
    medians = json.loads(str(maps["meta"]))["median_over_object"]
    assert f"{medians['snr_before']:.2f} before" in found.out


def test_snr_of_a_magnitude_image(tmp_path: Path) -> None:
    image = np.full((1, 1, 24, 24), 50, np.float32)
    np.savez(tmp_path / "i.npz", image=image, noise_sd=np.full((1, 1, 1, 1), 2.0))
    done("snr", tmp_path / "i.npz", "-o", tmp_path / "s.npz", "--replicas", "32", "--model", tiny_model())
    assert np.load(tmp_path / "s.npz")["snr_before"].mean() == pytest.approx(25, rel=0.03)
