"""Training pairs of SNRAware: from a complex 30x192x160 series with 7 g maps to 3x16x64x64 patches.

The peer is a plain NumPy version of the order of work of Xue et al.'s code, with the same draws: noise for the whole
series, filtered by FFTs of the whole series, times g, scaled, and then cropped. Both on one thread.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clearmr.bench.timing import Options, best_of, ratios
from clearmr.methods.snraware import noise, pairs, patches, store
from clearmr.methods.snraware.config import DataConfig, SnrAwareConfig

SHAPE, PATCH, MAPS = (30, 192, 160), (16, 64, 64), 7
PATCHES, PEER_PATCHES, RUNS = 450, 6, 2
AUTHORS = 7.0  # patches per second of the authors' code with the same options on two cores


def run(options: Options) -> dict[str, Any]:
    """Seconds per patch and patches per second of both, and their ratio."""
    del options  # one thread each: more would help one of the two only
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        series, gmaps = problem()
        with tempfile.TemporaryDirectory() as folder:
            made = samples(Path(folder), series, gmaps)
            seconds, _ = best_of(lambda: [made(step, 0) for step in range(PATCHES)], runs=RUNS)
        arrays = series.numpy(), np.concatenate([np.ones((1, *SHAPE[1:]), np.float32), gmaps.numpy()])
        peer, _ = best_of(lambda: [whole_series_patch(*arrays, seed) for seed in range(PEER_PATCHES)], runs=RUNS)
    finally:
        torch.set_num_threads(threads)
    entry: dict[str, Any] = {
        "clearmr": _figures(seconds / PATCHES),
        "whole series in NumPy": _figures(peer / PEER_PATCHES),
    }
    return entry | {
        "times slower than clearmr": ratios(entry),
        "times the authors' 7 patches/s": round(PATCHES / seconds / AUTHORS, 1),
    }


def _figures(seconds: float) -> dict[str, float]:
    return {"seconds": seconds, "patches_per_second": round(1 / seconds, 1)}


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    """A complex series (frame, y, x) in SNR units and smooth g maps (7, y, x) that grow."""
    generator = torch.Generator().manual_seed(0)
    series = 50 + torch.complex(*torch.randn((2, *SHAPE), generator=generator))
    y, x = (torch.linspace(-1, 1, n) for n in SHAPE[1:])
    bump = torch.exp(-2 * (y[:, None].square() + x.square()))
    return series, torch.stack([1 + 0.3 * (r + 1) * bump for r in range(MAPS)])


def samples(folder: Path, series: torch.Tensor, gmaps: torch.Tensor) -> pairs.Samples:
    """The series as a prepared corpus, and the paper's pairs from it: complex, told g, unwarped."""
    ones = torch.ones(1, 1, *SHAPE[1:])
    accelerations = tuple(range(2, 2 + MAPS))
    entry = store.Entry(
        series[:, None], ones, ones, gmaps[:, None], accelerations, "bench", (1.0, 1.0, 1.0), "given", (), {}
    )
    store.write_index(folder, [store.write_series(entry, folder / "0.h5", provenance={})], provenance={})
    data = DataConfig(
        patch=PATCH, batch=1, single_frame_probability=0.0, magnitude_probability=0.0, synthetic=0.0, warped=0.0
    )
    sampler = patches.PatchSampler(store.open_corpus(folder), [], data)
    return pairs.Samples(sampler, torch.ones(1, *PATCH[1:]), SnrAwareConfig(data=data), 0)


def whole_series_patch(series: np.ndarray, gmaps: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(3, T, H, W) input and (2, T, H, W) target, float32: everything for the whole series, then the crop."""
    rng = np.random.default_rng(seed)
    draw = noise.draw_noise(SnrAwareConfig().noise, len(gmaps), torch.Generator().manual_seed(seed))
    parts = rng.standard_normal((2, *series.shape), dtype=np.float32)
    correlated = filter_frames(parts[0] + 1j * parts[1], draw)
    noisy = series + draw.sigma * correlated * gmaps[draw.gmap]
    scale = np.float32((draw.sigma**2 + 1) ** -0.5)
    noisy, clean = noisy * scale, series * scale
    starts = [int(rng.integers(n - m + 1)) for n, m in zip(series.shape, PATCH, strict=True)]
    t, y, x = (slice(a, a + m) for a, m in zip(starts, PATCH, strict=True))
    sd = np.sqrt(1 + (draw.sigma * gmaps[draw.gmap][y, x]) ** 2) * scale
    channels = [noisy[t, y, x].real, noisy[t, y, x].imag, np.broadcast_to(sd, PATCH)]
    target = np.stack([clean[t, y, x].real, clean[t, y, x].imag])
    return np.stack(channels).astype(np.float32), target.astype(np.float32)


def filter_frames(frames: np.ndarray, draw: noise.NoiseDraw) -> np.ndarray:
    """Frames (n, y, x) through their k-space, times the drawn filters, and back."""
    n_y, n_x = frames.shape[-2:]
    response = np.outer(noise.axis_response(n_y, draw.y).numpy(), noise.axis_response(n_x, draw.x).numpy())
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(frames, (-2, -1))), (-2, -1))
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace * response.astype(np.float32), (-2, -1))), (-2, -1))
