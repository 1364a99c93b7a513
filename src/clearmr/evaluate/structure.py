"""Structure left in what was removed: at edges, in bands of frequency, between neighbours, at single places.

Limits as in `standardised`: a right denoiser's removed power exceeds the noise's nowhere. What is above, beyond four
sampling errors, is told as a share of the noise's power: over 1 % is a caution, over 10 % a fail.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from clearmr.evaluate.checks import Check, above, not_run, worst
from clearmr.evaluate.standardised import Standardised
from clearmr.evaluate.trust_removed import ERRORS

EDGES, PATTERN, PLACES = "residual_edges", "residual_pattern", "residual_places"
TITLES = {
    EDGES: "Edges in what was removed",
    PATTERN: "Pattern in what was removed",
    PLACES: "The worst place of what was removed",
}
STEEPEST = 0.05  # of the voxels: the edges
SHARE_CAUTION, SHARE_FAIL = 0.01, 0.10  # of the noise's power
EDGE_FAIL = 1.5  # times the noise's power at edges: half as much structure as noise was removed there
BANDS = 8
BLOCK = 8  # pixels, y and x
RARE = 1e-3  # a block is called odd beyond this quantile
ODD_FAIL = 0.01  # share of odd blocks
CHANCE = 0.01  # that any block of the image exceeds "worst"


def residual_edges(standard: Standardised) -> Check:
    """Power removed at the steepest 5 % of the result's edges and in its flatter half, over the noise's power."""
    gradient = standard.edges
    inside = gradient[standard.used]
    edge = standard.used & (gradient >= np.quantile(inside, 1 - STEEPEST))
    flat = standard.used & (gradient <= np.quantile(inside, 0.5))
    n_edge, n_flat = int(edge.sum()), int(flat.sum())
    at_edges, in_flat = standard.power(edge), standard.power(flat)
    error = ERRORS * standard.error_of_power(n_edge)
    caution, fail = (1 + standard.tolerance) ** 2 + error, EDGE_FAIL + error
    size = np.sqrt(np.square(standard.z[:, standard.used]).sum(0))
    varies = size.std() > 0 and inside.std() > 0
    correlation = float(np.corrcoef(size, inside)[0, 1]) if varies else 0.0
    verdict = above(at_edges, caution, fail)
    said = f"at the result's edges {at_edges:.2f} of the noise's power was removed, in flat parts {in_flat:.2f}"
    said += ": no edges were taken" if verdict == "pass" else ": more than the noise, edges were blurred or made"
    figures = {"edges": at_edges, "flat": in_flat, "correlation": correlation, "voxels": [n_edge, n_flat]}
    return Check(EDGES, TITLES[EDGES], verdict, said, figures, {"edges caution": caution, "edges fail": fail})


@dataclass(frozen=True)
class _Band:
    """A ring of frequencies (cycles per pixel): power removed and of the noise, their error, all over that of all."""

    low: float
    high: float
    removed: float
    noise: float
    error: float


def residual_pattern(standard: Standardised) -> Check:
    """Power of z by frequency in the plane against the noise's; covariance of neighbours against the filters'."""
    if not standard.spectrum.known:
        return not_run(PATTERN, TITLES[PATTERN], f"the noise is {standard.spectrum.source}: no pattern to compare with")
    if min(standard.used.shape[2:]) < 2 * BANDS:
        return not_run(PATTERN, TITLES[PATTERN], f"the image has under {2 * BANDS} pixels along an axis")
    bands = _bands(standard)
    allowed = (1 + standard.tolerance) ** 2
    over = [max(band.removed - allowed * band.noise - ERRORS * band.error, 0.0) for band in bands]
    share = float(sum(over))
    found, predicted = neighbours(standard)
    error = ERRORS * float(np.sqrt(standard.spectrum.repeats / (standard.parts * standard.used.sum())))
    excess = max(f - max(p, 0.0) for f, p in zip(found.values(), predicted.values(), strict=True))
    verdicts = [
        above(share, SHARE_CAUTION, SHARE_FAIL),
        above(excess, SHARE_FAIL + error, 1.0),  # covariance at one voxel: a share of the noise's power too
    ]
    worst_band = max(bands, key=lambda band: band.removed / max(band.noise, 1e-9))
    said = f"structure beyond the noise makes {100 * share:.1f} % of the noise's power"
    said += f", covariance of neighbours up to {max(found.values()):+.2f} of it (noise: {max(predicted.values()):+.2f})"
    rows = [{"low": b.low, "high": b.high, "removed": b.removed, "noise": b.noise} for b in bands]
    figures = {"share": share, "neighbours": found, "predicted": predicted, "bands": rows, "noise": _source(standard)}
    if share > 0:
        said += f"; most at {worst_band.low:.2f} to {worst_band.high:.2f} cycles per pixel"
    limits = {"share caution": SHARE_CAUTION, "share fail": SHARE_FAIL, "excess caution": SHARE_FAIL + error}
    return Check(PATTERN, TITLES[PATTERN], worst(verdicts), said, figures, limits)


def _source(standard: Standardised) -> str:
    return standard.spectrum.source


def _bands(standard: Standardised) -> list[_Band]:
    """Rings from zero frequency (without it) to the corners; where noise has no power, all that is there is over."""
    power = np.zeros((standard.used.shape[2], standard.used.shape[3]))
    for plane in standard.z.reshape(-1, *power.shape):
        power += np.abs(np.fft.fft2(plane, norm="ortho")) ** 2
    n_y, n_x = standard.used.shape[2:]
    planes = standard.z.size / power.size
    noise = standard.spectrum.plane * planes * standard.used.mean()
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(n_y), np.fft.fftfreq(n_x), indexing="ij"))
    edges = np.linspace(0, np.sqrt(0.5), BANDS + 1)
    ring = np.where(radius > 0, np.minimum(np.digitize(radius, edges) - 1, BANDS - 1), BANDS)
    total = noise.sum()
    found = []
    for k in range(BANDS):
        inside = ring == k
        modes = max(inside.sum() * planes * standard.used.mean(), 1)
        own = float(noise[inside].sum() / total)
        row = float(power[inside].sum() / total), own, own * float(np.sqrt(2 * standard.spectrum.repeats / modes))
        found.append(_Band(float(edges[k]), float(edges[k + 1]), *row))
    return found


def neighbours(standard: Standardised) -> tuple[dict[str, float], dict[str, float]]:
    """Covariance of z with the next voxel along y and x, over the noise's power: found, and predicted for the noise."""
    found, predicted = {}, {}
    for axis, name in ((-2, "y"), (-1, "x")):
        n = standard.used.shape[axis]
        a, b = (np.arange(n - 1), np.arange(1, n))
        both = np.take(standard.used, a, axis) & np.take(standard.used, b, axis)
        products = (np.take(standard.z, a, axis) * np.take(standard.z, b, axis))[:, both]
        found[name] = float(products.mean(dtype=np.float64)) if products.size else 0.0
        power = standard.spectrum.axes[3 + axis]
        predicted[name] = float(np.mean(power * np.cos(2 * np.pi * np.fft.fftfreq(n))))
    return found, predicted


