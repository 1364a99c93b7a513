"""The results folder that a report is made of: results.json and arrays.npz."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from clearmr import baselines, evaluate, files, road
from clearmr.cli import common
from clearmr.denoiser import Denoiser, no_progress
from clearmr.scan import SnrImage

STATISTICS = ("kind", "voxels", "mean", "sd", "kurtosis", "parts", "histogram", "by_gmap")


def judge(
    noisy: SnrImage,
    denoised: SnrImage,
    *,
    title: str,
    model: dict[str, Any],
    provenance: dict[str, Any],
    reference: SnrImage | None = None,
    denoiser: Denoiser | None = None,
    again: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """What results.json holds (see `clearmr.report.results.Results`). Raises InputError where nothing can be judged.

    denoiser: what made the image, for the card of its model; again: run it five times more on a crop, for the trust
    checks that need it.
    """
    judged = evaluate.removed_noise(noisy, denoised)
    checks = evaluate.trust(
        noisy,
        denoised,
        denoiser=_quiet(denoiser) if again else None,
        card={"name": getattr(denoiser, "name", "the model"), **getattr(denoiser, "card", {})},
        seed=seed,
    )
    done = road.steps(denoised)
    return {
        "title": title,
        "warnings": list(denoised.meta.get("warnings", [])),
        "noise_source": noisy.noise_source,
        "noise_note": noise_note(noisy),
        "method": next((str(step["method"]) for step in reversed(done) if step["name"] == "denoise"), "unknown"),
        "model": model,
        "statistics": {key: judged[key] for key in STATISTICS},
        "trust": [check.as_dict() for check in checks],
        "trust_verdict": evaluate.verdict_of(checks),
        "snr": {**judged["snr"], "noise_left": judged["noise_left"], "note": judged["note"]},
        "metrics": _metrics(noisy, denoised, reference),
        "steps": done,
        "spacing": list(noisy.spacing),
        "provenance": provenance,
    }


def takes_long(denoiser: Denoiser) -> bool:
    """Whether it learns from the image itself, for minutes or hours: then it is not run again unasked."""
    if denoiser.name in baselines.BASELINES:
        return bool(baselines.room(denoiser.name).LEARNS)
    return hasattr(denoiser, "budget_s") or hasattr(denoiser, "of_repeats")


def uncertainty_of(noisy: SnrImage, denoiser: Denoiser, *, replicas: int, seed: int) -> Tensor:
    """SD of each voxel of the result, (frame, z, y, x) in the image's unit, by so many pseudo-replicas."""
    quiet = _quiet(denoiser)
    assert quiet is not None
    return evaluate.denoiser_replicas(noisy, quiet, replicas=replicas, seed=seed).noise_sd[1]


def trust_lines(judged: dict[str, Any]) -> list[str]:
    """The verdict, and what was said by each check that did not pass."""
    counts = {v: sum(c["verdict"] == v for c in judged["trust"]) for v in ("pass", "caution", "fail", "not run")}
    told = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)
    faults = [c for c in judged["trust"] if c["verdict"] in ("caution", "fail")]
    return [f"trust: {judged['trust_verdict']} ({told})", *(f"  {c['verdict']}: {c['said']}" for c in faults)]


def _quiet(denoiser: Denoiser | None) -> Denoiser | None:
    """The denoiser without its progress, whose bar is gone."""
    if denoiser is None or not hasattr(denoiser, "progress"):
        return denoiser
    return dataclasses.replace(denoiser, progress=no_progress)  # type: ignore[type-var]


def write(
    folder: Path,
    judged: dict[str, Any],
    noisy: SnrImage,
    denoised: SnrImage,
    *,
    reference: SnrImage | None = None,
    uncertainty: Tensor | None = None,
    force: bool = False,
) -> Path:
    """Write `folder`, whole or not at all. Raises InputError where it exists and `force` is not set."""
    arrays = {"noisy": noisy.image, "denoised": denoised.image, "gmap": noisy.gmap, "noise_sd": noisy.noise_sd}
    if reference is not None:
        arrays["reference"] = reference.image.abs() if not noisy.is_complex else reference.image
    if uncertainty is not None:
        arrays["uncertainty"] = uncertainty
    with files.whole_folder(folder, force=force) as temporary:
        np.savez(temporary / "arrays.npz", **{name: value.cpu().numpy() for name, value in arrays.items()})  # type: ignore[arg-type]
        (temporary / "results.json").write_text(common.as_json(judged), encoding="utf-8")
    return folder


def noise_note(image: SnrImage) -> str:
    """Where the noise level of this very image comes from, in words, from the steps that were recorded."""
    notes = {"prewhiten": _of_raw, "estimate noise": _of_image, "noise given": _of_user}
    for step in reversed(road.steps(image)):
        if step["name"] in notes:
            return notes[step["name"]](step)
    return {
        "given": "Read from the image's file; not checked against a noise scan.",
        "measured": "Measured, says the image's file, which does not say how.",
    }.get(image.noise_source, "")


def _of_raw(step: dict[str, Any]) -> str:
    if step.get("noise") != "measured":
        return f"Estimated from the {step.get('from', 'data')}, as the scan has no noise readouts that could be used."
    sentence = f"{step['noise_samples']} noise samples per coil, {step['noise_dwell_us']:g} us each; image samples of "
    sentence += f"{step['dwell_us']:g} us, receiver noise bandwidth ratio {step['bandwidth_ratio']:g}"
    averaged = f", averaging left {step['average_noise']:.3g} of the noise" if step["average_noise"] != 1 else ""
    return f"{sentence}{averaged}: whitened with a scale of {step['scale']:.4g} (Kellman & McVeigh 2005)."


def _of_image(step: dict[str, Any]) -> str:
    return f"SD {step['noise_sd']:.4g} of each of the real and imaginary parts. {step.get('note', '')}".strip()


def _of_user(step: dict[str, Any]) -> str:
    return f"Median SD {step['median_noise_sd']:.4g} of each of the real and imaginary parts, from {step['source']}."


def model_summary(denoiser: Denoiser) -> dict[str, Any]:
    """What the report says of a denoiser's model; methods without a network have only a name."""
    net, card = getattr(denoiser, "net", None), getattr(denoiser, "card", {})
    size = {} if net is None else {"parameters": sum(p.numel() for p in net.parameters())}
    return {"name": denoiser.name, **size, **{key: card[key] for key in ("sha256", "licence") if key in card}}


def _metrics(noisy: SnrImage, denoised: SnrImage, reference: SnrImage | None) -> dict[str, Any]:
    if reference is None:
        return {}
    return {
        "noisy": evaluate.evaluate(reference.image, noisy.image),
        "denoised": evaluate.evaluate(reference.image, denoised.image),
    }
