"""The work of Deformed2Self's tables, as jobs done once: one method on one noisy series, judged and kept."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from torch import Tensor

from clearmr import baselines
from clearmr.evaluate import metrics
from clearmr.methods.deformed2self import presets
from clearmr.methods.deformed2self.config import Deformed2SelfConfig, TrainConfig
from clearmr.reproduce import Options, deformed2self_methods, jobs, kept
from clearmr.reproduce.deformed2self_data import Noise, Series, Sizes, Source, noisy, series
from clearmr.reproduce.deformed2self_methods import Given, Lengths
from clearmr.reproduce.kept import Found
from clearmr.reproduce.published import DEFORMED2SELF_COLUMNS

# (method, name in the table, name in the paper's)
METHODS = (
    ("noisy", "noisy", "Noisy"),
    ("bm3d", "BM3D", "BM3D"),
    ("bm4d", "BM4D (t, y, x)", "VBM4D"),
    ("nlm", "NLM", None),
    ("asm", "ASM", None),
    ("dip", "DIP", "DIP"),
    ("self2self", "S2S", "S2S"),
    ("noise2void", "N2V", None),
    ("d2s", "D2S, paper()", "D2S"),
    ("scratch", "ours, scratch", None),
    ("joint", "ours, joint (default)", None),
)
# What is quick or most wanted comes first.
ORDER = (
    "noisy", "bm3d", "joint", "d2s", "d2s-without-single", "d2s-without-registration", "self2self", "bm4d", "scratch",
    "dip", "noise2void", "nlm", "asm",
)  # fmt: skip
# Chosen on the phantom of seed 1, before it had a point spread, with Gaussian noise. DIP: best after 500 steps at 15 %
# (26.30 dB) and 400 at 25 % (24.33), 26.22 and 24.14 after 450. S2S at 20 %: 24.17, 24.92, 25.29 dB after 500, 1000,
# 1500 steps, the last 250 of them worth 0.07; its own default of 4000 at full scale.
DIP_STEPS, S2S_STEPS, N2V_STEPS = 450, 2000, 1000


@dataclass(frozen=True)
class Scale:
    """Sizes and noises by source, and how long what learns does so."""

    sizes: Sizes
    noises: Mapping[Source, tuple[Noise, ...]]
    ablated: Mapping[Source, tuple[Noise, ...]]
    lengths: Mapping[Source, Lengths]


@dataclass(frozen=True)
class Job(kept.Job):
    """One method on one noise of one source."""

    method: str
    source: Source
    noise: Noise
    sizes: Sizes
    lengths: Lengths
    folder: Path
    paths: tuple[Path, ...] = ()
    seed: int = 0
    device: str = field(default="cpu", compare=False)

    @property
    def name(self) -> str:
        return f"{self.method}_{self.source}_{self.noise.name}"

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the result, as JSON holds it; of the data the names, of lengths those of this method."""
        values: dict[str, Any] = {"noise": self.noise.name, "seed": self.seed, "sizes": dataclasses.asdict(self.sizes)}
        values["files"] = [path.name for path in self.paths]
        part = "paper" if self.method in deformed2self_methods.ABLATIONS else self.method
        length = getattr(self.lengths, part, None)
        values["length"] = dataclasses.asdict(length) if isinstance(length, Deformed2SelfConfig) else length
        return kept.as_json(values)

    def data(self) -> Series:
        return series(self.source, self.sizes, self.seed, self.paths)


def work(job: Job) -> Found:
    """Denoise, judge, and keep the images and figures."""
    clean = job.data()
    image, began = noisy(clean, job.noise, job.seed), (time.perf_counter(), time.process_time())
    given = Given(image, job.noise, clean.targets, job.lengths, job.seed, job.device)
    results = deformed2self_methods.denoised(job.method, given)
    found: Found = {"method": job.method, "source": job.source, "noise": job.noise.name, "name": job.name}
    found["seconds"] = round(time.perf_counter() - began[0], 1)
    found["cpu_seconds"] = round(time.process_time() - began[1], 1)
    found["figures"] = {bias: figures(out, clean) for bias, out in results.items()}
    return job.keep(found, results)


