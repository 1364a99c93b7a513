"""The quality table: clearmr's default models and the peers on data they never saw; and whether they can be trusted.

Data: what `--data` names, else simulated. PSNR's data range is the largest clean magnitude inside; foreground and
object are voxels above 10 % of the maximum. Volumes and frames are cut at the foreground's middle, for time.
"""

import functools
from collections.abc import Callable
from typing import Any

from clearmr import road
from clearmr.bench import entrants, quality_data, quality_real, quality_rows, quality_trust
from clearmr.bench.timing import Options

TITLES = {
    "volumes": "T1w volumes, Rician noise in % of the maximum, level given: PSNR dB in the foreground / SSIM",
    "cine": "Cine, real Gaussian noise in % of the range, level given: PSNR dB of the frames / SSIM",
    "accelerated": "Complex series, g map of R = 4 given: PSNR dB of complex differences in the object / SSIM",
    "repeats": "Real scans, no clean reference: gain in dB against the mean of the other repeats",
}

Row = dict[str, Any]
Job = tuple[str, Callable[[], Row | list[Row]]]


def run(options: Options, sizes: quality_data.Sizes | None = None) -> dict[str, Any]:
    """Rows per group of `TITLES`, and "trust": lesions, mean signal, removed noise per SNR, and pure noise.

    Raises InputError for an unknown model or data that cannot be read.
    """
    sizes = sizes or quality_data.Sizes()
    road.denoiser(model=options.model)
    data = quality_data.collect(options.data, sizes)
    jobs = _jobs(data, options, sizes)
    found: dict[str, Any] = {group: [] for group in (*TITLES, "trust")}
    for done, (group, job) in enumerate(jobs, 1):
        result = job()
        found[group] += result if isinstance(result, list) else [result]
        options.progress(done, len(jobs))
    found = {group: rows for group, rows in found.items() if rows}
    return {**found, "pure noise, SD left": quality_trust.pure_noise(options, sizes)}


def _jobs(data: quality_data.Data, options: Options, sizes: quality_data.Sizes) -> list[Job]:
    cases = {
        "volumes": quality_rows.volumes(data),
        "cine": quality_rows.cine(data),
        "accelerated": quality_rows.accelerated(sizes),
    }
    jobs: list[Job] = [
        (group, functools.partial(entrants.row, case, options)) for group, found in cases.items() for case in found
    ]
    for case in quality_real.repeats(data, sizes):
        jobs.append(("repeats", functools.partial(quality_real.row, case, options)))
    for scene in quality_trust.scenes(sizes):
        jobs.append(("trust", functools.partial(quality_trust.rows, scene, options, sizes)))
    return jobs
