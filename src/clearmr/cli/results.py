"""The results folder that a report is made of: results.json and arrays.npz."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from clearmr import evaluate
from clearmr.errors import InputError
from clearmr.scan import SnrImage

NOISE_NOTES = {
    "measured": "Measured: noise-only readouts of the scanner, scaled by both dwell times and the receiver's noise "
    "bandwidth (Kellman & McVeigh 2005), and followed through every step of the reconstruction.",
    "given": "Given by the user or by the file; ClearMR has not checked it against a noise scan.",
    "estimated": "ESTIMATED from the data themselves, because no noise scan was there. Treat SNR figures with care.",
}


def write_results(
    folder: Path,
    noisy: SnrImage,
    denoised: SnrImage,
    *,
    title: str,
    model: dict[str, Any],
    provenance: dict[str, Any],
    reference: SnrImage | None = None,
) -> dict[str, Any]:
    """Judge a denoising and write `folder` (whole or not at all); gives what went into results.json."""
    judged = evaluate.removed_noise(noisy, denoised)
    statistics = {key: judged[key] for key in ("mean", "sd", "kurtosis", "histogram", "by_gmap") if key in judged}
    results = {
        "title": title,
        "warnings": list(denoised.meta.get("warnings", [])),
        "noise_source": noisy.noise_source,
        "noise_note": NOISE_NOTES[noisy.noise_source],
        "method": "snraware",
        "model": model,
        "statistics": statistics,
        "snr": judged["snr"],
        "metrics": _metrics(noisy, denoised, reference),
        "steps": [dict(step) for step in denoised.meta.get("steps", [])],
        "spacing": list(noisy.spacing),
        "provenance": provenance,
    }
    arrays = {"noisy": noisy.image, "denoised": denoised.image, "gmap": noisy.gmap, "noise_sd": noisy.noise_sd}
    if reference is not None:
        arrays["reference"] = reference.image
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    np.savez(temporary / "arrays.npz", allow_pickle=False, **{name: value.numpy() for name, value in arrays.items()})
    (temporary / "results.json").write_text(json.dumps(results, indent=1, default=str) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    return results


def _metrics(noisy: SnrImage, denoised: SnrImage, reference: SnrImage | None) -> dict[str, Any]:
    if reference is None:
        return {}
    truth = reference.image.abs()
    return {
        "noisy": evaluate.evaluate(truth, noisy.image.abs()),
        "denoised": evaluate.evaluate(truth, denoised.image.abs()),
    }


def input_hash(paths: list[Path]) -> str:
    """SHA-256 over the bytes of all inputs, in order (a folder: over its files by name)."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(file.read_bytes())
    return digest.hexdigest()


def scaled_to(reference: SnrImage, image: SnrImage) -> SnrImage:
    """A noise-free reference in the scale (and, voxel by voxel, no other change) that best fits `image`."""
    if reference.image.shape != image.image.shape:
        found = f"{tuple(reference.image.shape)} and {tuple(image.image.shape)}"
        raise InputError("a reference of the image's shape", found, "give the reference of this scan")
    truth, other = reference.image.abs(), image.image.abs()
    scale = float((truth * other).sum() / truth.square().sum())
    return dataclasses.replace(reference, image=reference.image * scale)
