"""Small reader studies for the tests: a few volumes in two arms, and readers who score by a rule."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from clearmr.report.study_answers import ANSWERS_FORMAT
from clearmr.report.study_design import Design, draw
from clearmr.report.study_items import choose

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
Rule = Callable[[int, int, str], Any]  # case, arm, item -> score


def volume(case: int, *, noise: float, shape: tuple[int, ...] = (20, 24, 6)) -> np.ndarray:
    """(x, y, z): an ellipse with a bright corner in R, A, S, and noise."""
    generator = np.random.default_rng(1000 + case)
    x, y, z = (np.linspace(-1, 1, n) for n in shape[:3])
    body = 100.0 * (x[:, None, None] ** 2 + y[None, :, None] ** 2 + 0 * z < 0.8)
    body[-5:, -5:, -2:] = 200.0 + case
    frames = body if len(shape) == 3 else np.repeat(body[..., None], shape[3], axis=3)
    return np.abs(frames + noise * generator.standard_normal(frames.shape)).astype(np.float32)


def save(path: Path, voxels: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


def pairs(
    folder: Path, n: int, *, names: tuple[str, str] = ("noisy", "clean"), shape: tuple[int, ...] = (20, 24, 6)
) -> list[str]:
    """`n` pairs as `study make` takes them; the second arm has less noise."""
    made = []
    for case in range(n):
        first, second = (
            save(folder / f"{name}_{case}.nii.gz", volume(case, noise=noise, shape=shape))
            for name, noise in zip(names, (15.0, 4.0), strict=True)
        )
        made.append(f"{first}={second}")
    return made


def design(n: int = 8, **options: Any) -> Design:
    given: dict[str, Any] = {"seed": 5, "readers": 2} | options
    return draw([f"case {k}" for k in range(n)], given.pop("arms", ("A", "B")), choose("overall,lesions"), **given)


def answers(of: Design, reader: int, rule: Rule, *, repeat: Rule | None = None) -> dict[str, Any]:
    """What the page would download for a reader who scores by `rule`, second looks by `repeat`."""
    given = {}
    for reading in of.orders[reader - 1]:
        scores = (repeat or rule) if reading.repeats else rule
        shown = [of.picture(token) for token in reading.pictures]
        rows = [{item.name: scores(p.case, p.arm, item.name) for item in of.items} for p in shown]
        given[reading.id] = [{name: score for name, score in row.items() if score is not None} for row in rows]
    return {
        "format": ANSWERS_FORMAT,
        "version": 1,
        "study": of.study,
        "reader": reader,
        "answers": given,
        "seconds": {},
    }


def written(path: Path, plain: Any) -> Path:
    path.write_text(json.dumps(plain), encoding="utf-8")
    return path
