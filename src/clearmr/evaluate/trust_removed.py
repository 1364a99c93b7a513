"""Is what was removed no more than noise? Its SD, mean and tails, whole and per range of g.

The limits are those of `standardised`: no power above the noise's, no heavier tails; plus four sampling errors, plus
what the noise map may be off by (`tolerance`).
"""

from itertools import pairwise

import numpy as np

from clearmr.evaluate.checks import Check, Verdict, above, below, worst
from clearmr.evaluate.removed_noise import G_EDGES
from clearmr.evaluate.standardised import Standardised

NAME, TITLE = "removed_noise", "What was removed, against the noise"
LEAST_VOXELS = 500  # of a range of g
LITTLE, NOTHING = 0.3, 0.1  # SD removed under which little, and practically nothing, was done: 9 and 1 % of the power
ERRORS = 4.0  # sampling errors that are chance
MEAN_CAUTION, MEAN_FAIL = 0.1, 0.1**0.5  # noise SDs: 1 and 10 % of the noise's power
BEYOND = 0.0026998  # share of N(0, 1) beyond 3 SDs
TAILS = 2.0  # times the fourth moment of the noise


def removed(standard: Standardised) -> Check:
    """SD, mean (of the part where it is larger) and fourth moment of z (see `Standardised`), SD per range of g."""
    z = standard.z[:, standard.used].astype(np.float64)
    n = int(standard.used.sum())
    error = standard.error_of_power(n) / 2
    caution, fail = upper_limits(standard, error)
    sd = float(np.sqrt(np.mean(z**2)))
    bands = _by_g(standard)
    mean, fourth = max(z.mean(1).tolist(), key=abs), float(np.mean(z**4) / 3)
    mean_error = float(np.sqrt(standard.spectrum.top / n))
    tails = (1 + standard.tolerance) ** 4 + ERRORS * float(np.sqrt(96 * standard.spectrum.repeats / z.size)) / 3
    verdicts = [
        above(sd, caution, fail),
        below(sd, LITTLE, NOTHING),
        _of_mean(mean, standard.floor, mean_error),
        above(fourth, tails, max(TAILS, tails)),
        *(above(row["sd"], row["caution"], row["fail"]) for row in bands),
    ]
    figures = {
        "sd": sd,
        "mean": mean,
        "fourth_moment": fourth,
        "beyond_3_sd": float(np.mean(np.abs(z) > 3)),
        "by_gmap": [{k: row[k] for k in ("g_low", "g_high", "voxels", "sd")} for row in bands],
        "voxels": n,
        "kind": standard.kind,
    }
    limits = {"sd caution": caution, "sd fail": fail, "sd least": NOTHING, "fourth_moment caution": tails}
    limits |= {"beyond_3_sd of noise": BEYOND, "mean caution": MEAN_CAUTION, "mean fail": MEAN_FAIL}
    return Check(NAME, TITLE, worst(verdicts), _said(sd, mean, fourth, bands, verdicts), figures, limits)


def upper_limits(standard: Standardised, error: float) -> tuple[float, float]:
    """(caution, fail) of an SD over noise_sd whose relative sampling error is `error`."""
    return tuple(1 + times * standard.tolerance + ERRORS * error for times in (1, 3))  # type: ignore[return-value]


def _of_mean(mean: float, floor: float, error: float) -> Verdict:
    """Noise has none; where the noise floor of magnitudes was taken away too, up to `floor`."""
    return above(max(mean - floor, -mean), MEAN_CAUTION + ERRORS * error, MEAN_FAIL + ERRORS * error)


def _by_g(standard: Standardised) -> list[dict[str, float]]:
    rows = []
    for low, high in pairwise(G_EDGES):
        chosen = standard.used & (standard.gmap >= low) & (standard.gmap < high)
        n = int(chosen.sum())
        if n < LEAST_VOXELS:
            continue
        g = standard.gmap[chosen]
        caution, fail = upper_limits(standard, standard.error_of_power(n) / 2)
        row = {"g_low": float(g.min()), "g_high": float(g.max()), "voxels": n}
        rows.append({**row, "sd": float(np.sqrt(standard.power(chosen))), "caution": caution, "fail": fail})
    return rows


def _said(sd: float, mean: float, fourth: float, bands: list[dict[str, float]], verdicts: list[Verdict]) -> str:
    at_g = max(bands, key=lambda row: row["sd"], default=None)
    said = f"removed {sd:.2f} noise SDs, mean {mean:+.3f}, fourth moment {fourth:.2f} of the noise's"
    if verdicts[1] == "fail":
        return f"{said}: practically nothing, the result is the input"
    if verdicts[0] != "pass":
        return f"{said}: more than the noise, so structure went too or the noise map is too low"
    if any(v != "pass" for v in verdicts[4:]) and at_g is not None:
        return f"{said}; {at_g['sd']:.2f} at g {at_g['g_low']:.2g} to {at_g['g_high']:.2g}, more than the noise there"
    if verdicts[3] != "pass":
        return f"{said}: heavier tails than noise has"
    if verdicts[2] != "pass":
        return f"{said}: noise has a mean of 0, signal was taken or given"
    return f"{said}: {'little of the noise' if verdicts[1] == 'caution' else 'no more than the noise'}"
