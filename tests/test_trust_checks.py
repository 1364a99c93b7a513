"""Each trust check on numbers made for it: what passes, what is a caution, what fails, and why."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from clearmr.evaluate import lesion, structure, trust_noise, trust_removed, trust_runs, trust_signal
from clearmr.evaluate.checks import Check
from clearmr.evaluate.noise_spectrum import NoiseSpectrum, noise_spectrum
from clearmr.evaluate.rician import magnitude_variance, mean_magnitude
from clearmr.evaluate.standardised import Kind, Standardised, standardised
from clearmr.scan import SnrImage

ONE = torch.ones(1, 1, 1, 1)
SHAPE = (2, 1, 64, 64)
SIGNED = torch.full((4, 1, 64, 64), -20.0)  # no magnitude
STEP = np.broadcast_to(np.where(np.arange(64) < 32, 20.0, 40.0), SHAPE)  # a steep edge at column 32


def unit_noise(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    """Of mean 0 and SD 1 exactly."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


def white(shape: tuple[int, ...] = SHAPE) -> NoiseSpectrum:
    return noise_spectrum(SnrImage(torch.zeros(shape), ONE, ONE, "measured"))


def standard(
    z: np.ndarray,
    *,
    after: np.ndarray | float = 20.0,
    used: np.ndarray | None = None,
    gmap: np.ndarray | None = None,
    spectrum: NoiseSpectrum | None = None,
    kind: Kind = "real",
    floor: float = 0.0,
    tolerance: float = 0.02,
) -> Standardised:
    """What was removed is z of one part; the result is `after`."""
    result = np.broadcast_to(np.asarray(after, dtype=np.float32), z.shape)
    used = np.ones(z.shape, dtype=bool) if used is None else used
    gmap = np.ones(z.shape) if gmap is None else gmap
    z = np.where(used, z, 0).astype(np.float32)
    before = (result + z)[None]
    spectrum = spectrum or white(z.shape)
    return Standardised(kind, z[None], before, result[None], used, np.abs(result), gmap, floor, spectrum, tolerance)


# ---- what was removed -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("scale", "mean", "tolerance", "verdict"),
    [
        (1.0, 0.0, 0.02, "pass"),
        (1.07, 0.0, 0.02, "caution"),  # limits 1 + 0.02 and 1 + 0.06, and four errors of 0.0078
        (1.07, 0.0, 0.05, "pass"),
        (1.15, 0.0, 0.02, "fail"),
        (0.2, 0.0, 0.02, "caution"),
        (0.05, 0.0, 0.02, "fail"),
        (0.8, 0.2, 0.02, "caution"),
        (0.8, -0.2, 0.02, "caution"),
        (0.8, 0.5, 0.02, "fail"),
    ],
)
def test_what_was_removed_is_no_more_than_noise(scale: float, mean: float, tolerance: float, verdict: str) -> None:
    found = trust_removed.removed(standard(scale * unit_noise() + mean, tolerance=tolerance))
    assert found.verdict == verdict, found.said
    assert found.figures["mean"] == pytest.approx(mean, abs=1e-3)


def test_more_than_the_noise_where_every_range_of_g_is_small() -> None:
    gmap = np.broadcast_to(np.linspace(1, 4, 36), (1, 1, 40, 36))  # of 1440 voxels no range has 500
    found = trust_removed.removed(standard(1.15 * unit_noise((1, 1, 40, 36)), gmap=gmap))
    assert found.figures["by_gmap"] == [] and found.verdict == "fail"


@pytest.mark.parametrize("phase", [0.0, 0.8, -0.79, 2.4])
def test_the_mean_of_complex_images_is_seen_at_any_phase(phase: float) -> None:
    real = standard(0.7 * unit_noise() + 0.6 * np.cos(phase))
    z = np.concatenate([real.z, (0.7 * unit_noise(seed=1) + 0.6 * np.sin(phase))[None]])
    found = trust_removed.removed(dataclasses.replace(real, kind="complex", z=z))
    assert found.verdict == "fail" and "mean of 0" in found.said


