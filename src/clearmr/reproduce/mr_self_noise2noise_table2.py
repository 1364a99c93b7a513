"""Table 2 of Jung et al. 2022 (MR-self Noise2Noise): figures at seven noise levels, before and after the network."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from clearmr import evaluate
from clearmr.errors import InputError
from clearmr.reproduce import Options, jobs, published
from clearmr.reproduce import mr_self_noise2noise_data as scans
from clearmr.reproduce import mr_self_noise2noise_picture as picture
from clearmr.reproduce import mr_self_noise2noise_runs as runs
from clearmr.reproduce import mr_self_noise2noise_scales as scales
from clearmr.reproduce.mr_self_noise2noise_found import Found
from clearmr.reproduce.published import NOISE_LEVELS
from clearmr.reproduce.results import Cell, Check, Results, Spread, Table

ABOUT = "MR-self Noise2Noise, Table 2: PSNR, SSIM, NRMSE and tissue Dice at seven noise levels"
DATA = "simulated heads; volumes with --data are scanned and judged too"
TINY = "about 40 minutes on 2 cores"
NOTES = (
    "Data differ from the paper's (clinical MP-RAGE of 135 + 11 subjects, fully sampled scans of 19): no raw 3D "
    "multi-coil data is at hand, so heads are simulated (and volumes given with --data are) seen by simulated coils, "
    "with correlated receiver noise. Subjects to train on, to validate on and to judge are different ones.",
    "Learnt from: R = 2 x 1 scans, split along kz. Judged: fully sampled scans, retrospectively R = 2 x 1, with "
    "Gaussian noise of 0, 0.5 ... 3 times the scan's own added to k-space. Unit: the SNR of the fully sampled scan.",
    "Magnitudes. PSNR (data range: the reference's peak), SSIM (7 x 7) and NRMSE inside the head (over 5 % of the "
    "peak, filled). Dice: mean of CSF, grey and white matter by DIPY's HMRF (for FSL-FAST) in the brain, from image "
    "and reference alike, each freed of its shading. FSL-FIRST has no counterpart here.",
    "The reference of the first table is the noise-free truth. The paper's is the fully sampled scan with its noise, "
    "of which the undersampled original contains half: the second table.",
    "Mean +- SD over subjects, two-sided paired t-test. The network is told the noise of each voxel and trained on "
    "patches in all orientations; `blind` is as published: not told, with biases, alpha found with the original.",
)
CURVES, SLICES = "table2.png", "slices.png"
# (key, printed name, digits, factor, sign of better, name in the paper's table)
FIGURES = (
    ("psnr", "PSNR (dB)", 2, 1.0, 1.0, "PSNR (dB)"),
    ("ssim", "SSIM (0-1)", 4, 1.0, 1.0, "SSIM (0-1)"),
    ("nrmse", "NRMSE (%)", 2, 100.0, -1.0, "NRMSE (%)"),
    ("dice", "tissue DSC (0-1)", 4, 1.0, 1.0, "FSL-FAST DSC (0-1)"),
)
LABELS = {
    runs.MAIN: "sN2N, told the noise",
    runs.CLEAN: "the same, clean targets",
    runs.BLIND: "blind, as published",
    runs.COMPLEX: "complex, told the noise",
}
NEAR = 0.5  # dB that independent noisy targets may cost
LEVELS = tuple(f"+ {level:g}σ" if level else "0" for level in NOISE_LEVELS)


def run(options: Options) -> Results:
    """Scan, train and judge what is not done yet, and put the tables together. Raises InputError."""
    scale = scales.SCALES[options.scale]()
    roles = scans.roles(scale.sizes, options.data)
    found = _done(scale, roles, options)
    picture.curves(options.folder / CURVES, found, LABELS)
    slices = options.folder / "runs" / f"{runs.MAIN}_{options.seed}" / runs.SLICES
    if slices.is_file():
        picture.slices(options.folder / SLICES, slices)
    return table(found, scale, options.scale)


def _done(scale: runs.Scale, roles: scans.Roles, options: Options) -> Found:
    learn, judge = (*roles.training, *roles.validation), (*roles.judged, *roles.others)
    scanning = [runs.Scanning(one, "learn", scale, options.folder) for one in learn]
    scanning += [runs.Scanning(one, "judge", scale, options.folder) for one in judge]
    training = _trainings(scale, roles, options)
    total = len(scanning) + len(training)
    measured = _left(runs.scanned, runs.scan, scanning, options, 0, total)
    networks = _left(runs.trained, runs.train_and_judge, training, options, len(scanning), total)
    names = tuple(one.name for one in roles.judged), tuple(one.name for one in roles.others)
    return Found(*names, {one["subject"]: one["levels"] for one in measured if "levels" in one}, networks, measured)


def _trainings(scale: runs.Scale, roles: scans.Roles, options: Options) -> list[runs.Training]:
    devices = jobs.devices(options.device)
    made = [
        runs.Training(net, options.seed, scale, options.folder, roles, devices[k % len(devices)])
        for k, net in enumerate(scale.nets)
    ]
    chosen = [one for one in made if not options.only or one.name.startswith(options.only)]
    if not chosen:
        raise InputError(f"--only as the start of {' or '.join(scale.nets)}", options.only[0], "choose others")
    return chosen


def _left(
    known: Callable[[Any], dict[str, Any] | None],
    work: Callable[[Any], dict[str, Any]],
    wanted: Sequence[Any],
    options: Options,
    before: int,
    whole: int,
) -> list[dict[str, Any]]:
    """What is known of the jobs, and what the work finds of the others, in their order."""
    found = [known(one) for one in wanted]
    left = [one for one, result in zip(wanted, found, strict=True) if result is None]

    def progress(done: int, total: int, **info: Any) -> None:
        options.progress(before + len(wanted) - total + done, whole, **info)

    new = iter(jobs.run_all(work, left, workers=options.workers, progress=progress))
    return [next(new) if one is None else one for one in found]


def table(found: Found, scale: runs.Scale, scale_name: str) -> Results:
    """The paper's table with ours beside it, and four more: the paper's reference, networks, alpha, generalisation."""
    return Results(
        name="mr-self-noise2noise-table2",
        scale=scale_name,
        title="MR-self Noise2Noise, Table 2: figures at seven noise levels",
        notes=(*NOTES, _settings(found, scale, scale_name)),
        columns=("figure", "image", *LEVELS),
        rows=_beside(found, "truth", with_paper=True),
        checks=checks(found),
        figures={"subjects": list(found.judged), "others": list(found.others), **_plain(found)},
        more=(
            Table(
                "Against the fully sampled scan with its noise, the paper's kind of reference",
                ("figure", "image", *LEVELS),
                _beside(found, "noisy", with_paper=False),
            ),
            Table(
                "Networks side by side: PSNR in dB against the truth", ("network", "alpha", *LEVELS), _networks(found)
            ),
            Table(
                "The share alpha of the original that gives the best PSNR (dB over alpha 0)",
                ("reference", *LEVELS),
                _alphas(found),
            ),
            Table(
                "Other contrasts and resolutions: PSNR gain in dB",
                ("trained on T1w, applied to", *LEVELS),
                _others(found),
            ),
        ),
    )


def _settings(found: Found, scale: runs.Scale, name: str) -> str:
    base, sizes = scale.base, scale.sizes
    z, y, x = sizes.matrix
    training = [one for one in found.scans if "levels" not in one]
    return (
        f"Scale {name}: {z} x {y} x {x} voxels, {sizes.coils} coils, {sizes.acs} ACS lines, mean SNR {sizes.snr:g} "
        f"in the head; {len(training) - sizes.validation} subjects to train on, {sizes.validation} to validate, "
        f"{len(found.judged)} to judge; {base.net.slices} slices, channels {base.net.channels}, {base.loop.steps} "
        f"steps of {base.data.batch} patches of {base.data.patch} x {base.data.patch}, the same for every network."
    )


def _beside(found: Found, reference: str, *, with_paper: bool) -> tuple[tuple[Cell, ...], ...]:
    rows: list[tuple[Cell, ...]] = []
    for key, name, digits, factor, _, printed in FIGURES:
        before = [[factor * v for v in found.original(reference, key, k)] for k in range(len(NOISE_LEVELS))]
        after = [[factor * v for v in found.denoised(runs.MAIN, reference, key, k)] for k in range(len(NOISE_LEVELS))]
        rows.append((name, "original", *(_spread(values, digits) for values in before)))
        rows.append(("", "sN2N", *(_spread(values, digits) for values in after)))
        rows.append(("", "p", *(_p(b, a) for b, a in zip(before, after, strict=True))))
        if with_paper:
            paper = published.SELF_NOISE2NOISE_TABLE2[printed]
            labels = ("original", "sN2N", "p")
            rows += [("", f"paper's {label}", *values) for label, values in zip(labels, paper, strict=True)]
    return tuple(rows)


def _spread(values: Sequence[float], digits: int) -> str | None:
    return Spread.of(values).text(digits) if values else None


def _p(before: Sequence[float], after: Sequence[float]) -> str | None:
    if len(after) < 2:
        return None
    p = evaluate.paired_t_test(before, after).p
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _networks(found: Found) -> tuple[tuple[Cell, ...], ...]:
    levels = range(len(NOISE_LEVELS))
    rows: list[tuple[Cell, ...]] = [
        ("original", None, *(_spread(found.original("truth", "psnr", k), 2) for k in levels))
    ]
    for net in found.nets:
        values = (_spread(found.denoised(net, "truth", "psnr", k), 2) for k in levels)
        rows.append((LABELS[net], found.alpha(net), *values))
    return tuple(rows)


def _alphas(found: Found) -> tuple[tuple[Cell, ...], ...]:
    rows: list[tuple[Cell, ...]] = []
    for reference, name in (("truth", "noise-free truth"), ("noisy", "fully sampled scan with its noise")):
        means = [found.mean_by_alpha(reference, k) for k in range(len(NOISE_LEVELS))]
        rows.append((name, *(f"{_best(m):g} ({max(m) - m[0]:+.2f})" if m else None for m in means)))
    return tuple(rows)


def _best(values: Sequence[float]) -> float:
    return runs.ALPHAS[max(range(len(values)), key=values.__getitem__)]


def _others(found: Found) -> tuple[tuple[Cell, ...], ...]:
    levels = range(len(NOISE_LEVELS))
    rows = [("T1w, the subjects of the table", *(_gain(found.gains(runs.MAIN, "psnr", k)) for k in levels))]
    for name in found.others:
        rows.append((name, *(_gain(found.gains(runs.MAIN, "psnr", k, [name])) for k in levels)))
    return tuple(rows)


def _gain(values: Sequence[float]) -> str | None:
    return f"{fmean(values):+.2f}" if values else None


def checks(found: Found) -> tuple[Check, ...]:
    """Whether what the paper found is found here; each by how much, at the level where it is least."""
    levels = range(len(NOISE_LEVELS))
    if runs.MAIN not in found.nets:
        return ()
    made = []
    for key, name, digits, factor, sign, _ in FIGURES:
        better = "not lower" if key == "dice" else "lower" if sign < 0 else "higher"
        gains = [[sign * factor * g for g in found.gains(runs.MAIN, key, k)] for k in levels]
        check = _everywhere(f"{name} {better} than the original's at all noise levels", gains, equal=key == "dice")
        made.append(dataclasses.replace(check, digits=digits))
    made.append(_growing(found))
    if runs.CLEAN in found.nets:
        pairs = [(found.denoised(net, "truth", "psnr", k) for net in (runs.MAIN, runs.CLEAN)) for k in levels]
        margins = [[NEAR + a - b for a, b in zip(*pair, strict=True)] for pair in pairs]
        made.append(_everywhere(f"PSNR less than {NEAR:g} dB below the same network's with clean targets", margins))
    for name in found.others:
        gains = [found.gains(runs.MAIN, "psnr", k, [name]) for k in levels]
        made.append(_everywhere(f"{name}: PSNR higher than the original's at all noise levels", gains))
    return (*made, _shared_noise(found))


def _everywhere(claim: str, by_level: Sequence[Sequence[float]], *, equal: bool = False) -> Check:
    """Holds where every level's mean is over 0 (or 0, if equal); by the least of them."""
    least = min((Spread.of(values) for values in by_level), key=lambda spread: spread.mean)
    return Check(claim, least.mean >= 0 if equal else least.mean > 0, least)


def _growing(found: Found) -> Check:
    gains = [found.gains(runs.MAIN, "psnr", k) for k in range(len(NOISE_LEVELS))]
    means = [fmean(values) for values in gains]
    steps = all(after > before for before, after in itertools.pairwise(means))
    by = Spread.of([last - first for first, last in zip(gains[0], gains[-1], strict=True)])
    return Check("the PSNR gain grows with the noise, from each level to the next", steps, by)


def _shared_noise(found: Found) -> Check:
    """The paper's alpha of 0.3: its reference shares noise with the original, which rewards keeping some of it."""
    subjects = [
        [_best(found.by_alpha(name, reference, 0)) for reference in ("noisy", "truth")] for name in found.judged
    ]
    by = Spread.of([noisy - truth for noisy, truth in subjects])
    claim = "without added noise a reference that shares the original's noise wants a larger alpha than the truth"
    return Check(claim, by.mean > 0, by)


def _plain(found: Found) -> dict[str, Any]:
    networks = [{key: one[key] for key in one if key != "settings"} for one in found.networks]
    return {
        "original": found.levels,
        "networks": networks,
        "seconds": {s["subject"]: s["seconds"] for s in found.scans},
    }
