"""`clearmr simulate -o image`: noise laid on the images themselves, without coils and k-space."""

from pathlib import Path
from typing import TYPE_CHECKING

from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.scan import SnrImage
    from clearmr.simulate.scanning import ScanOptions

RAW = (".h5", ".mrd")


def is_raw(out: Path, image_noise: str | None) -> bool:
    """Whether a raw scan is asked for. Raises InputError for an ending or a noise that does not go with it."""
    if out.suffix.lower() in RAW:
        if image_noise:
            raise InputError("an image, ending in .npz or .nii.gz, with --image-noise", out.name, "rename the output")
        return True
    if not image_noise:
        todo = "raw data is written, or an image with --image-noise gaussian:0.1"
        raise InputError("an output ending in .h5 or .mrd", out.name, todo)
    return False


def noise_of(text: str) -> tuple[str, float]:
    """Model and level of "gaussian:0.15", "rician:0.1" or "poisson:20"."""
    from clearmr.simulate import NOISE_MODELS

    model, _, level = text.partition(":")
    try:
        number = float(level)
    except ValueError:
        number = 0.0
    if model not in NOISE_MODELS or not 0 < number < float("inf"):
        expected = f"--image-noise as MODEL:LEVEL with a model out of {', '.join(NOISE_MODELS)}"
        raise InputError(expected, text, "write for example gaussian:0.15, rician:0.1, or poisson:20 (counts)")
    return model, number


def checked(text: str, options: "ScanOptions") -> "ScanOptions":
    """Options of the cheapest scan, which gives the truth. Raises InputError where the user's own ask for another."""
    noise_of(text)
    scans = {"n_coils": 8, "acceleration": (1, 1), "noise_sd": None, "snr": None, "acs": 24, "partial_fourier": 1.0}
    asked = ", ".join(name for name, usual in scans.items() if options.get(name) != usual)
    if asked:
        raise InputError("either --image-noise or the options of a scan", asked, "leave those out")
    return {"n_coils": 1, "noise_sd": 0.0}


def pair(truth: "SnrImage", text: str, seed: int) -> tuple["SnrImage", "SnrImage"]:
    """The magnitude of `truth`, its peak 1, and the same under the noise that `text` tells."""
    import dataclasses

    import torch

    from clearmr import simulate

    model, level = noise_of(text)
    magnitude = truth.image.abs()
    clean = dataclasses.replace(truth, image=magnitude / magnitude.max())
    # A stream of its own: the scene was drawn from the seed itself.
    generator = torch.Generator().manual_seed(seed + 1)
    made = simulate.image_noise(model, clean.image, level, generator, spacing=truth.spacing)
    return clean, dataclasses.replace(made, affine=truth.affine, meta={**truth.meta, **made.meta})
