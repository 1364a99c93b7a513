"""`clearmr simulate`: a raw scan of a phantom or of an image, written as MRD; noise laid on the image itself; DWI."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearmr.cli import common, simulate_dwi, simulate_image
from clearmr.errors import InputError

if TYPE_CHECKING:
    from clearmr.scan import SnrImage
    from clearmr.simulate import Simulated
    from clearmr.simulate.scanning import ScanOptions

NAME = "simulate"
EXAMPLE = "clearmr simulate cine -o cine.h5 --acceleration 4"


def run(
    scene: Annotated[str, typer.Argument(help="phantom, cine, brain, pincat, dwi, or an image (NIfTI, npz, npy).")],
    out: Annotated[Path, typer.Option("-o", "--out", help="MRD file (.h5); an image with --image-noise, and of dwi.")],
    coils: Annotated[int, typer.Option(help="Receiver coils.")] = 8,
    acceleration: Annotated[str, typer.Option(help="R, or R1xR2 for 3D.")] = "1",
    noise_sd: Annotated[
        float | None, typer.Option(help="Noise SD of each of real and imaginary, for a peak of 1.")
    ] = None,
    snr: Annotated[
        float | None, typer.Option(help="Mean SNR of the object, fully sampled, instead of --noise-sd.")
    ] = None,
    matrix: Annotated[int | None, typer.Option(min=16, help="Image size of a scene, pixels.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames of a scene.")] = None,
    variety: Annotated[
        float | None, typer.Option(help="How much brains of other seeds differ: 0 to 1.5; 1: as people.")
    ] = None,
    contrast: Annotated[str | None, typer.Option(help="Of the brain: t1, t2 or black-blood.")] = None,
    acs: Annotated[int, typer.Option(min=0, help="Calibration lines.")] = 24,
    partial_fourier: Annotated[float, typer.Option(help="Acquired fraction of the phase encoding.")] = 1.0,
    image_noise: Annotated[
        str | None, typer.Option(help="No scan: noise on the image, gaussian:SD, rician:SD or poisson:COUNTS.")
    ] = None,
    directions: simulate_dwi.Directions = None,
    bvalue: simulate_dwi.BValue = None,
    repeats: simulate_dwi.Repeats = None,
    misalign: simulate_dwi.Misalign = None,
    truth: Annotated[Path | None, typer.Option(help="Write the noise-free image here too (.npz, .nii.gz).")] = None,
    seed: common.Seed = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Simulate a multi-coil scan with correlated receiver noise and a noise scan, and write it as MRD.

    With --image-noise there is no scan: the image's magnitude, its peak made 1, gets noise of that level as it is.
    dwi: diffusion-weighted magnitudes of a head whose tensors are known, with Rician noise, as NIfTI.
    """
    of_dwi: dict[str, Any] = {"directions": directions, "bvalue": bvalue, "repeats": repeats, "misalign": misalign}
    if scene == simulate_dwi.SCENE and not Path(scene).exists():
        scans = {"coils": (coils, 8), "acceleration": (acceleration, "1"), "frames": (frames, None), "acs": (acs, 24)}
        scans |= {"contrast": (contrast, None), "image-noise": (image_noise, None)}
        scans |= {"partial-fourier": (partial_fourier, 1.0)}
        simulate_dwi.write(
            out, matrix=matrix, noise_sd=noise_sd, snr=snr, variety=variety, **of_dwi,
            refused=scans, truth=truth, seed=seed, force=force, quiet=quiet,
        )  # fmt: skip
        return
    _only_of_dwi(of_dwi, scene)
    raw = simulate_image.is_raw(out, image_noise)
    common.refuse_existing([out, *([truth] if truth else [])], force=force)
    factors = _factors(acceleration)
    if truth:
        common.refuse_image(truth, force=force)
    options: ScanOptions = {
        "n_coils": coils,
        "acceleration": factors,
        "noise_sd": noise_sd,
        "snr": snr,
        "acs": acs,
        "partial_fourier": partial_fourier,
    }
    if image_noise and not raw:
        options = simulate_image.checked(image_noise, options)
        common.refuse_image(out, force=force)
    own = {"matrix": matrix, "n_frames": frames, "variety": variety, "contrast": contrast}
    simulated, origin = _simulated(scene, {k: v for k, v in own.items() if v is not None}, options, seed)
    made = {"seed": seed, **origin}
    if image_noise:
        line = _write_noisy(simulated, made, image_noise, out, truth, force)
    else:
        line = f"{_write_scan(simulated, made, out, truth, force)}, R = {acceleration}"
    common.say(f"{out}: {line}", quiet=quiet)