def test_the_noise_floor_may_be_taken_and_not_given() -> None:
    for mean, floor, verdict in ((0.2, 0.1, "pass"), (0.2, 0.0, "caution"), (-0.2, 0.1, "caution")):
        found = trust_removed.removed(standard(0.8 * unit_noise() + mean, kind="rician", floor=floor))
        assert found.verdict == verdict, (mean, floor)


@pytest.mark.parametrize(("every", "verdict"), [(300, "caution"), (100, "fail")])
def test_heavier_tails_than_noise_has(every: int, verdict: str) -> None:
    z = 0.8 * unit_noise()
    z.reshape(-1)[::every] = 6
    found = trust_removed.removed(standard(z))
    assert found.verdict == verdict and "tails" in found.said
    assert trust_removed.removed(standard(unit_noise())).figures["fourth_moment"] == pytest.approx(1, abs=0.1)


def test_more_than_the_noise_at_high_g_alone() -> None:
    high = np.broadcast_to(np.arange(64) >= 56, SHAPE)
    z = unit_noise() * np.where(high, 1.4, 0.9)
    assert trust_removed.removed(standard(z)).verdict == "pass"
    found = trust_removed.removed(standard(z, gmap=np.where(high, 2.5, 1.0)))
    assert found.verdict == "fail" and "at g 2.5" in found.said


# ---- structure in it ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("scale", "verdict"), [(0.9, "pass"), (1.25, "caution"), (1.6, "fail")])
def test_more_than_the_noise_at_edges(scale: float, verdict: str) -> None:
    near = np.broadcast_to(np.abs(np.arange(64) - 31.5) < 4, SHAPE)
    found = structure.residual_edges(standard(unit_noise() * np.where(near, scale, 0.5), after=STEP))
    assert found.verdict == verdict, found.said
    assert found.figures["flat"] == pytest.approx(0.25, abs=0.02)
    away = structure.residual_edges(standard(unit_noise() * np.where(near, 0.9, scale), after=STEP))
    assert away.verdict == "pass", "only edges count"
    turned = standard(unit_noise() * np.where(near, scale, 0.5).swapaxes(2, 3), after=STEP.swapaxes(2, 3))
    assert structure.residual_edges(turned).verdict == verdict


@pytest.mark.parametrize(("height", "verdict"), [(0.0, "pass"), (0.25, "caution"), (0.7, "fail")])
def test_a_pattern_beyond_the_noise(height: float, verdict: str) -> None:
    wave = 2**0.5 * height * np.sin(2 * np.pi * np.arange(64) * 20 / 64)
    found = structure.residual_pattern(standard(unit_noise() + wave))
    assert found.verdict == verdict, found.said
    outside = np.broadcast_to(np.arange(64) < 24, SHAPE)
    assert structure.residual_pattern(standard(unit_noise(), used=outside)).verdict == "pass"


def test_a_constant_is_no_pattern() -> None:
    assert structure.residual_pattern(standard(0.8 * unit_noise() + 0.2)).figures["share"] == 0


def test_neighbours_correlate_along_their_axis() -> None:
    """The lower half of the frequencies along x: no band holds more than noise, neighbours correlate by 1 / pi."""
    low = np.abs(np.fft.fftfreq(64)) < 0.25
    z = np.fft.ifft(np.fft.fft(unit_noise(), axis=-1) * low, axis=-1).real
    found = structure.residual_pattern(standard(z))
    assert found.verdict == "caution" and found.figures["share"] < 0.01
    assert found.figures["neighbours"]["x"] == pytest.approx(1 / np.pi, abs=0.03)
    assert abs(found.figures["neighbours"]["y"]) < 0.03
    spectrum = noise_spectrum(
        SnrImage(torch.zeros(SHAPE), ONE, ONE, "measured"), (None, None, np.fft.fftshift(low) * 1.0)
    )
    told = structure.residual_pattern(standard(2**0.5 * z, spectrum=spectrum))
    assert told.verdict == "pass" and told.figures["predicted"]["x"] > 0.6
    assert told.figures["predicted"]["y"] == pytest.approx(0)


