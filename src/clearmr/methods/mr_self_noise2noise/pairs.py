"""Two images of one scan with equal signal and independent noise, from disjoint halves of its k-space lines.

Jung et al. 2022, Fig. 1a and Appendix 1. Differences: images are in SNR units with the expected noise of each voxel;
coil maps are those of `ReconConfig` (Inati's; "walsh" is the paper's adaptive combination), the same for all three;
halves are filled and combined in one step, by unmixing in the image domain; lines of the ACS off the lattice are in no
half (the paper does not say); by default the halves move along kz from each ky line to the next.
"""

from dataclasses import replace

from torch import Tensor

from clearmr.denoiser import Progress, no_progress
from clearmr.errors import InputError
from clearmr.methods.mr_self_noise2noise.config import HalfPair, SplitConfig
from clearmr.recon import Calibration, ReconConfig, apply, calibrate, thin
from clearmr.recon.lattice import Lattice, interleave_points
from clearmr.scan import RawScan, SnrImage

STEPS = 5
LEAST_FILLED = 0.5  # of the fullest interleave's lines: an interleave with fewer is not complete


def split(
    scan: RawScan,
    config: SplitConfig | None = None,
    *,
    recon_config: ReconConfig | None = None,
    estimate_noise: bool = False,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> tuple[HalfPair, ...]:
    """A pair for every repetition or contrast of a 3D scan, images (1, z, y, x) complex64 of equal expected signal.

    Halves are interleaves 0 and factor / 2 of the acquired lattice. Their noise is independent: they share no line.
    Their GRAPPA kernel comes from the original scan's ACS. Signal is that of the SNR image over sqrt(factor).

    Raises InputError for 2D data, one coil, no ACS or too small a one, too few lines along the axis, an interleave
    whose lines are missing, an odd factor, and as `calibrate` does.
    """
    config = config or SplitConfig()
    _check(scan, config)
    progress(0, STEPS)
    whole = calibrate(scan, config=recon_config, estimate_noise=estimate_noise, device=device)
    _refuse_missing(scan, whole.lattice, config)
    progress(1, STEPS)
    original = _weaker(apply(scan, whole), config.factor**-0.5)
    progress(2, STEPS)
    part = thin(whole, axis=config.axis, factor=config.factor, caipi=config.caipi, kernel=config.kernel)
    del whole
    progress(3, STEPS)
    halves = [_half(scan, part, interleave=number) for number in (0, config.factor // 2)]
    progress(STEPS, STEPS)
    frames = range(original.image.shape[0])
    return tuple(HalfPair(_frame(halves[0], i), _frame(halves[1], i), _frame(original, i)) for i in frames)


def _check(scan: RawScan, config: SplitConfig) -> None:
    partitions = scan.encoding.encoded_matrix[0]
    if partitions == 1:
        raise InputError("3D raw data (several kz lines)", "2D data (one kz line)", "give a 3D scan")
    if scan.n_coils == 1:
        raise InputError("several coils, to fill the lines that a half lacks", "one coil", "give multi-coil raw data")
    if config.factor < 2 or config.factor % 2:
        raise InputError("an even split factor, 2 or more", f"{config.factor}", "choose 2 or 4")
    if min(config.kernel[:2]) < 2 or config.kernel[2] < 1:
        todo = "choose for example 4,4,3, or the paper's 2,2,3"
        raise InputError("a 3D kernel of at least 2 x 2 x 1 (k2, k1, k0)", f"{config.kernel}", todo)


def _refuse_missing(scan: RawScan, lattice: Lattice, config: SplitConfig) -> None:
    """Raise InputError where a frame lacks every line of one interleave, or most of them."""
    thinner = lattice.thinned(config.axis, config.factor)
    for frame, sampled in enumerate(scan.sampled):
        lines = [_lines(sampled, lattice, thinner, number) for number in range(config.factor)]
        fewest = min(range(config.factor), key=lines.__getitem__)
        if lines[fewest] < LEAST_FILLED * max(lines):
            which = ("the even", "the odd")[fewest] if config.factor == 2 else f"interleave {fewest} of the"
            found = f"{lines[fewest]} of {max(lines)} lines where {which} {config.axis} lines of frame {frame} belong"
            raise InputError(f"lines in all {config.factor} interleaves along {config.axis}", found, "check the scan")


def _lines(sampled: Tensor, lattice: Lattice, thinner: Lattice, number: int) -> int:
    return int((sampled & interleave_points(sampled, lattice, thinner, number)).sum())


def _half(scan: RawScan, part: Calibration, *, interleave: int) -> SnrImage:
    image = apply(scan, part, interleave=interleave)
    step = {"name": "half", "interleave": interleave, "lines_of_every": part.steps[-1]["factor"]}
    return replace(image, meta={**image.meta, "steps": [*image.meta["steps"], step]})


def _weaker(image: SnrImage, factor: float) -> SnrImage:
    step = {"name": "scale to the halves' signal", "factor": factor}
    meta = {**image.meta, "steps": [*image.meta["steps"], step]}
    return replace(image, image=image.image * factor, noise_sd=image.noise_sd * factor, meta=meta)


def _frame(image: SnrImage, number: int) -> SnrImage:
    """One frame of an image, (1, z, y, x)."""
    sd = image.noise_sd[number : number + 1] if image.noise_sd.shape[0] > 1 else image.noise_sd
    return replace(image, image=image.image[number : number + 1], noise_sd=sd)
