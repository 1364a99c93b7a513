"""The work of MR-self Noise2Noise's Table 2, as jobs done once: subjects scanned, networks trained and judged."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from clearmr import evaluate
from clearmr.methods.mr_self_noise2noise import method, store
from clearmr.methods.mr_self_noise2noise.config import BlendConfig, SelfNoise2NoiseConfig
from clearmr.reproduce import kept
from clearmr.reproduce import mr_self_noise2noise_data as scans
from clearmr.train import checkpoint

MAIN, CLEAN, BLIND, COMPLEX = "sn2n", "clean-targets", "blind", "complex"
NETS = (MAIN, CLEAN, BLIND, COMPLEX)
REFERENCES = ("truth", "noisy")
ALPHAS = tuple(k / 10 for k in range(11))
SHOWN, SLICES = (2, 6), "slices.safetensors"  # levels of the picture, and its file in the main network's folder
AT_HAND = 1e7  # voxels of the scans learnt from that are kept in memory, 36 bytes each


@dataclass(frozen=True)
class Scale:
    """The data's sizes, and the settings of the network that is told the noise; the others' follow from them."""

    sizes: scans.Sizes
    base: SelfNoise2NoiseConfig
    nets: tuple[str, ...] = NETS

    def config(self, net: str) -> SelfNoise2NoiseConfig:
        """Settings of a network: but for what its name says, the same for all."""
        base = self.base
        if net == BLIND:
            return dataclasses.replace(
                base,
                net=dataclasses.replace(base.net, noise_map=False, bias=True, scale="peak"),
                data=dataclasses.replace(base.data, added_noise=0.0),
                blend=BlendConfig("original"),
            )
        if net == COMPLEX:
            return dataclasses.replace(base, net=dataclasses.replace(base.net, image="complex"))
        return base


@dataclass(frozen=True)
class Scanning:
    """A subject to scan, for pairs to learn from or to be judged, by value: it is sent to another process."""

    subject: scans.Subject
    use: Literal["learn", "judge"]
    scale: Scale
    folder: Path

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the result, as JSON holds it."""
        values = {"subject": dataclasses.asdict(self.subject), "sizes": dataclasses.asdict(self.scale.sizes)}
        if self.use == "learn":
            values["split"] = dataclasses.asdict(self.scale.base.split)
        return kept.as_json(values)

    @property
    def figures_file(self) -> Path:
        return self.folder / "scans" / f"{self.subject.name}.json"

    @property
    def images_file(self) -> Path:
        return self.figures_file.with_suffix(".safetensors")

    @property
    def pairs_folder(self) -> Path:
        return self.folder / "pairs"

    def key(self, *, clean: bool) -> str:
        """Of its pairs in `pairs_folder`."""
        return hashlib.sha256(json.dumps({**self.settings, "clean": clean}, sort_keys=True).encode()).hexdigest()

    def pairs(self, *, clean: bool) -> list[store.StoredPair] | None:
        """Its pairs, where they are made."""
        return store.stored(self.pairs_folder, self.key(clean=clean))


def scanned(job: Scanning) -> dict[str, Any] | None:
    """The figures of a subject that is done. Raises InputError where it was done with other settings."""
    found = kept.read(job.figures_file, job.settings)
    if job.use == "learn":
        return found if job.pairs(clean=False) is not None and job.pairs(clean=True) is not None else None
    return found if job.images_file.is_file() else None


def scan(job: Scanning) -> dict[str, Any]:
    """Scan a subject, keep what is made of it, and write the figures of its original images."""
    began = time.monotonic()
    job.figures_file.parent.mkdir(exist_ok=True)
    found: dict[str, Any] = {"subject": job.subject.name}
    if job.use == "learn":
        _make_pairs(job)
    else:
        judged = scans.judged(job.subject, job.scale.sizes)
        labels = {name: tissues(getattr(judged, name), judged) for name in REFERENCES}
        scans.save(judged, labels, job.images_file)
        found["levels"] = [
            figures(image.image.abs() * factor, judged, labels, tissue=True) for image, factor in judged.levels
        ]
    found["seconds"] = round(time.monotonic() - began, 1)
    checkpoint.save_json({**found, "settings": job.settings}, job.figures_file)
    return found


def _make_pairs(job: Scanning) -> None:
    noisy, clean = scans.learnt_from(job.subject, job.scale.sizes, job.scale.base.split)
    for pairs, is_clean in ((noisy, False), (clean, True)):
        key, name = job.key(clean=is_clean), job.subject.name + ("-clean" if is_clean else "")
        store.write(pairs, job.pairs_folder, key, name=name, provenance=job.settings)


