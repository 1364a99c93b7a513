"""What a report is made of: the results folder and its reader."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from clearmr.errors import InputError

VERDICTS = ("fail", "caution", "pass", "not run")  # of a trust check, worst first
NOISE_SOURCES = ("measured", "given", "estimated", "unknown")
REDO = "make the folder again with this version of clearmr denoise --report"
_TYPES: dict[str, type] = {
    "title": str,
    "noise_source": str,
    "noise_note": str,
    "method": str,
    "warnings": list,
    "steps": list,
    "spacing": list,
    "model": dict,
    "statistics": dict,
    "snr": dict,
    "metrics": dict,
    "provenance": dict,
    "trust": list,
    "trust_verdict": str,
}
_ITEM_TYPES: dict[str, Any] = {"warnings": str, "trust": dict, "steps": dict, "spacing": (int, float)}
_REQUIRED = ("title", "warnings", "noise_source", "method", "provenance")


@dataclass(frozen=True)
class Results:
    """One denoising, whole: what went in, what came out, what is known of the noise, how it was made.

    noisy, denoised  (frame, z, y, x) complex64 or float32, in the same unit
    gmap, noise_sd   broadcastable to them; noise_sd is the SD of each of the real and imaginary parts in that unit
    reference        of their shape, or None
    statistics       of (noisy - denoised) / noise_sd: "mean", "sd", "kurtosis" (excess: 0 for a Gaussian),
                     "histogram" {"edges", "counts"}, "by_gmap" [{"g_low", "g_high", "sd"}]
    snr              {"before", "after" or None, anything else that is worth a line}
    metrics          against a reference: {name: number} or {"noisy": {name: number}, "denoised": {...}}
    steps            [{"name", any scale: value}] in the order they were done
    uncertainty      SD of each voxel of the denoised image, in its unit, broadcastable to it, or None
    trust            [{"name", "title", "verdict": "pass", "caution", "fail" or "not run", "said", "figures", "limits"}]
    trust_verdict    the worst of them; found from them where it is not given
    """

    title: str
    warnings: Sequence[str]
    noise_source: str
    method: str
    provenance: Mapping[str, Any]
    noisy: np.ndarray
    denoised: np.ndarray
    gmap: np.ndarray
    noise_sd: np.ndarray
    noise_note: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Any] = field(default_factory=dict)
    snr: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    steps: Sequence[Mapping[str, Any]] = ()
    spacing: Sequence[float | int] = (1.0, 1.0, 1.0)
    reference: np.ndarray | None = None
    uncertainty: np.ndarray | None = None
    trust: Sequence[Mapping[str, Any]] = ()
    trust_verdict: str = ""

    def __post_init__(self) -> None:
        _check_arrays(self)
        object.__setattr__(self, "trust_verdict", _trust_verdict(self.trust, self.trust_verdict))
        _check_statistics(self.statistics)
        if self.noise_source not in NOISE_SOURCES:
            raise InputError(f"noise_source to be one of {', '.join(NOISE_SOURCES)}", repr(self.noise_source), REDO)
        if len(self.spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in self.spacing):
            raise InputError("spacing as three sizes in mm, (z, y, x)", repr(list(self.spacing)), REDO)

    @classmethod
    def load(cls, folder: str | Path) -> "Results":
        """Read `results.json` and `arrays.npz` of `folder`; InputError where they are missing, older or broken."""
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError("a results folder", str(folder), "name the folder that clearmr denoise --report wrote")
        values: dict[str, Any] = _read_json(folder / "results.json") | _read_arrays(folder / "arrays.npz")
        return cls(**values)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path.name} in the results folder", f"none in {path.parent}", REDO)
    return path


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(_existing(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"JSON in {path}", str(error), REDO) from error
    if not isinstance(values, dict):
        raise InputError(f"one JSON object in {path}", type(values).__name__, REDO)
    missing = [key for key in _REQUIRED if key not in values]
    if missing:
        raise InputError(f"{', '.join(_REQUIRED)} in {path}", f"no {', '.join(missing)}", REDO)
    known = {key: value for key, value in values.items() if key in _TYPES and value is not None}
    for key, value in known.items():
        _check_type(path, key, value)
    return known


def _check_type(path: Path, key: str, value: Any) -> None:
    if type(value) is not _TYPES[key]:
        raise InputError(f"{key} in {path} as {_TYPES[key].__name__}", type(value).__name__, REDO)
    items = value if isinstance(value, list) else []
    if key in _ITEM_TYPES and not all(isinstance(item, _ITEM_TYPES[key]) for item in items):
        raise InputError(f"every one of {key} in {path} as {_ITEM_TYPES[key]}", repr(value)[:80], REDO)


def _read_arrays(path: Path) -> dict[str, Any]:
    known = {f.name for f in fields(Results)} - set(_TYPES)
    try:
        with np.load(_existing(path), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in known}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"numpy arrays in {path}", str(error) or "a broken file", REDO) from error
    missing = [name for name in ("noisy", "denoised", "gmap", "noise_sd") if name not in arrays]
    if missing:
        raise InputError(f"noisy, denoised, gmap and noise_sd in {path}", f"no {', '.join(missing)}", REDO)
    return arrays


def _check_arrays(results: Results) -> None:
    shape = results.noisy.shape
    if len(shape) != 4 or 0 in shape:
        raise InputError("noisy as (frame, z, y, x) with no empty axis", str(shape), REDO)
    if results.noisy.dtype.kind not in "fc" or results.noisy.dtype.kind != results.denoised.dtype.kind:
        kinds = f"{results.noisy.dtype} and {results.denoised.dtype}"
        raise InputError("noisy and denoised both complex64 or both float32", kinds, REDO)
    for name in ("denoised", "reference"):
        array = getattr(results, name)
        if array is not None and array.shape != shape:
            raise InputError(f"{name} of shape {shape}", str(array.shape), REDO)
    for name in ("gmap", "noise_sd", "uncertainty"):
        array = getattr(results, name)
        if array is None:
            continue
        if array.dtype.kind not in "fiu" or not _broadcastable(array.shape, shape):
            raise InputError(f"{name} real and broadcastable to {shape}", f"{array.dtype} {array.shape}", REDO)


def _check_statistics(statistics: Mapping[str, Any]) -> None:
    """The two parts of the statistics that have an inside: the histogram and the bands of g."""
    histogram, bands = statistics.get("histogram") or {}, statistics.get("by_gmap") or []
    if not isinstance(bands, list) or not all(isinstance(band, dict) for band in bands):
        raise InputError("by_gmap as a list of {g_low, g_high, sd}", repr(bands)[:80], REDO)
    is_dict = isinstance(histogram, dict)
    edges, counts = (histogram.get(k, []) if is_dict else [None] for k in ("edges", "counts"))
    if not (_numbers(edges) and _numbers(counts) and len(edges) == len(counts) + bool(counts)):
        raise InputError("a histogram with one edge more than counts, all numbers", repr(histogram)[:80], REDO)


def _trust_verdict(trust: Sequence[Mapping[str, Any]], given: str) -> str:
    """The worst verdict of the checks, which is `given` where it was recorded."""
    for check in trust:
        if check.get("verdict") not in VERDICTS or not isinstance(check.get("title"), str):
            raise InputError(f"every trust check with a title and a verdict of {VERDICTS}", repr(check)[:80], REDO)
    if given and given not in VERDICTS:
        raise InputError(f"trust_verdict to be one of {', '.join(VERDICTS)}", repr(given), REDO)
    found = {check["verdict"] for check in trust} - {"not run"}
    return given or next((verdict for verdict in VERDICTS if verdict in found), "not run")


def _numbers(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(v, int | float) and np.isfinite(v) for v in values)


def _broadcastable(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False
