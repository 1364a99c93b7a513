"""Regions of interest of `clearmr snr`: reading their files, and saying what was found in them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearmr.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from clearmr.evaluate import RegionGains

PLACE = "{name}"


def stem(path: Path) -> str:
    """A file's name without its ending."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


def read(rois: Sequence[str], source: Path, shape: tuple[int, ...]) -> dict[str, "Tensor"]:
    """The masks of `shape` by region's name; `{name}` in a path is the stem of `source`. Raises InputError."""
    from clearmr import evaluate, formats
    from clearmr.scan import SnrImage

    regions: dict[str, Tensor] = {}
    for text in rois:
        path = Path(text.replace(PLACE, stem(source)))
        loaded = formats.load(path)
        if not isinstance(loaded, SnrImage):
            raise InputError("an image with --roi", f"raw data in {path}", "give a NIfTI, npy or npz file")
        found = evaluate.label_masks(loaded.image, shape, name=_name(text))
        if taken := sorted(set(found) & set(regions)):
            raise InputError("regions of different names", f"two called {taken[0]}", "rename one of the files")
        regions |= found
    return regions


def _name(text: str) -> str:
    """What a region is called, the same for all inputs."""
    return stem(Path(text)).replace(PLACE, "").strip("_-. ") or "region"


def plain(gains: "RegionGains") -> dict[str, Any]:
    """`regions` and `contrasts` as JSON can hold them."""
    regions = [
        {"name": r.name, "voxels": r.voxels, **_pair("signal", r.signal), **_pair("noise_sd", r.noise_sd),
         **_pair("snr", r.snr), "gain": r.gain}
        for r in gains.regions
    ]  # fmt: skip
    contrasts = [{"name": f"{c.a} - {c.b}", **_pair("cnr", c.cnr), "gain": c.gain} for c in gains.contrasts]
    return {"regions": regions, "contrasts": contrasts}


def _pair(name: str, values: tuple[float, float]) -> dict[str, float]:
    return {f"{name}_before": values[0], f"{name}_after": values[1]}


def together(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Over several inputs, per region's SNR and pair's CNR: mean and SD, before and after, and the paired t-test."""
    found: dict[str, Any] = {}
    for kind, key in (("regions", "snr"), ("contrasts", "cnr")):
        for index, first in enumerate(summaries[0][kind]):
            same = [summary[kind][index] for summary in summaries]
            label = f"{key.upper()} {first['name']}"
            found[label] = _compare([s[f"{key}_before"] for s in same], [s[f"{key}_after"] for s in same])
    return found


def _compare(before: Sequence[float], after: Sequence[float]) -> dict[str, Any]:
    from statistics import fmean, stdev

    from clearmr import evaluate

    test = evaluate.paired_t_test(before, after)
    sides = {"before": before, "after": after}
    means = {f"{what}_{when}": f(v) for when, v in sides.items() for what, f in (("mean", fmean), ("sd", stdev))}
    return {**means, "n": test.n, "t": test.t, "p": test.p}


def lines(summary: dict[str, Any]) -> Iterator[str]:
    """A line per region and per pair."""
    for region in summary["regions"]:
        yield f"{region['name']} ({region['voxels']} voxels): SNR {_change(region, 'snr')}"
    for pair in summary["contrasts"]:
        yield f"{pair['name']}: CNR {_change(pair, 'cnr')}"


def _change(figures: dict[str, Any], key: str) -> str:
    before, after = (figures[f"{key}_{when}"] for when in ("before", "after"))
    return f"{before:.2f} before, {after:.2f} after, x {figures['gain']:.2f}"


def lines_together(found: dict[str, Any]) -> Iterator[str]:
    """A line per figure over all inputs."""
    for label, c in found.items():
        means = [f"{c[f'mean_{when}']:.2f} +- {c[f'sd_{when}']:.2f} {when}" for when in ("before", "after")]
        yield f"all {c['n']}: {label} {means[0]}, {means[1]}, paired t-test p = {c['p']:.3g}"
