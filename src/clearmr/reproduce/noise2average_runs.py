"""The work of Noise2Average's tables, as jobs done once: one method on the repeats of one subject, judged and kept."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from clearmr import baselines, evaluate
from clearmr.evaluate import diffusion
from clearmr.reproduce import Options, jobs, kept, noise2average_methods
from clearmr.reproduce.kept import Found
from clearmr.reproduce.noise2average_data import SIMULATED, Kind, Setting, Sizes, Subject, repeats, subject
from clearmr.reproduce.noise2average_methods import FILTERS, Given, Lengths
from clearmr.scan import SnrImage

# What is most wanted comes first.
METHODS = (
    "noisy", "average", "ours", "published", "noise2noise", "supervised", "net", "asm-average", "asm-each",
    "mppca-average", "mppca-each", "bm4d-average", "bm4d-each",
)  # fmt: skip
DTI_ONLY = ("mppca-average", "mppca-each")
JUDGING = 3000  # added to the seed: heads that no network has seen


@dataclass(frozen=True)
class Scale:
    """Sizes, settings and lengths of a table; left_out: (setting, method) that are not run."""

    sizes: Sizes
    settings: tuple[Setting, ...]
    lengths: Lengths
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Job(kept.Job):
    """One method on one subject's repeats."""

    kind: Kind
    method: str
    source: str
    setting: Setting
    sizes: Sizes
    lengths: Lengths
    folder: Path
    seed: int = 0
    device: str = field(default="cpu", compare=False)

    @property
    def who(self) -> str:
        """The subject's name: "simulated", or the file's."""
        return self.source if self.source == SIMULATED else Path(self.source).name.partition(".")[0]

    @property
    def name(self) -> str:
        return f"{self.method}_{self.who}_{self.setting.name}"

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the result, as JSON holds it; of the data the name, of lengths those of this method."""
        values: dict[str, Any] = {"kind": self.kind, "seed": self.seed, "setting": dataclasses.asdict(self.setting)}
        values |= {"sizes": dataclasses.asdict(self.sizes), "file": self.who}
        if self.method in ("published", "noise2noise", "supervised"):
            values |= {"length": dataclasses.asdict(self.lengths.tuning), "rounds": self.lengths.rounds}
        if self.method in ("ours", "supervised"):
            ours = dataclasses.asdict(noise2average_methods.ours(self.lengths))
            values["ours"] = {key: ours[key] for key in ("scheme", "rounds", "tuning", "known")}
        return kept.as_json(values)

    def data(self) -> Subject:
        return subject(self.kind, self.source, self.sizes, JUDGING + self.seed)

    def repeats(self) -> tuple[SnrImage, ...]:
        return repeats(self.data(), self.setting, self.sizes, self.seed)


def work(job: Job) -> Found:
    """Denoise, judge, and keep the images and figures."""
    who, images = job.data(), job.repeats()
    given = Given(images, who.brain, who.clean, job.lengths, job.seed, job.device)
    began = time.perf_counter(), time.process_time()
    result = noise2average_methods.made(job.method, given)
    found: Found = {"method": job.method, "subject": job.who, "setting": job.setting.name, "name": job.name}
    found["seconds"] = round(time.perf_counter() - began[0], 1)
    found["cpu_seconds"] = round(time.process_time() - began[1], 1)
    average = sum(image.image for image in images) / len(images)
    assert isinstance(average, Tensor)
    found["figures"] = {label: figures(out, average, who) for label, out in result.images.items()}
    found["rounds"] = [{key: one[key] for key in one if key != "kept"} for one in result.rounds]
    return job.keep(found, {label: out.float() for label, out in result.images.items()})


def figures(out: Tensor, average: Tensor, who: Subject) -> dict[str, float]:
    """PSNR in dB, SSIM, sharpness, residual structure inside the brain; of DTI the maps' errors in white matter."""
    inside = who.brain[None]
    found = evaluate.evaluate(who.clean, out, inside)
    values = {key: float(found[key]) for key in ("psnr", "ssim", "nrmse")}
    values |= evaluate.sharpness(who.clean, out, inside, spacing=who.spacing)
    values["residual_structure"] = evaluate.residual_structure(who.clean, average, out, inside)
    if who.maps is None or who.white is None or who.bvals is None or who.bvecs is None:
        return values
    maps = diffusion.fit_dti(out, who.bvals, who.bvecs, who.brain)
    return values | diffusion.dti_errors(who.maps, maps, who.white)


def wanted(kind: Kind, scale: Scale, options: Options, sources: Sequence[str]) -> list[Job]:
    """Jobs of every method on every source in every setting."""
    devices = jobs.devices(options.device)
    made: list[Job] = []
    for source in sources:
        for setting in scale.settings:
            for method in METHODS:
                if absent(method) or (kind == "t1w" and method in DTI_ONLY):
                    continue
                if (setting.name, method) in scale.left_out:
                    continue
                device = devices[len(made) % len(devices)]
                parts = (kind, method, source, setting, scale.sizes, scale.lengths, options.folder, options.seed)
                made.append(Job(*parts, device=device))  # type: ignore[arg-type]
    return made


def absent(method: str) -> str:
    """Why a method cannot be run; empty where it can."""
    peer = method.partition("-")[0]
    return baselines.absent(baselines.room(peer).PACKAGE) if peer in FILTERS else ""