def _write_noisy(
    simulated: "Simulated", made: dict[str, Any], image_noise: str, out: Path, truth: Path | None, force: bool
) -> str:
    """The image with noise laid on it, and the clean one; a line about it."""
    from clearmr import formats

    clean, noisy = simulate_image.pair(_truth(simulated, made), image_noise, made["seed"])
    formats.save(noisy, out, force=force)
    if truth:
        formats.save(clean, truth, force=force)
    return f"{common.shape(noisy.image)} (frame, z, y, x), {image_noise}"


def _write_scan(simulated: "Simulated", made: dict[str, Any], out: Path, truth: Path | None, force: bool) -> str:
    """The raw scan, and the noise-free image; a line about it."""
    from clearmr import formats

    formats.save_raw(simulated.scan, out, force=force)
    if truth:
        formats.save(_truth(simulated, made), truth, force=force)
    return f"k-space {common.shape(simulated.scan.kspace)} (frame, coil, k2, k1, k0)"


def _only_of_dwi(given: dict[str, Any], scene: str) -> None:
    asked = ", ".join(f"--{name}" for name, value in given.items() if value is not None)
    if asked:
        raise InputError("these options of the scene dwi", f"{asked} beside {scene}", "leave that out, or simulate dwi")


def _factors(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if not 1 <= len(parts) <= 2 or not all(p.isascii() and p.isdigit() and int(p) > 0 for p in parts):
        raise InputError("--acceleration as R or R1xR2", text or "nothing", "write for example 4 or 2x2")
    return int(parts[0]), int(parts[1]) if len(parts) == 2 else 1


def _simulated(
    scene: str, own: dict[str, Any], options: "ScanOptions", seed: int
) -> tuple["Simulated", dict[str, Any]]:
    """The scan of a scene with its `own` options, or of an image file, and the provenance of the file."""
    from clearmr import simulate

    if not _is_file(scene):
        return simulate.simulate(scene, seed=seed, **own, **options), {}
    if own:
        names = ", ".join(f"--{'frames' if name == 'n_frames' else name}" for name in own)
        raise InputError("an image as it is", f"{names} beside {scene}", "leave that out: it is for scenes")
    image = _image(Path(scene))
    fov = tuple(size * n for size, n in zip(image.spacing, image.image.shape[1:], strict=True))
    place: dict[str, Any] = {"fov": fov, "affine": image.affine, "name": Path(scene).name}
    return simulate.scan_of(image.image, **place, seed=seed, **options), common.inputs([Path(scene)])


def _is_file(scene: str) -> bool:
    from clearmr.simulate import SCENES

    return scene not in {s.name for s in SCENES} and (Path(scene).suffix != "" or Path(scene).exists())


def _image(path: Path) -> "SnrImage":
    from clearmr import formats
    from clearmr.scan import SnrImage

    loaded = formats.load(path)
    if not isinstance(loaded, SnrImage):
        raise InputError("an image to scan", f"raw data in {path}", "reconstruct it first: clearmr recon")
    return loaded


def _truth(simulated: "Simulated", made: dict[str, Any]) -> "SnrImage":
    import torch

    from clearmr.scan import SnrImage

    one, origin = torch.ones(1, 1, 1, 1), {"provenance": common.provenance(**made)}
    affine, encoding = simulated.scan.affine, simulated.scan.encoding
    z, y, x = (fov / n for fov, n in zip(encoding.recon_fov, encoding.recon_matrix, strict=True))
    return SnrImage(simulated.truth, 0 * one, one, "given", spacing=(z, y, x), affine=affine, meta=origin)