@dataclass(frozen=True)
class Training:
    """A network to train on the scans of some subjects and to judge on those of others, by value."""

    net: str
    seed: int
    scale: Scale
    folder: Path
    roles: scans.Roles
    device: str = "cpu"

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the result, as JSON holds it."""
        values = {
            "config": dataclasses.asdict(self.scale.config(self.net)),
            "sizes": dataclasses.asdict(self.scale.sizes),
            "roles": dataclasses.asdict(self.roles),
            "seed": self.seed,
        }
        return kept.as_json(values)

    @property
    def name(self) -> str:
        return f"{self.net}_{self.seed}"

    @property
    def run(self) -> Path:
        return self.folder / "runs" / self.name

    def scanning(self, subject: scans.Subject, use: Literal["learn", "judge"]) -> Scanning:
        return Scanning(subject, use, self.scale, self.folder)


def trained(job: Training) -> dict[str, Any] | None:
    """The figures of a network that is done. Raises InputError where it was done with other settings."""
    return kept.read(job.run / "figures.json", job.settings)


def train_and_judge(job: Training) -> dict[str, Any]:
    """Train (going on where it was stopped), judge, and write the `figures.json` of the network."""
    began = time.monotonic()
    job.run.mkdir(parents=True, exist_ok=True)
    denoiser = _fitted(job)
    done = time.monotonic()
    subjects = (*job.roles.judged, *(job.roles.others if job.net == MAIN else ()))
    found: dict[str, Any] = {"net": job.net, "seed": job.seed, "alpha": denoiser.alpha}
    found["subjects"] = {one.name: judge(denoiser, job, one) for one in subjects}
    found["seconds"] = {"training": round(done - began, 1), "judging": round(time.monotonic() - done, 1)}
    checkpoint.save_json({**found, "settings": job.settings}, job.run / "figures.json")
    return found


def _fitted(job: Training) -> method.SelfNoise2Noise:
    return method.fit(
        _pairs(job, job.roles.training),
        _pairs(job, job.roles.validation),
        job.scale.config(job.net),
        job.seed,
        run=job.run,
        resume=checkpoint.begun(job.run),
        device=job.device,
    )


def _pairs(job: Training, subjects: Sequence[scans.Subject]) -> list[Any]:
    """Of these subjects, as their images stay on disk or, where they take little memory, are read once."""
    scanning = [job.scanning(subject, "learn") for subject in subjects]
    found = [pair for one in scanning for pair in one.pairs(clean=job.net == CLEAN) or ()]
    return [pair.whole() for pair in found] if len(found) * np.prod(job.scale.sizes.matrix) < AT_HAND else found


def judge(denoiser: method.SelfNoise2Noise, job: Training, subject: scans.Subject) -> list[dict[str, Any]]:
    """Figures at every level; of the main network also tissues, and PSNR by the share of the original (alpha)."""
    judged, labels = scans.load(job.scanning(subject, "judge").images_file)
    main = job.net == MAIN
    found: list[dict[str, Any]] = []
    shown = {"truth": _slice(judged.truth)}
    for number, (image, factor) in enumerate(judged.levels):
        given = image if denoiser.config.image == "complex" else dataclasses.replace(image, image=image.image.abs())
        out, original = denoiser(given).image.abs() * factor, image.image.abs() * factor
        level: dict[str, Any] = dict(figures(out, judged, labels, tissue=main))
        if main:
            level["psnr_by_alpha"] = by_alpha(original, denoiser.output(given) * factor, judged)
        if number in SHOWN:
            shown |= {f"original{number}": _slice(original), f"denoised{number}": _slice(out)}
        found.append(level)
    if main and subject == job.roles.judged[0]:
        checkpoint.save_tensors(shown, job.run / SLICES)
    return found


def _slice(image: Tensor) -> Tensor:
    return image[0, image.shape[1] // 2]


def figures(
    image: Tensor, judged: scans.Judged, labels: Mapping[str, Tensor], *, tissue: bool
) -> dict[str, dict[str, float]]:
    """Of a magnitude (1, z, y, x) against the noise-free truth and the noisy scan: PSNR, SSIM, NRMSE in the head.

    tissue: also the mean Dice of three tissues, segmented in the brain in the same way from image and reference.
    """
    own = tissues(image, judged) if tissue else None
    found = {}
    for name in REFERENCES:
        values = evaluate.evaluate(getattr(judged, name), image, judged.head)
        found[name] = {key: float(values[key]) for key in ("psnr", "ssim", "nrmse")}
        if own is not None:
            found[name]["dice"] = evaluate.dice(labels[name], own).mean
    return found


def tissues(image: Tensor, judged: scans.Judged) -> Tensor:
    """Labels (z, y, x) of a magnitude in this subject's brain: CSF, grey and white matter."""
    return torch.from_numpy(evaluate.segment_tissues(image, mask=judged.brain, spacing=judged.levels[0][0].spacing))


def by_alpha(original: Tensor, output: Tensor, judged: scans.Judged) -> dict[str, list[float]]:
    """PSNR of alpha original + (1 - alpha) output for each of ALPHAS, by reference."""
    blends = [alpha * original + (1 - alpha) * output for alpha in ALPHAS]
    return {
        name: [-10 * float(((blend - reference)[judged.head] ** 2).mean().log10()) + peak for blend in blends]
        for name, reference, peak in ((n, r, 20 * float(r[judged.head].max().log10())) for n, r in _references(judged))
    }


def _references(judged: scans.Judged) -> Sequence[tuple[str, Tensor]]:
    return [(name, getattr(judged, name)) for name in REFERENCES]
