"""Table 2 of Xue et al. 2025 (SNRAware): what a network loses without g, without MR noise, without either."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from clearmr.errors import InputError
from clearmr.methods.snraware.schemes import SCHEMES
from clearmr.reproduce import Options, jobs, picture, published
from clearmr.reproduce import snraware_runs as runs
from clearmr.reproduce.results import Cell, Check, Results, Spread

ABOUT = "SNRAware, Table 2: networks x training schemes, PSNR and SSIM in-distribution"
DATA = "simulated; clean images with --data are trained on too"
TINY = "about an hour on 2 cores"
LABELS = {
    "proposed": "proposed",
    "without-g": "without g",
    "without-mr-noise": "without MR noise",
    "without-recon": "without recon knowledge",
}
# (better, worse): the paper finds each for all of its networks.
ORDER = (("proposed", "without-g"), ("without-g", "without-recon"), ("proposed", "without-mr-noise"))
NOTES = (
    "Data differ from the paper's (96,605 cine series of patients): trained on simulated hearts, heads, dead leaves; "
    "judged on simulated hearts and heads of other seeds, and on a phantom that was never trained on.",
    "All schemes are judged on the same series, with the paper's whole noise: g maps of R = 1 to 8 (of coil arrays not "
    "trained on), k-space filters, sigma up to 32.",
    "PSNR in dB of magnitudes with MAX = 2048 in SNR units, so that magnitude networks compare; SSIM of magnitudes, "
    "data range the clean peak, 7 x 7 window. Levels are not comparable with the paper's, whose data range is unknown.",
    "The network is told the exact noise SD of the pair, sqrt((native^2 + sigma^2 g^2) / (1 + sigma^2)), where the "
    "paper feeds g. Noise of `without MR noise` is white but follows g; that of `without recon knowledge` is uniform.",
)

PICTURE = "table2.png"

Runs = list[dict[str, Any]]


def run(options: Options) -> Results:
    """Train what is not trained yet, judge, and put the table together. Raises InputError."""
    scale = runs.SCALES[options.scale]()
    folder = options.folder / "runs"
    folder.mkdir(exist_ok=True)
    wanted = _runs(scale, options)
    known = [runs.finished(one) for one in wanted]
    left = [one for one, found in zip(wanted, known, strict=True) if found is None]

    def progress(done: int, total: int, **info: Any) -> None:
        options.progress(len(wanted) - total + done, len(wanted), **info)

    new = iter(jobs.run_all(runs.train_and_judge, left, workers=options.workers, progress=progress))
    found = [next(new) if one is None else one for one in known]
    draw(found, scale, options.folder / PICTURE)
    return table(found, scale, options.scale)


def _runs(scale: runs.Scale, options: Options) -> list[runs.Run]:
    """All runs, one seed after another, so that a table of one seed is there early."""
    folder, devices = options.folder / "runs", jobs.devices(options.device)
    names = [
        (seed, network, scheme)
        for seed in range(options.seed, options.seed + scale.seeds)
        for network in scale.networks
        for scheme in scale.schemes(network)
    ]
    made = [
        runs.Run(network, scheme, seed, scale, folder, options.data, devices[k % len(devices)])
        for k, (seed, network, scheme) in enumerate(names)
    ]
    chosen = [one for one in made if not options.only or one.name.startswith(options.only)]
    if not chosen:
        raise InputError(
            f"--only as the start of a run's name such as {made[0].name}", options.only[0], "choose others"
        )
    return chosen


def table(found: Runs, scale: runs.Scale, scale_name: str) -> Results:
    """The table of what was found: a row per network and their mean, PSNR and SSIM per scheme, the paper's beside."""
    networks = _networks(found, scale)
    rows = [_row(found, network) for network in networks]
    return Results(
        name="snraware-table2",
        scale=scale_name,
        title="SNRAware, Table 2: PSNR and SSIM by network and training scheme",
        notes=(*NOTES, _settings(scale, scale_name), _noisy(found)),
        columns=("network", *(f"{kind} {LABELS[s]}" for kind in ("PSNR", "SSIM") for s in SCHEMES), *_paper_columns()),
        rows=(*rows, _mean_row(found, networks)),
        checks=checks(found, networks),
        figures={"runs": [{key: one[key] for key in one if key != "settings"} for one in found]},
    )


