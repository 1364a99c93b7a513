"""A results folder that is missing, older or broken is one line of advice, and no page."""

import json
from pathlib import Path

import numpy as np
import pytest

from clearmr.errors import InputError
from clearmr.report import write_report
from test_report import make_results, save

BREAKS = ["no json", "no arrays", "half json", "list", "older", "source", "warnings", "steps", "spacing", "histogram"]
BREAKS += ["bands", "half arrays", "empty arrays", "pickle", "no gmap", "shapes", "three axes", "gmap shape", "kinds"]


def broken(folder: Path, how: str) -> None:
    """Spoil a results folder in one way."""
    numbers, arrays = folder / "results.json", folder / "arrays.npz"
    values = json.loads(numbers.read_text())
    held = dict(np.load(arrays))
    edits = {
        "no json": numbers.unlink,
        "no arrays": arrays.unlink,
        "half json": lambda: numbers.write_text('{"title":'),
        "list": lambda: numbers.write_text("[]"),
        "older": lambda: numbers.write_text(json.dumps({k: v for k, v in values.items() if k != "noise_source"})),
        "source": lambda: numbers.write_text(json.dumps(values | {"noise_source": "guessed"})),
        "warnings": lambda: numbers.write_text(json.dumps(values | {"warnings": "one"})),
        "steps": lambda: numbers.write_text(json.dumps(values | {"steps": ["one"]})),
        "spacing": lambda: numbers.write_text(json.dumps(values | {"spacing": [1, 0, 1]})),
        "histogram": lambda: numbers.write_text(json.dumps(values | {"statistics": {"histogram": {"counts": [1]}}})),
        "bands": lambda: numbers.write_text(json.dumps(values | {"statistics": {"by_gmap": [1.0]}})),
        "kinds": lambda: np.savez(arrays, **(held | {"denoised": held["denoised"].real})),
        "half arrays": lambda: arrays.write_bytes(arrays.read_bytes()[:500]),
        "empty arrays": lambda: arrays.write_bytes(b""),
        "pickle": lambda: np.savez(arrays, **(held | {"noisy": np.array([{}], dtype=object)})),
        "no gmap": lambda: np.savez(arrays, **{k: v for k, v in held.items() if k != "gmap"}),
        "shapes": lambda: np.savez(arrays, **(held | {"denoised": held["denoised"][:, :, :-1]})),
        "three axes": lambda: np.savez(arrays, **(held | {"noisy": held["noisy"][0]})),
        "gmap shape": lambda: np.savez(arrays, **(held | {"gmap": np.ones((1, 1, 5, 5), np.float32)})),
    }
    edits[how]()


@pytest.mark.parametrize(
    "how",
    BREAKS,
)
def test_a_bad_folder_is_one_line(tmp_path: Path, how: str) -> None:
    folder = save(make_results(), tmp_path / "results")
    broken(folder, how)
    with pytest.raises(InputError, match=r"^expected .*; found .*; .+$") as raised:
        write_report(folder, tmp_path / "report.html")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "report.html").exists()


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a results folder; found .*nowhere"):
        write_report(tmp_path / "nowhere", tmp_path / "report.html")
