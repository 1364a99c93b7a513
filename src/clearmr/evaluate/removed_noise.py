"""What a denoiser took away, in units of the noise that was there: noise alone would be N(0, 1)."""

from itertools import pairwise
from typing import Any

import numpy as np

from clearmr.errors import InputError
from clearmr.scan import SnrImage

G_EDGES = (0.0, 1.25, 1.5, 2.0, 3.0, np.inf)  # ranges of g in which the SD is told
_BINS = np.linspace(-5, 5, 51)
_OBJECT_SNR = 2.0


def removed_noise(noisy: SnrImage, denoised: SnrImage) -> dict[str, Any]:
    """Statistics of z = (noisy - denoised) / noise_sd of the noisy image, JSON-able.

    kind: "complex" (z of the real and of the imaginary part) or "magnitude" (z of the magnitude alone: N(0, 1) only
    where the SNR is over about 3; below, Rician noise is not Gaussian and its SD is smaller). Voxels of exact zero or
    without noise_sd are left out. Keys: voxels; mean, sd, kurtosis (excess: 0 for a Gaussian) of all z; parts {real,
    imaginary | magnitude: the same}; histogram {edges, counts, beyond (how many z outside the edges)};
    by_gmap [{g_low, g_high, voxels, sd}]; snr {before, after} (median over the object, |denoised| > 2 noise_sd);
    noise_left (estimated SD of what is left, in noise_sd); note.

    noise_left is sqrt(1 - mean z^2): exact where what is taken and what is left are uncorrelated (a projection);
    structure among the removed makes it too small, so it is None where that is not positive, and snr after with it.
    """
    if noisy.image.shape != denoised.image.shape:
        expected, found = (str(tuple(i.image.shape)) for i in (noisy, denoised))
        raise InputError(f"a denoised image of shape {expected}", found, "give the result of denoising this image")
    as_complex = noisy.is_complex and denoised.is_complex
    before, after = (_numbers(i, as_complex) for i in (noisy, denoised))
    sd = np.broadcast_to(noisy.noise_sd.abs().cpu().numpy(), before.shape).astype(np.float64)
    used = (sd > 0) & (before != 0) & np.isfinite(before) & np.isfinite(after)
    if not used.any():
        raise InputError("voxels with signal and a noise_sd over 0", "none", "give the noise level with --noise-sd")
    z = (before[used] - after[used]) / sd[used]
    parts = {"real": z.real, "imaginary": z.imag} if as_complex else {"magnitude": z}
    together = np.concatenate(list(parts.values()))
    gmap = np.broadcast_to(noisy.gmap.abs().cpu().numpy(), before.shape)[used]
    return {
        "kind": "complex" if as_complex else "magnitude",
        "voxels": int(used.sum()),
        **_moments(together),
        "parts": {name: _moments(values) for name, values in parts.items()},
        "histogram": _histogram(together),
        "by_gmap": _by_g(parts, gmap),
        **_snr(np.abs(before[used]) / sd[used], np.abs(after[used]) / sd[used], float(np.mean(together**2))),
        "note": _NOTES["complex" if as_complex else "magnitude"],
    }


_NOTES = {
    "complex": "real and imaginary parts of what was removed, over noise_sd; pure noise is N(0, 1) at the most",
    "magnitude": "what was removed from the magnitude, over noise_sd of the complex image; at low SNR not N(0, 1)",
}


def _numbers(image: SnrImage, as_complex: bool) -> np.ndarray:
    array = image.image.detach().cpu().numpy()
    return array.astype(np.complex128) if as_complex else np.abs(array).astype(np.float64)


def _moments(z: np.ndarray) -> dict[str, float]:
    mean, sd = float(z.mean()), float(z.std())
    kurtosis = float(np.mean((z - mean) ** 4)) / sd**4 - 3 if sd > 0 else 0.0
    return {"mean": mean, "sd": sd, "kurtosis": kurtosis}


def _histogram(z: np.ndarray) -> dict[str, Any]:
    counts, edges = np.histogram(z, _BINS)
    return {"edges": edges.tolist(), "counts": counts.tolist(), "beyond": int(z.size - counts.sum())}


def _by_g(parts: dict[str, np.ndarray], gmap: np.ndarray) -> list[dict[str, float | int]]:
    rows: list[dict[str, float | int]] = []
    for low, high in pairwise(G_EDGES):
        chosen = (gmap >= low) & (gmap < high)
        if chosen.any():
            sd = float(np.concatenate([v[chosen] for v in parts.values()]).std())
            low, high = float(gmap[chosen].min()), float(gmap[chosen].max())
            rows.append({"g_low": low, "g_high": high, "voxels": int(chosen.sum()), "sd": sd})
    return rows


def _snr(before: np.ndarray, after: np.ndarray, power: float) -> dict[str, Any]:
    """Median SNR over the object before, and after where what is left can be told."""
    inside = after > _OBJECT_SNR
    left = float(np.sqrt(1 - power)) if power < 1 else None
    if not inside.any():
        return {"noise_left": left, "snr": {"before": None, "after": None}}
    first = float(np.median(before[inside]))
    second = float(np.median(after[inside])) / left if left else None
    return {"noise_left": left, "snr": {"before": first, "after": second}}