def _settings(scale: runs.Scale, name: str) -> str:
    loop, data, net = scale.base.loop, scale.base.data, scale.base.net
    patch = " x ".join(str(n) for n in data.patch)
    loss = "Charbonnier" + (" and gradient" if scale.base.loss.gradient else "")
    return (
        f"Scale {name}, the same for every network and scheme: channels {net.channels}, {loop.steps} steps of "
        f"{data.batch} patches of {patch}, {loop.optimizer}, {loss} loss (the paper's perpendicular term knows no "
        "magnitudes). Mean +- SD over seeds."
    )


def draw(found: Runs, scale: runs.Scale, path: Path) -> None:
    """The picture of the order: PSNR per network and scheme."""
    networks = _networks(found, scale)
    spreads = {LABELS[s]: [_spread(of(found, network, s, "psnr")) for network in networks] for s in SCHEMES}
    picture.bars(path, networks, spreads, noisy=found[0]["noisy"]["psnr"], title="SNRAware's training schemes")


def _networks(found: Runs, scale: runs.Scale) -> list[str]:
    return [network for network in scale.networks if any(one["network"] == network for one in found)]


def _noisy(found: Runs) -> str:
    noisy = found[0]["noisy"]
    return f"The noisy images themselves: PSNR {noisy['psnr']:.2f} dB, SSIM {noisy['ssim']:.3f}."


def _paper_columns() -> tuple[str, ...]:
    return tuple(f"paper's {kind} {LABELS[s]}" for kind in ("PSNR", "SSIM") for s in SCHEMES)


def _row(found: Runs, network: str) -> tuple[Cell, ...]:
    ours = [_text(of(found, network, scheme, key), digits) for key, digits in KINDS for scheme in SCHEMES]
    return (network, *ours, *published.TABLE2_PSNR[network], *published.TABLE2_SSIM[network])


KINDS = (("psnr", 2), ("ssim", 3))


def _mean_row(found: Runs, networks: Sequence[str]) -> tuple[Cell, ...]:
    ours = [_text(averaged(found, networks, scheme, key), digits) for key, digits in KINDS for scheme in SCHEMES]
    papers = [
        _mean_published([table[network][k] for network in networks])
        for table in (published.TABLE2_PSNR, published.TABLE2_SSIM)
        for k in range(len(SCHEMES))
    ]
    return ("mean", *ours, *papers)


def _mean_published(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _text(values: dict[int, float], digits: int) -> str | None:
    spread = _spread(values)
    return spread.text(digits) if spread else None


def _spread(values: dict[int, float]) -> Spread | None:
    return Spread.of(list(values.values())) if values else None


def of(found: Runs, network: str, scheme: str, key: str) -> dict[int, float]:
    """A figure of the denoised series by seed."""
    return {one["seed"]: one["denoised"][key] for one in found if one["network"] == network and one["scheme"] == scheme}


def averaged(found: Runs, networks: Sequence[str], scheme: str, key: str) -> dict[int, float]:
    """The mean over networks by seed; seeds that not all of those with this scheme have are left out."""
    by_network = [of(found, network, scheme, key) for network in networks]
    by_network = [values for values in by_network if values]
    seeds = set.intersection(*(set(values) for values in by_network)) if by_network else set()
    return {seed: fmean(values[seed] for values in by_network) for seed in sorted(seeds)}


def checks(found: Runs, networks: Sequence[str]) -> tuple[Check, ...]:
    """Whether the paper's order of the schemes is found, in PSNR: for each network and for their mean."""
    ablated = [network for network in networks if of(found, network, "without-recon", "psnr")]
    made = [_check(f"{n}: ", b, w, of(found, n, b, "psnr"), of(found, n, w, "psnr")) for n in ablated for b, w in ORDER]
    means = {scheme: averaged(found, ablated, scheme, "psnr") for scheme in SCHEMES}
    made += [_check("mean of the networks: ", b, w, means[b], means[w]) for b, w in ORDER]
    return tuple(check for check in made if check is not None)


def _check(where: str, better: str, worse: str, first: dict[int, float], second: dict[int, float]) -> Check | None:
    differences = [first[seed] - second[seed] for seed in first if seed in second]
    if not differences:
        return None
    by = Spread.of(differences)
    return Check(f"{where}PSNR {LABELS[better]} > {LABELS[worse]}", by.mean > 0, by)