def test_the_worst_place_is_found() -> None:
    z = unit_noise()
    assert structure.residual_places(standard(z)).verdict == "pass"
    for scale, verdict in ((1.5, "caution"), (3.0, "fail")):
        worse = z.copy()
        worse[1, 0, 16:24, 40:48] *= scale
        found = structure.residual_places(standard(worse))
        assert found.verdict == verdict and found.figures["at"] == [1, 0, 20, 44]
    used = np.ones(SHAPE, dtype=bool)
    used[1, 0, 16:24, 40:48] = np.arange(64).reshape(8, 8) % 4 == 0
    assert structure.residual_places(standard(worse, used=used)).verdict == "pass", "too few voxels there"


def test_coloured_noise_differs_more_from_place_to_place() -> None:
    low = (np.abs(np.fft.fftfreq(64)) < 0.25) * 1.0
    spectrum = NoiseSpectrum((np.ones(1), np.ones(64), low / low.mean()), True, "given")
    coloured = standard(spectrum.coloured(unit_noise()), spectrum=spectrum)
    found, of_white = structure.residual_places(coloured), structure.residual_places(standard(unit_noise()))
    assert found.verdict == "pass"
    assert found.limits["worst caution"] > 1.1 * of_white.limits["worst caution"]
    assert coloured.error_of_power(100) == pytest.approx((2 * 64 / 31 / 100) ** 0.5)
    two = dataclasses.replace(coloured, z=np.concatenate([coloured.z] * 2))
    assert structure.residual_places(two).limits["worst caution"] < found.limits["worst caution"]


def test_many_odd_places_none_of_them_worse_than_chance() -> None:
    z = unit_noise().reshape(2, 1, 8, 8, 8, 8)
    power = np.square(z).mean((3, 5), keepdims=True)
    many = (z * np.sqrt(np.where(np.arange(8)[:, None] < 4, 1.72 / power, 0.5))).reshape(SHAPE)
    found = structure.residual_places(standard(many, tolerance=0.0))
    assert found.figures["worst"] < found.limits["worst caution"] and found.figures["odd_share"] == 0.5
    assert found.verdict == "fail"


# ---- the noise that is there --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("scale", "verdict", "word"),
    [
        (1.0, "pass", ""),
        (1.2, "caution", "too low"),
        (1.35, "fail", "too low"),
        (0.7, "fail", "before"),
        (0.1, "fail", ""),
    ],
)
def test_the_level_of_the_noise(scale: float, verdict: str, word: str) -> None:
    level, shape = trust_noise.noise_checks(standard(scale * unit_noise((4, 1, 192, 192))))
    assert level.verdict == verdict and word in level.said, level.said
    assert level.figures["found"] == pytest.approx(scale, rel=0.05)
    assert (shape.verdict == "not run") == (scale < 0.5), shape.said


def test_the_level_is_that_of_the_smoothest_parts() -> None:
    """Texture that the result shows is no noise."""
    texture = 3 * unit_noise((4, 1, 128, 128), seed=1) * (np.arange(128) < 90)
    level, _ = trust_noise.noise_checks(standard(unit_noise((4, 1, 128, 128)), after=20 + texture))
    assert level.figures["found"] == pytest.approx(1, abs=0.05) and level.verdict == "pass"


def test_three_frames_have_one_second_difference() -> None:
    level, _ = trust_noise.noise_checks(standard(unit_noise((3, 1, 64, 64))))
    assert level.figures["found"] == pytest.approx(1, abs=0.05)


def test_zeros_are_no_data() -> None:
    here = np.random.default_rng(3).random((2, 1, 128, 128)) > 0.03
    there = standard(unit_noise((2, 1, 128, 128)), used=here)
    zeroed = dataclasses.replace(there, before=np.where(here, there.before, 0))
    level, _ = trust_noise.noise_checks(zeroed)
    assert level.figures["found"] == pytest.approx(1, abs=0.05)


def test_magnitudes_have_less_noise_by_rices_law() -> None:
    snr = 3.0
    parts = unit_noise((2, 4, 1, 192, 192))
    before = np.hypot(snr + parts[0], parts[1])
    z = (before - mean_magnitude(snr)) / np.sqrt(magnitude_variance(np.array(snr)))
    magnitude = dataclasses.replace(standard(z, after=snr, kind="rician"), before=before[None])
    level, _ = trust_noise.noise_checks(magnitude)
    assert level.figures["found"] == pytest.approx(1, abs=0.015)


