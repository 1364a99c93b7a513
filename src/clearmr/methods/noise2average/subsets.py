"""Two sets of volumes from one diffusion acquisition: each synthesised through the tensor fitted to half of the data.

The fourth kind of input of the abstract. The halves share no diffusion-weighted volume, so their noise is independent;
a single volume without weighting is in both, and its noise with it.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from clearmr.errors import InputError
from clearmr.evaluate import diffusion
from clearmr.methods.noise2average import masks
from clearmr.scan import SnrImage

LEAST_DIRECTIONS = 6
TRIALS = 400  # random splits, of which the best conditioned is taken
LONGEST = 4.0  # noise of a synthesised volume over that of a measured one: more, and the split is of no use


def sets_of(
    image: SnrImage, bvals: Float[np.ndarray, " volume"], bvecs: Float[np.ndarray, "volume 3"], *,
    mask: Tensor | None = None, seed: int = 0,
) -> tuple[SnrImage, SnrImage]:  # fmt: skip
    """All volumes of (volume, z, y, x) twice, from the tensor of either half; zeros outside the mask.

    noise_sd: of every voxel, as the weighted fit passes the noise on (`noise_left`). Raises InputError for complex
    images, fewer than 12 directions, and where DIPY is absent.
    """
    if image.is_complex:
        raise InputError("magnitudes of a diffusion series", "a complex image", "give its magnitude")
    diffusion.check_gradients(bvals, bvecs, image.image.shape[0])
    weight, _ = masks.mask_for([image], mask)
    halves = split(bvals, bvecs, seed=seed)
    return tuple(_synthesised(image, bvals, bvecs, half, weight) for half in halves)  # type: ignore[return-value]


def split(bvals: np.ndarray, bvecs: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Indices of two halves that each determine a tensor, the best conditioned of many; without weighting: shared out.

    Raises InputError where there are too few directions, or no volume without weighting.
    """
    plain, weighted = (np.flatnonzero(part) for part in (bvals <= diffusion.B0, bvals > diffusion.B0))
    if not len(plain):
        raise InputError("a volume without diffusion weighting (b up to 50)", "none", "give the whole acquisition")
    if len(weighted) < 2 * LEAST_DIRECTIONS:
        found = f"{len(weighted)} volumes with diffusion weighting"
        raise InputError(f"{2 * LEAST_DIRECTIONS} directions or more for two sets", found, "give repeats instead")
    halves_plain = (plain, plain) if len(plain) == 1 else (plain[::2], plain[1::2])
    generator, best, chosen = np.random.default_rng(seed), np.inf, None
    for _ in range(TRIALS):
        order = generator.permutation(weighted)
        halves = tuple(np.sort(np.concatenate([p, order[k::2]])) for k, p in enumerate(halves_plain))
        worst = max(float(noise_factors(bvals, bvecs, half).max()) for half in halves)
        if worst < best:
            best, chosen = worst, halves
    if chosen is None or best > LONGEST:
        found = f"halves whose tensors have {best:.3g} times the noise of a volume"
        raise InputError("directions that spread over the sphere", found, "give repeats instead")
    return chosen[0], chosen[1]


def noise_factors(bvals: np.ndarray, bvecs: np.ndarray, half: Sequence[int] | np.ndarray) -> np.ndarray:
    """(volume,): noise SD of each synthesised volume over that of a measured one, for a linear fit to `half`."""
    design = _design(bvals, bvecs)
    inverse = np.linalg.pinv(design[half].T @ design[half])
    if np.linalg.matrix_rank(design[half]) < design.shape[1]:
        return np.full(len(design), np.inf)
    return np.sqrt(np.einsum("vi,ij,vj->v", design, inverse, design))


def noise_left(
    signal: Float[np.ndarray, "volume voxel"], bvals: np.ndarray, bvecs: np.ndarray, half: np.ndarray
) -> Float[np.ndarray, "volume voxel"]:
    """Noise SD of synthesised signals over that of measured ones, for a fit to `half` weighted by squared signals.

    S_v sqrt(d_v (D' S^2 D)^-1 d_v'), D the rows d of the half: the root of the leverage (Basser et al. 1994).
    """
    design = _design(bvals, bvecs)
    most = signal.max(0).astype(np.float64)
    safe = np.where(most > 0, np.maximum(signal, 1e-3 * most) / np.maximum(most, 1e-20), 1)
    products = np.einsum("vi,vj->vij", design, design).reshape(len(design), -1)
    size = design.shape[1]
    inverse = np.linalg.inv((np.square(safe[half]).T @ products[half]).reshape(-1, size, size))
    return (safe * np.sqrt(products @ inverse.reshape(-1, size * size).T)).astype(np.float32)


def _design(bvals: np.ndarray, bvecs: np.ndarray) -> np.ndarray:
    """ln S = ln S0 - b g' D g, b in units of its largest."""
    b = bvals / max(float(bvals.max()), 1e-12)
    x, y, z = np.asarray(bvecs, dtype=np.float64).T
    return np.stack([np.ones_like(b), *(-b * q for q in (x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z))], 1)


def _synthesised(
    image: SnrImage, bvals: np.ndarray, bvecs: np.ndarray, half: np.ndarray, weight: Tensor
) -> SnrImage:  # fmt: skip
    maps = diffusion.fit_dti(image.image[half], bvals[half], bvecs[half], weight)
    values = np.asarray(diffusion.synthesised(maps, bvals, bvecs), dtype=np.float32)
    inside, factors = weight.numpy() > 0, np.ones_like(values)
    factors[:, inside] = noise_left(values[:, inside], bvals, bvecs, half)
    step = {"name": "synthesise", "from volumes": [int(k) for k in half]}
    step |= {"noise factors": np.median(factors[:, inside], axis=1).tolist()}
    meta = {**image.meta, "steps": [*image.meta.get("steps", []), step]}
    made = torch.from_numpy(values).clamp_min(0)
    return dataclasses.replace(
        image, image=made, noise_sd=image.noise_sd.float() * torch.from_numpy(factors), meta=meta
    )
