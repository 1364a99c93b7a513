"""The command line run in this process; small scans and a small network for its tests."""

import atexit
import contextlib
import dataclasses
import functools
import io
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clearmr import formats
from clearmr.cli import main
from clearmr.methods.snraware.config import NetConfig
from clearmr.methods.snraware.method import SnrAware, SnrAwareNet, load, save
from clearmr.scan import RawScan, SnrImage
from clearmr.simulate import simulate

CONFIG = NetConfig(channels=(4, 8), cells=1)


@dataclass(frozen=True)
class Run:
    """What a command left: its exit code, and its text on stdout and stderr."""

    code: int
    out: str
    err: str


def run(*args: str | Path) -> Run:
    """`clearmr ARGS` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(arg) for arg in args])
    return Run(code, out.getvalue(), err.getvalue())


def done(*args: str | Path) -> Run:
    """`run`, for a command that must end well."""
    found = run(*args)
    assert found.code == 0, found.err
    return found


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def refused(folder: Path, *args: str | Path) -> str:
    """The one line with which a command refuses; exit code 2, and nothing in `folder` is touched."""
    before = listing(folder)
    found = run(*args)
    assert found.code == 2, (found.code, found.err)
    assert found.out == ""
    assert found.err.startswith("clearmr: ") and found.err.endswith("\n") and found.err.count("\n") == 1, found.err
    assert listing(folder) == before
    return found.err


@functools.cache
def _models() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _saved(net: SnrAwareNet, name: str) -> Path:
    path = _models() / f"{name}.safetensors"
    save(SnrAware(net, name, {"net": dataclasses.asdict(CONFIG)}), path, {"licence": "MIT"})
    return path


@functools.cache
def tiny_model() -> Path:
    """A network of random weights: its quality does not matter here."""
    torch.manual_seed(0)
    net = SnrAwareNet(CONFIG)
    with torch.no_grad():
        net.noise.tail.weight *= 5
    return _saved(net, "random")


@functools.cache
def halving_model() -> Path:
    """A network that takes half of everything away: features are the input, and all cells pass them on."""
    net = SnrAwareNet(CONFIG)
    with torch.no_grad():
        for weight in net.parameters():
            weight.zero_()
        for channel in (0, 1):
            net.noise.head.weight[channel, channel, 1, 1, 1] = 1.0
            net.noise.tail.weight[channel, channel, 1, 1, 1] = 0.5
    return _saved(net, "half")


def halved(image: np.ndarray, noise_sd: float | np.ndarray = 1.0) -> np.ndarray:
    """What the room makes of an image (frame, z, y, x) with that network, without the command line in between."""
    level = torch.as_tensor(np.broadcast_to(noise_sd, image.shape).astype(np.float32))
    given = SnrImage(torch.from_numpy(np.ascontiguousarray(image)), level, torch.ones_like(level), "given")
    return load(halving_model())(given).image.numpy()


@functools.cache
def scan(scene: str = "phantom", **options: Any) -> RawScan:
    """A tiny simulated scan."""
    small: dict[str, Any] = {"matrix": (1, 40, 32), "n_coils": 4, "acceleration": 2, "acs": 16, "snr": 20.0}
    return simulate(scene, **{**small, **options}).scan


def raw_file(path: Path, given: RawScan | None = None) -> Path:
    """The scan (or the default one) as MRD."""
    return formats.save_raw(given or scan(), path)
