"""`clearmr denoise`: how much, along what, in how much memory, with which model; wrong values in one line."""

import inspect
import json
import re
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer

from clearmr import denoisers, formats
from clearmr.cli import app, denoise
from clearmr.errors import InputError
from clearmr.methods.snraware import cards, inference
from clearmr.methods.snraware.config import NetConfig
from clearmr.methods.snraware.model import build
from clearmr.scan import SnrImage
from cli_runs import done, halving_model, refused

HALF = ("--model", halving_model())


def snr_image(path: Path, **more: Any) -> np.ndarray:
    """An .npz in SNR units, and its image."""
    rng = np.random.default_rng(1)
    image = 20 + rng.normal(size=(2, 1, 24, 20)) + 1j * rng.normal(size=(2, 1, 24, 20))
    np.savez(path, **{"image": image.astype(np.complex64), "noise_sd": np.ones((1, 1, 1, 1)), **more})
    return image.astype(np.complex64)


def magnitude_model(path: Path) -> Path:
    """A network for magnitude images, of random weights."""
    torch.manual_seed(0)
    net = NetConfig(channels=(4, 8), cells=1, image="magnitude")
    cards.save(inference.SnrAware(build(net), path.stem, {"net": asdict(net)}), path, {"licence": "MIT"})
    return path


def load(path: Path) -> SnrImage:
    image = formats.load(path)
    assert isinstance(image, SnrImage)
    return image


def test_strength_along_batch_and_precision(tmp_path: Path) -> None:
    image = snr_image(tmp_path / "a.npz")
    exact = (*HALF, "--precision", "float32", "--refine", "0")
    done("denoise", tmp_path / "a.npz", "-o", tmp_path / "full.npz", *exact)
    more = ("--strength", "0.25", "--along", "none", "--batch", "2")
    found = done("denoise", tmp_path / "a.npz", "-o", tmp_path / "part.npz", *exact, *more)
    full, part = load(tmp_path / "full.npz"), load(tmp_path / "part.npz")
    np.testing.assert_allclose(part.image, image + 0.25 * (full.image.numpy() - image), rtol=1e-5)
    step = part.meta["steps"][-1]
    assert [step[k] for k in ("strength", "along", "batch", "tiles")] == [0.25, "none", 2, 1]
    assert step["device"] == "cpu" and "at strength 0.25" in found.err
    done("denoise", tmp_path / "a.npz", "-o", tmp_path / "none.npz", *HALF, "--strength", "0", "--quiet")
    np.testing.assert_array_equal(load(tmp_path / "none.npz").image, image)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--strength", "2"], "--strength from 0 to 1; found 2"),
        (["--strength", "much"], "--strength"),
        (["--along", "sideways"], "--along auto, time, depth, volume, none; found sideways"),
        (["--batch", "0"], "--batch of 1 or more"),
        (["--precision", "fp8"], "--precision auto, float32, bf16; found fp8"),
        (["--memory", "4 apples"], "--memory as a size; found 4 apples; write for example 4G"),
        (["--memory", "100M"], "GB of memory for the network"),
        (["--model", "."], "one model and its card"),
    ],
)
def test_values_that_cannot_be_are_said_in_one_line(tmp_path: Path, options: list[str], said: str) -> None:
    snr_image(tmp_path / "a.npz")
    options = [str(tmp_path) if option == "." else option for option in options]
    assert said in refused(tmp_path, "denoise", tmp_path / "a.npz", "-o", tmp_path / "b.npz", *options)


def test_a_magnitude_model_refuses_a_complex_image_and_takes_its_magnitude(tmp_path: Path) -> None:
    model = magnitude_model(tmp_path / "mag.safetensors")
    image = snr_image(tmp_path / "a.npz")
    snr_image(tmp_path / "m.npz", image=np.abs(image))
    line = refused(tmp_path, "denoise", tmp_path / "a.npz", "-o", tmp_path / "b.npz", "--model", model)
    assert "magnitude image for the model mag; found a complex image" in line
    done("denoise", tmp_path / "m.npz", "-o", tmp_path / "b.npz", "--model", model)
    clean = load(tmp_path / "b.npz").image
    assert not clean.is_complex() and float((clean - torch.from_numpy(np.abs(image))).abs().mean()) > 0


def test_the_default_memory_is_the_same_on_both_doors() -> None:
    default = inspect.signature(denoise.run).parameters["memory"].default
    assert denoisers.bytes_of(default) == denoisers.bytes_of(denoisers.MEMORY)


def test_json_says_how_it_was_done(tmp_path: Path) -> None:
    snr_image(tmp_path / "a.npz")
    told = json.loads(done("denoise", tmp_path / "a.npz", "-o", tmp_path / "b.npz", *HALF, "--json").out)
    assert (told["device"], told["tiles"], told["strength"]) == ("cpu", 1, 1.0)
    assert told["precision"] in ("bf16", "float32")


def test_the_examples_of_the_help_parse() -> None:
    text = " ".join((denoise.run.__doc__ or "").split())
    examples = re.findall(r"\[b\]clearmr denoise (.*?)\[/b\]", text)
    assert len(examples) == text.count("[b]clearmr denoise") >= 5
    command: Any = typer.main.get_command(app)
    for example in examples:
        command.commands["denoise"].make_context("denoise", shlex.split(example))


def test_refine_is_told_of_and_refused_by_others(tmp_path: Path) -> None:
    snr_image(tmp_path / "a.npz")
    for rounds in (0, 1):
        more = ("--refine", rounds, "--along", "none", *HALF)
        done("denoise", tmp_path / "a.npz", "-o", tmp_path / f"{rounds}.npz", *more)
        assert load(tmp_path / f"{rounds}.npz").meta["steps"][-1]["refined"] == rounds
    assert not np.allclose(load(tmp_path / "0.npz").image, load(tmp_path / "1.npz").image)
    with pytest.raises(InputError, match="--refine"):
        denoisers.denoiser("nlm", refine=1)
    with pytest.raises(InputError, match="--method snraware with --refine"):
        denoisers.denoiser("deformed2self", model="scratch", refine=1)
