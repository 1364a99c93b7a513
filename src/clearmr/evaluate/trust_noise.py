"""Is the noise in the image the noise that we are told of? Level and shape of the noise map, from the input alone.

The finest detail of the noisy image (differences along every axis, which white noise passes with its SD) where the
result is flattest. Anatomy only adds to it. Filters that are known are reckoned with (`NoiseSpectrum`).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from clearmr.evaluate import presence
from clearmr.evaluate.checks import Check, Verdict, above, not_run, worst
from clearmr.evaluate.homogeneous import high_pass, inner, kernels, overlap, robust_variance
from clearmr.evaluate.noise_spectrum import share_of
from clearmr.evaluate.removed_noise import G_EDGES
from clearmr.evaluate.rician import magnitude_variance
from clearmr.evaluate.standardised import RICIAN_SNR, Standardised
from clearmr.evaluate.trust_removed import ERRORS, LEAST_VOXELS

LEVEL, MAP = "noise_level", "noise_map"
TITLES = {LEVEL: "Noise in the image, against the noise level", MAP: "Shape of the noise map"}
CAUTION, FAIL = 1.1, 1.2  # factors, either way: the noise's power is off by a fifth, by two fifths
SEEN = 0.02  # least share of the noise's variance that must pass the differences
ERROR = 0.15  # relative sampling error of a block's SD, at the most
SIDES = (8, 16, 32, 64, 128)
FEW_BLOCKS = 12
WINDOWS = 0.7  # least of noise that is there, filtered: the flattest 2 % of white noise's patches hold 0.82 to 0.88
FLATTEST = (0.5, 0.2, 0.1, 0.05)  # shares of the voxels
MANY, BLOCK_MANY = 2000, 400  # voxels that a small share must hold: of the image, of a part


@dataclass(frozen=True)
class _Detail:
    """Finest detail over what noise leaves there, (part, frame, z, y, x); where it counts; that many count as one."""

    values: np.ndarray
    used: np.ndarray
    edges: np.ndarray
    overlap: float

    def error(self, voxels: float | int) -> float:
        return float(np.sqrt(self.overlap / (2 * max(self.values.shape[0] * voxels, 1))))

    def sd(self, where: np.ndarray, flattest: float = 0.5) -> float:
        """SD of the noise over noise_sd in the flattest share of `where`."""
        limit = np.quantile(self.edges[where], flattest)
        return float(np.sqrt(robust_variance(self.values[:, where & (self.edges <= limit)])))

    def least_sd(self, many: int) -> float:
        """As `sd`, the least of several shares of at least `many` voxels: anatomy only adds."""
        n = self.used.sum()
        return min(self.sd(self.used, share) for share in FLATTEST if share == FLATTEST[0] or n * share >= many)


def noise_checks(standard: Standardised) -> tuple[Check, Check]:
    """`noise_level` and `noise_map` of the noisy image."""
    detail = _detail(standard)
    if isinstance(detail, str):
        return _by_windows(standard, detail), not_run(MAP, TITLES[MAP], detail)
    level = _level(standard, detail)
    if level.figures["found"] < 0.5:
        return level, not_run(MAP, TITLES[MAP], "the noise is not there whose map could be judged")
    return level, _map(standard, detail)


def _detail(standard: Standardised) -> _Detail | str:
    """The finest detail, or why there is none to judge."""
    if not standard.spectrum.known:
        return f"the noise is {standard.spectrum.source}"
    differences = kernels(standard.used.shape, fourth=True)
    passed = float(
        np.prod([share_of(k, standard.spectrum.axes[axis - 1]) for axis, k in differences.items() if axis > 0])
    )
    if not differences or passed < SEEN:
        return f"the filters leave {100 * passed:.1f} % of the noise in the finest detail"
    scale = np.sqrt(passed)
    if standard.kind == "rician":
        scale = scale * np.sqrt(magnitude_variance(np.maximum(standard.snr, RICIAN_SNR)))
    values = np.stack([high_pass(np.nan_to_num(part), differences) for part in standard.before]) / scale
    used = standard.used & inner(standard.used.shape, differences) & _no_zeros_near(standard, differences)
    if used.sum() < 2 * LEAST_VOXELS:
        return f"only {int(used.sum())} voxels of signal away from borders"
    return _Detail(values.astype(np.float32), used, standard.edges, overlap(differences) / passed)


def _no_zeros_near(standard: Standardised, differences: dict[int, np.ndarray]) -> np.ndarray:
    zero = (standard.before == 0).all(0).astype(np.float32)
    reach = {axis: np.abs(kernel) for axis, kernel in differences.items()}
    return high_pass(zero, reach) == 0


def _level(standard: Standardised, detail: _Detail) -> Check:
    n = int(detail.used.sum())
    found = detail.least_sd(MANY)
    error = ERRORS * detail.error(n / 2)
    verdict = _of_ratio(found, error)
    said = f"the image's finest detail holds {found:.2f} of the noise SD told of"
    figures = {"found": found, "voxels": n, "noise": standard.spectrum.source}
    if verdict != "pass" and found < 1:
        windows = noise_in_windows(standard)
        figures |= {"found in windows": windows}
        if WINDOWS < windows < CAUTION:
            verdict = "caution"
            said += f", patches of 9 x 9 {windows:.2f}: the noise is there but not white, as in interpolated images"
        else:
            said += ": it was denoised or filtered before, or the noise level is too high"
    elif verdict != "pass":
        said += ": the noise level is too low, or nowhere is the image smooth enough to tell"
    return Check(LEVEL, TITLES[LEVEL], verdict, said, figures, _limits(error))


def _limits(error: float) -> dict[str, float]:
    return {"factor caution": CAUTION + error, "factor fail": FAIL + error}


def _of_ratio(ratio: float, error: float) -> Verdict:
    off = float(np.exp(abs(np.log(max(ratio, 1e-6)))))
    return "fail" if off > FAIL + error else "caution" if off > CAUTION + error else "pass"


def _by_windows(standard: Standardised, why: str) -> Check:
    """Where the finest detail cannot tell: is the noise there at all, in patches of 9 x 9?"""
    found = noise_in_windows(standard)
    absent = presence.ABSENT_COMPLEX if standard.kind == "complex" else presence.ABSENT_MAGNITUDE
    verdict: Verdict = "fail" if found < absent else "pass"
    said = f"{why}; the flattest patches of 9 x 9 hold {found:.2f} of the noise SD told of"
    return Check(LEVEL, TITLES[LEVEL], verdict, said, {"found in windows": found}, {"least": absent})


def noise_in_windows(standard: Standardised) -> float:
    """`presence.noise_found` over the slices: the flattest patches of 9 x 9, SD over that told; their least."""
    parts = torch.from_numpy(np.ascontiguousarray(standard.before))
    series = torch.complex(parts[0], parts[1]) if len(parts) == 2 else parts[0]
    slices = range(series.shape[1])[:: max(1, series.shape[1] // 8)]
    return min(presence.noise_found(series[:, z], torch.ones_like(series[:, z].abs())) for z in slices)


def _map(standard: Standardised, detail: _Detail) -> Check:
    """Whether found over told is the same everywhere: in square parts of the image, and in ranges of g.

    How far ln(found over told) of the parts spreads below and above their median, beyond sampling error. Texture lifts
    parts: upwards counts half.
    """
    side = next((s for s in SIDES if detail.error(_voxels_of(detail, s) / 2) <= ERROR), SIDES[-1])
    rows = _blocks(detail, side)
    if len(rows) < FEW_BLOCKS:
        return not_run(MAP, TITLES[MAP], "too few voxels to tell the noise of one part from that of another")
    logs = np.log(np.maximum([row[0] for row in rows], 1e-6))
    chance = float(np.sqrt(np.mean([row[1] ** 2 for row in rows])))
    low, base, high = (float(q) for q in np.quantile(logs, (0.16, 0.5, 0.84)))
    down, up = (float(np.exp(np.sqrt(max(spread**2 - chance**2, 0.0)))) for spread in (base - low, high - base))
    error = ERRORS * chance / float(np.sqrt(2 * len(rows)))
    bands = _bands_of_g(standard, detail)
    of_g = [
        above(float(np.exp(base)) / b["found"], CAUTION + ERRORS * b["error"], FAIL + ERRORS * b["error"])
        for b in bands
    ]
    verdict = worst([above(max(down, (down * up) ** 0.5), CAUTION + error, FAIL + error), *of_g])
    said = f"over {len(rows)} parts of the image, noise found over noise told is lower by a factor of {down:.2f} and "
    said += f"higher by {up:.2f} than in the middle one"
    said += "" if verdict == "pass" else ": the noise map (g-factor map) has another shape than the noise"
    figures = {"down": down, "up": up, "parts": len(rows), "side": side, "by_gmap": bands}
    return Check(MAP, TITLES[MAP], verdict, said, figures, _limits(error))


def _voxels_of(detail: _Detail, side: int) -> float:
    frames, slices = detail.used.shape[:2]
    return side**2 * frames * slices * float(detail.used.mean())


def _blocks(detail: _Detail, side: int) -> list[tuple[float, float]]:
    """(found over told, relative error) of the square columns of `side` pixels that hold enough voxels."""
    rows = []
    height, width = detail.used.shape[2:]
    for y in range(0, height - side // 2, side):
        for x in range(0, width - side // 2, side):
            where = detail.used[:, :, y : y + side, x : x + side]
            n = int(where.sum())
            if n and detail.error(n / 2) <= 1.5 * ERROR:
                part = _Detail(
                    detail.values[:, :, :, y : y + side, x : x + side],
                    where,
                    detail.edges[:, :, y : y + side, x : x + side],
                    detail.overlap,
                )
                rows.append((part.least_sd(BLOCK_MANY), detail.error(n / 2)))
    return rows


def _bands_of_g(standard: Standardised, detail: _Detail) -> list[dict[str, float]]:
    rows = []
    for low, high in pairwise(G_EDGES):
        where = detail.used & (standard.gmap >= low) & (standard.gmap < high)
        n = int(where.sum())
        if n >= 2 * LEAST_VOXELS:
            g = standard.gmap[where]
            row = {"g_low": float(g.min()), "g_high": float(g.max())}
            rows.append({**row, "found": detail.sd(where), "error": detail.error(n / 2)})
    return rows