def figures(out: Tensor, clean: Series) -> dict[str, float]:
    """Means over the targets: PSNR in dB, data range 1, and SSIM; of the whole frame, and inside the moving heart."""
    found: dict[str, list[float]] = {key: [] for key in ("psnr", "ssim", "roi_psnr", "roi_ssim")}
    for k, target in enumerate(clean.targets):
        reference, test = (values.double().numpy()[None, None] for values in (clean.clean[target, 0], out[k]))
        inside = clean.hearts[k].numpy()[None, None]
        for prefix, mask in (("", None), ("roi_", inside)):
            found[f"{prefix}psnr"].append(_capped(metrics.psnr(reference, test, data_range=1.0, mask=mask)))
            found[f"{prefix}ssim"].append(metrics.ssim(reference, test, data_range=1.0, mask=mask))
    return {key: fmean(values) for key, values in found.items()}


def _capped(psnr: float) -> float:
    return float(np.clip(psnr, None, 200.0))  # JSON knows no infinity


def wanted(
    scale: Scale, options: Options, methods: Sequence[str], noises: Mapping[Source, tuple[Noise, ...]]
) -> list[Job]:
    """Jobs of these methods on the phantom and, where files are named, on the cine. Raises InputError."""
    devices = jobs.devices(options.device)
    made: list[Job] = []
    for source in ("pincat", "cine") if options.data else ("pincat",):
        paths = options.data if source == "cine" else ()
        for noise in noises[source]:
            for name in sorted(methods, key=ORDER.index):
                lengths, device = scale.lengths[source], devices[len(made) % len(devices)]
                made.append(Job(name, source, noise, scale.sizes, lengths, options.folder, paths, options.seed, device))
    return [job for job in made if not absent(job.method)]


def absent(name: str) -> str:
    """Why a method cannot be run; empty where it can."""
    return baselines.absent(baselines.room(name).PACKAGE) if name in baselines.BASELINES else ""


def tiny() -> Scale:
    """The phantom's Table 1 in about an hour and a half on two cores of its own, half of it for D2S's 2000 steps.

    On the cine D2S takes the paper's 4000 steps: after 2000 it was still 1.0 dB below that, and no better than BM3D.
    """
    noises = (Noise("gaussian", 0.15), Noise("gaussian", 0.25), Noise("poisson", 20.0))
    lengths = Lengths(_paper(2000), dip=DIP_STEPS, self2self=S2S_STEPS, noise2void=N2V_STEPS)
    return Scale(
        Sizes(window=10, crop=128, targets=("middle",)),
        noises={"pincat": noises, "cine": (Noise("rician", 0.10),)},
        ablated={"pincat": noises, "cine": (Noise("rician", 0.10),)},
        lengths={"pincat": lengths, "cine": dataclasses.replace(lengths, paper=_paper(4000))},
    )


def full() -> Scale:
    """Every level of the tables on all frames; the paper's 2000 and 4000 steps, peers as long as they are made for."""
    noises = {source: tuple(Noise(*one) for one in columns) for source, columns in DEFORMED2SELF_COLUMNS.items()}
    ablated = {"pincat": noises["pincat"], "cine": (Noise("gaussian", 0.10), Noise("rician", 0.10))}
    lengths = {"pincat": Lengths(_paper(2000), dip=DIP_STEPS), "cine": Lengths(_paper(4000), dip=DIP_STEPS)}
    return Scale(Sizes(), noises, ablated, lengths)  # type: ignore[arg-type]


def _paper(steps: int) -> Deformed2SelfConfig:
    config = presets.paper()
    train: TrainConfig = dataclasses.replace(config.train, steps=steps)
    return dataclasses.replace(config, train=train)


SCALES: dict[str, Callable[[], Scale]] = {"tiny": tiny, "full": full}