@pytest.mark.parametrize("known", [True, False])
def test_where_the_finest_detail_cannot_tell_patches_do(known: bool) -> None:
    low = (np.abs(np.fft.fftfreq(64)) < 0.12) * 1.0
    power = low / low.mean()
    spectrum = NoiseSpectrum((np.ones(1), power, power), known, "correlated")
    noise = spectrum.coloured(unit_noise())
    for scale, verdict in ((1.0, "pass"), (0.2, "fail")):
        level, shape = trust_noise.noise_checks(standard(scale * noise, spectrum=spectrum))
        assert level.verdict == verdict and "9 x 9" in level.said and shape.verdict == "not run"


def scaled_parts(factor: float, columns: int) -> Standardised:
    """Noise of SD 1, of SD `factor` in the last `columns`."""
    noise = unit_noise((4, 1, 192, 192)) * np.where(np.arange(192) >= 192 - columns, factor, 1)
    return standard(noise)


@pytest.mark.parametrize(
    ("factor", "columns", "verdict"),
    [
        (1.0, 0, "pass"),
        (0.9, 64, "pass"),
        (0.8, 64, "caution"),
        (0.7, 64, "fail"),
        (1.4, 64, "caution"),
        (0.6, 12, "pass"),
    ],
)
def test_the_shape_of_the_noise_map(factor: float, columns: int, verdict: str) -> None:
    _, found = trust_noise.noise_checks(scaled_parts(factor, columns))
    assert found.verdict == verdict, found.said


def test_parts_differ_by_chance_and_count_where_they_hold_enough() -> None:
    white_noise = scaled_parts(1.0, 0)
    _, found = trust_noise.noise_checks(white_noise)
    assert found.figures["down"] == pytest.approx(1, abs=0.03) and found.figures["parts"] == 36
    left = np.broadcast_to(np.arange(192) < 100, white_noise.used.shape)
    _, found = trust_noise.noise_checks(dataclasses.replace(white_noise, used=left))
    side = found.figures["side"]
    assert found.figures["parts"] == -(-192 // side) * (100 // side)


def test_less_noise_than_told_at_high_g_alone() -> None:
    few = scaled_parts(0.6, 12)
    gmap = np.broadcast_to(np.where(np.arange(192) >= 180, 2.5, 1), few.used.shape)
    _, found = trust_noise.noise_checks(dataclasses.replace(few, gmap=gmap))
    assert found.verdict == "fail"
    assert found.figures["by_gmap"][-1]["found"] == pytest.approx(0.6, rel=0.1)


def test_a_map_of_few_parts_is_not_judged() -> None:
    _, found = trust_noise.noise_checks(standard(unit_noise((1, 1, 40, 40))))
    assert found.verdict == "not run"


# ---- the signal ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, "pass"), (0.98, "caution"), (1.02, "caution"), (0.95, "fail"), (1.05, "fail")]
)
def test_the_mean_signal(factor: float, verdict: str) -> None:
    kept = standard(unit_noise())
    found = trust_signal.signal(dataclasses.replace(kept, after=factor * kept.after))
    assert found.verdict == verdict and found.figures["bias"] == pytest.approx(factor - 1, abs=2e-3)


def test_the_mean_signal_counts_smooth_areas_of_signal() -> None:
    rough = np.where(np.arange(64) < 20, 15.0 * (np.arange(64) % 2), 0.0)
    dark = np.where(np.arange(64) > 50, -16.0, 0.0)
    kept = standard(unit_noise(), after=20 + rough + dark)
    lost = np.where((np.arange(64) < 20) | (np.arange(64) > 50), 0.5, 1.0)
    found = trust_signal.signal(dataclasses.replace(kept, after=lost * kept.after))
    assert found.figures["where"] == "smooth areas" and abs(found.figures["bias"]) < 2e-3
    assert trust_signal.signal(standard(unit_noise((1, 1, 16, 16)))).verdict == "not run"


def test_few_voxels_of_little_signal_may_differ_by_chance() -> None:
    """1100 voxels of 6 noise SDs: four errors are 2 % of the signal."""
    few = standard(unit_noise((1, 1, 32, 35)), after=6.0)
    assert trust_signal.signal(dataclasses.replace(few, after=0.975 * few.after)).verdict == "pass"