def residual_places(standard: Standardised) -> Check:
    """Power of z in blocks of 8 x 8 pixels: the worst one, and how many are odd, against chi-square."""
    height, width = (n // BLOCK * BLOCK for n in standard.used.shape[2:])
    if min(height, width) == 0:
        return not_run(PLACES, TITLES[PLACES], f"the image has under {BLOCK} pixels along an axis")
    counts = _block_sums(standard.used.astype(np.float32), height, width)
    sums = _block_sums(np.square(standard.z).sum(0), height, width)
    enough = counts >= BLOCK**2 / 2
    if not enough.any():
        return not_run(PLACES, TITLES[PLACES], f"no {BLOCK} x {BLOCK} pixels of signal in one place")
    power = np.where(enough, sums / np.maximum(standard.parts * counts, 1), 0)
    blocks, smallest = int(enough.sum()), float(counts[enough].min())
    freedom = standard.parts * smallest / standard.spectrum.repeats
    scale = (1 + standard.tolerance) ** 2 / freedom
    odd_limit, worst_limit = (float(chdtri(freedom, p)) * scale for p in (RARE, CHANCE / blocks))
    share = float((power[enough] > odd_limit).mean())
    place = tuple(int(i) for i in np.unravel_index(np.argmax(power), power.shape))
    highest = float(power[place])
    chance = RARE + ERRORS * float(np.sqrt(RARE / blocks))
    verdict = worst(
        [above(share, max(chance, RARE), max(ODD_FAIL, chance)), above(highest, worst_limit, 2 * worst_limit)]
    )
    at = [place[0], place[1], place[2] * BLOCK + BLOCK // 2, place[3] * BLOCK + BLOCK // 2]
    said = f"{100 * share:.1f} % of the blocks of {BLOCK} x {BLOCK} hold more than noise can"
    said += f"; the worst has {highest:.2f} of the noise's power (by chance up to {worst_limit:.2f})"
    figures = {"odd_share": share, "worst": highest, "at": at, "at_axes": "frame z y x of the part judged"}
    limits = {"worst caution": worst_limit, "worst fail": 2 * worst_limit, "odd_share fail": max(ODD_FAIL, chance)}
    return Check(PLACES, TITLES[PLACES], verdict, said, {**figures, "blocks": blocks}, limits)


def _block_sums(values: np.ndarray, height: int, width: int) -> np.ndarray:
    cut = values[..., :height, :width]
    frames, slices = cut.shape[:2]
    split = cut.reshape(frames, slices, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return split.sum((3, 5), dtype=np.float64)