# ---- the denoiser, run again --------------------------------------------------------------------------------------
@dataclasses.dataclass
class Known:
    """mean + keep (y - mean), then what `also` makes of it. Remembers what it was given."""

    mean: torch.Tensor
    keep: float
    also: Callable[[torch.Tensor], torch.Tensor] = lambda out: out
    name: str = "known"
    seen: list[torch.Tensor] = dataclasses.field(default_factory=list)

    def __call__(self, image: SnrImage) -> SnrImage:
        self.seen.append(image.image)
        out = self.mean + self.keep * (image.image - self.mean)
        return dataclasses.replace(image, image=self.also(out))


def noise_of(kind: Kind, shape: tuple[int, ...] = (4, 1, 64, 64)) -> torch.Tensor:
    parts = torch.from_numpy(unit_noise((2, *shape)))
    return parts[0] if kind == "real" else torch.complex(parts[0], parts[1])


def tried(
    noisy: torch.Tensor, denoiser: Known, spectrum: NoiseSpectrum | None = None, sd: float = 2.0
) -> dict[str, Check]:
    image = SnrImage(sd * noisy, sd * ONE, ONE, "measured")
    denoiser.mean = sd * denoiser.mean
    result = denoiser(image)
    found = trust_runs.runs(image, result, denoiser, spectrum or white(tuple(noisy.shape)))
    return {check.name: check for check in found}


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("keep", [0.0, 0.4, 0.95, 1.1])
def test_steins_estimate_and_pure_noise_of_a_known_denoiser(kind: Kind, keep: float) -> None:
    """mean + keep (y - mean) errs by keep^2, keeps that share of a lesion, and leaves that much of pure noise."""
    mean = SIGNED * torch.exp(torch.tensor(0.7j)) if kind == "complex" else SIGNED
    found = tried(mean + noise_of(kind), Known(mean, keep))
    verdict = {0.0: "pass", 0.4: "pass", 0.95: "caution", 1.1: "fail"}[keep]
    assert found["error_left"].figures["squared"] == pytest.approx(keep**2, abs=0.04)
    assert found["error_left"].verdict == verdict
    lesions = found["lesion"]
    assert lesions.figures["kept"] == pytest.approx(keep, abs=1e-3)
    assert lesions.verdict == {0.0: "fail", 0.4: "fail", 0.95: "pass", 1.1: "pass"}[keep]


@pytest.mark.parametrize(("keep", "verdict"), [(0.0, "pass"), (0.45, "pass"), (0.6, "caution"), (0.8, "fail")])
@pytest.mark.parametrize("kind", ["real", "complex", "rician"])
def test_pure_noise_that_is_left(kind: Kind, keep: float, verdict: str) -> None:
    noisy = SIGNED + noise_of(kind)
    noisy = noisy.abs() if kind == "rician" else noisy
    found = tried(noisy, Known(torch.zeros(()), keep))["pure_noise"]
    assert found.figures["left"] == pytest.approx(keep, abs=0.02) and found.verdict == verdict


@pytest.mark.parametrize(("height", "verdict"), [(0.0, "pass"), (0.15, "caution"), (0.3, "fail")])
def test_what_is_painted_is_what_two_draws_share(height: float, verdict: str) -> None:
    stripes = 2 * 2**0.5 * height * torch.sin(2 * torch.pi * torch.arange(64) / 8)
    found = tried(SIGNED + noise_of("real"), Known(torch.zeros(()), 0.2, lambda out: out + stripes))["pure_noise"]
    assert found.verdict == verdict and found.figures["common"] == pytest.approx(height, abs=0.03)
    assert ("painted" in found.said) == (height > 0)


def test_lesions_that_grow_are_told() -> None:
    for keep, verdict in ((0.7, "caution"), (1.3, "caution"), (2.5, "fail")):
        assert tried(SIGNED + noise_of("real"), Known(SIGNED, keep))["lesion"].verdict == verdict


def test_a_lesion_has_room_in_every_frame() -> None:
    inside = torch.zeros(2, 1, 40, 40, dtype=torch.bool)
    inside[0, 0, :, :20], inside[1, 0, :, 14:] = True, True
    assert lesion.places(inside) == []
    places = lesion.places(inside | (torch.arange(40) < 26))
    assert places and max(x for _, _, x in places) < 26 - 3


def test_an_error_at_edges_alone() -> None:
    clean = -torch.from_numpy(STEP.astype(np.float32))
    near = (torch.arange(64) - 31.5).abs() < 3
    found = tried(clean + noise_of("real", SHAPE), Known(clean, 0.2, lambda out: out + 2 * 1.5 * near))["error_left"]
    assert found.verdict == "fail" and found.figures["squared"] < 0.5
    assert found.figures["squared at edges"] > 1.5


def test_coloured_noise_is_tried_with_its_own_colour() -> None:
    low = (np.abs(np.fft.fftfreq(64)) < 0.25) * 1.0
    spectrum = NoiseSpectrum((np.ones(1), np.ones(64), low / low.mean()), True, "given")
    noise = torch.from_numpy(spectrum.coloured(unit_noise((4, 1, 64, 64))).astype(np.float32))
    denoiser = Known(SIGNED, 0.3)
    found = tried(SIGNED + noise, denoiser, spectrum)
    assert found["error_left"].figures["squared"] == pytest.approx(0.09, abs=0.06)
    chance = [
        of["error_left"].limits["squared caution"] - 0.75 for of in (found, tried(SIGNED + noise, Known(SIGNED, 0.3)))
    ]
    assert chance[0] == pytest.approx((64 / 31) ** 0.5 * chance[1], rel=0.2), "fewer independent voxels"
    waves = np.abs(np.fft.fft(denoiser.seen[-1].numpy(), axis=-1)) ** 2
    assert waves[..., 20:44].sum() < 1e-6 * waves.sum()


def test_magnitudes_stay_magnitudes() -> None:
    """Whatever is tried on a magnitude image has no negative voxels: denoisers know magnitudes by that."""
    clean = torch.where(torch.arange(64) < 40, 20.0, 0.0).expand(4, 1, 64, 64)
    denoiser = Known(clean, 0.3)
    tried((clean + noise_of("rician")).abs(), denoiser)
    assert len(denoiser.seen) == 6 and all(bool((image >= 0).all()) for image in denoiser.seen)


def test_a_crop_lies_about_the_object() -> None:
    shape = (1, 1, 500, 700)
    image = torch.zeros(shape)
    image[..., 380:480, 100:200] = 10
    sd = torch.linspace(1, 2, 700).expand(shape)
    noisy = SnrImage(image, sd, sd, "measured")
    crop = trust_runs.cropped(noisy, noisy)
    assert crop.image.shape == (1, 1, 387, 387) and crop.noise_sd.shape == crop.image.shape
    assert crop.image.sum() == image.sum(), "all of the object"
    assert torch.equal(crop.noise_sd[0, 0, 0], sd[0, 0, 0, :387])
    series = SnrImage(torch.ones(30, 2, 300, 300), ONE, ONE, "measured")
    assert trust_runs.cropped(series, series).image.shape == (10, 1, 122, 122)
    volume = SnrImage(torch.ones(1, 60, 80, 80), ONE, ONE, "measured")
    assert trust_runs.cropped(volume, volume).image.shape == (1, 48, 55, 55)


def test_a_crop_has_the_images_spectrum() -> None:
    low = (np.abs(np.fft.fftfreq(600)) < 0.25) * 1.0
    wide = NoiseSpectrum((np.ones(1), np.ones(600), low / low.mean()), True, "given")
    denoiser = Known(torch.zeros(()), 0.5)
    image = SnrImage(torch.from_numpy(unit_noise((1, 1, 600, 600))) - 20, ONE, ONE, "measured")
    trust_runs.runs(image, denoiser(image), denoiser, wide)
    noise = denoiser.seen[-1]
    assert noise.shape == (1, 1, 387, 387) and float(noise.std()) == pytest.approx(1, abs=0.03)
    waves = np.abs(np.fft.fft(noise.numpy(), axis=-1)) ** 2
    assert waves[..., 100:287].sum() < 1e-3 * waves.sum()


# ---- the noise's spectrum -----------------------------------------------------------------------------------------
def test_a_spectrum_of_filters_along_each_axis() -> None:
    shape = (1, 8, 12, 16)
    filters = [
        np.exp(-(((np.arange(n) - n // 2) / n) ** 2) * strength) for n, strength in ((8, 2.0), (12, 6.0), (16, 0))
    ]
    image = SnrImage(torch.zeros(shape), ONE, ONE, "measured")
    spectrum = noise_spectrum(image, filters)
    assert [int(axis.argmax()) for axis in spectrum.axes[:2]] == [0, 0], "zero frequency first"
    assert spectrum.axes[1][1] / spectrum.axes[1][0] == pytest.approx(np.exp(-2 * 6 / 144))
    assert spectrum.top == pytest.approx(spectrum.axes[0][0] * spectrum.axes[1][0])
    many = spectrum.coloured(unit_noise((400, 8, 12, 16)))
    power = (np.abs(np.fft.fftn(many, axes=(1, 2, 3), norm="ortho")) ** 2).mean(0)
    known = spectrum.axes[0][:, None, None] * spectrum.axes[1][:, None] * spectrum.axes[2]
    assert np.abs(power / known - 1).max() < 0.4 and np.abs(power / known - 1).mean() < 0.06


def test_the_reconstructions_gaussian_filter() -> None:
    """exp(-s^2 x^2 / 2) on k-space is exp(-s^2 x^2) of the noise's power; x = 1 at the edge of k-space."""
    step = {"name": "phase encoding", "band": [None, None, [-0.4, 0.4, 0.4]], "kspace_filter": 1.5}
    image = SnrImage(torch.zeros(1, 1, 64, 64), ONE, ONE, "measured", meta={"steps": [step, {"name": "denoise"}]})
    power = noise_spectrum(image).axes[2]
    frequency = 20 / 64
    assert power[20] / power[0] == pytest.approx(np.exp(-((1.5 * frequency / 0.4) ** 2)))
    assert power[27] == 0 and power[25] > 0


def test_the_latest_step_tells() -> None:
    first = {"name": "estimate noise", "method": "background, correlated noise"}
    later = {"name": "phase encoding", "band": [None, None, None], "kspace_filter": None}
    image = SnrImage(torch.zeros(1, 1, 64, 64), ONE, ONE, "measured", meta={"steps": [first, later]})
    assert noise_spectrum(image).known
    turned = dataclasses.replace(image, meta={"steps": [later, first]})
    assert not noise_spectrum(turned).known


# ---- ready to be judged -------------------------------------------------------------------------------------------
def test_what_counts_is_told_noise_and_signal() -> None:
    values = torch.full((1, 1, 64, 64), 20.0)
    values[..., :8, :] = 0
    sd = torch.ones(1, 1, 64, 64)
    sd[..., 8:16, :] = 0
    result = values.clone()
    result[..., 16:24, :] = torch.nan
    noisy = SnrImage(values, sd, ONE, "given")
    found = standardised(noisy, dataclasses.replace(noisy, image=result), white((1, 1, 64, 64)))
    assert not found.used[..., :24, :].any() and found.used[..., 24:, :].all()
    assert found.kind == "rician" and found.tolerance == 0.05
    assert standardised(dataclasses.replace(noisy, noise_source="measured"), noisy, found.spectrum).tolerance == 0.02


def test_magnitudes_count_above_the_noise_floor() -> None:
    values = torch.full((1, 1, 64, 64), 20.0)
    values[..., :32] = 2
    noisy = SnrImage(values, ONE, ONE, "given")
    found = standardised(dataclasses.replace(noisy, image=values + 0.5), noisy, white((1, 1, 64, 64)))
    assert not found.used[..., :32].any() and found.used[..., 32:].all()
    values = torch.full((1, 1, 64, 64), 3.5)
    low = SnrImage(values, ONE, ONE, "given")
    found = standardised(dataclasses.replace(low, image=values + 0.5), low, white((1, 1, 64, 64)))
    assert found.z[0, 0, 0, 0, 0] == pytest.approx(0.5 / float(magnitude_variance(np.array(3.5))) ** 0.5, rel=1e-5)
    assert found.floor == pytest.approx(float(mean_magnitude(3.5)) - 3.5, rel=1e-4)
