"""The trust checks on images whose truth is known: right denoisers pass, faults are caught."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from clearmr import evaluate
from clearmr.bench import trust as bench_trust
from clearmr.bench import trust_cases
from clearmr.bench.timing import Options
from clearmr.errors import InputError
from clearmr.evaluate import checks, lesion
from clearmr.evaluate.noise_spectrum import noise_spectrum, share_of
from clearmr.evaluate.rician import mean_magnitude
from clearmr.evaluate.standardised import middle, standardised
from clearmr.scan import SnrImage

ONE = torch.ones(1, 1, 1, 1)
MUST = (  # Must show 2 of the issue
    "blurs",
    "paints stripes",
    "paints dots",
    "returns its input",
    "noise map x 1.5",
    "noise map / 1.5",
    "g-factor 1 to 2.5 not told",
    "g-factor 1 to 2.5 told",
    "denoised before",
)


def by_name(found: tuple[evaluate.Check, ...]) -> dict[str, evaluate.Check]:
    return {check.name: check for check in found}


def judged(case: trust_cases.Case) -> tuple[evaluate.Check, ...]:
    return evaluate.trust(case.noisy, case.denoiser(case.noisy), denoiser=case.denoiser)


@pytest.mark.parametrize("is_complex", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_wiener_filter_passes_every_check(seed: int, is_complex: bool) -> None:
    right = [case for case in trust_cases.cases(seed, is_complex=is_complex) if case.right]
    assert len(right) == 2
    for case in right:
        found = judged(case)
        assert evaluate.verdict_of(found) == "pass", [c.said for c in found if c.verdict != "pass"]
        assert [c.name for c in found if c.verdict == "not run"] == ["range"]


def test_every_fault_is_caught_by_its_check() -> None:
    wrong = [case for case in trust_cases.cases(3) if not case.right]
    assert all(any(case.name.startswith(must) for case in wrong) for must in MUST)
    for case in wrong:
        found = judged(case)
        failed = {check.name for check in found if check.verdict == "fail"}
        assert set(case.catch) <= failed, (case.name, failed)
        assert found[0].verdict == "fail", "worst first"


def test_figures_are_those_of_theory() -> None:
    """Of the Wiener filter: removed power mean (1 - W), error left mean W, pure noise left mean W^2."""
    case = next(trust_cases.cases(4))
    power = trust_cases.field_power()
    weight = power / (power + 1)
    found = by_name(judged(case))
    assert found["removed_noise"].figures["sd"] ** 2 == pytest.approx(float((1 - weight).mean()), rel=0.02)
    assert found["error_left"].figures["squared"] == pytest.approx(float(weight.mean()), abs=0.03)
    assert found["pure_noise"].figures["left"] ** 2 == pytest.approx(float(weight.square().mean()), rel=0.03)
    neighbours = found["residual_pattern"].figures["neighbours"]["x"]
    cosine = torch.cos(2 * math.pi * torch.fft.fftfreq(128, dtype=torch.float64))
    assert neighbours == pytest.approx(float(((1 - weight) * cosine).mean()), abs=0.01)
    assert found["noise_level"].figures["found"] == pytest.approx(1, abs=0.03)
    assert found["residual_edges"].figures["edges"] == pytest.approx(float((1 - weight).mean()), rel=0.05)


@dataclasses.dataclass(frozen=True)
class Refusing:
    name: str = "refusing"

    def __call__(self, image: SnrImage) -> SnrImage:
        raise InputError("a series", "none", "give one")


def test_filtered_noise_passes_where_the_filter_is_told_and_not_else() -> None:
    shape = (6, 1, 96, 96)
    frequency = np.arange(96) - 48
    weights = np.exp(-0.5 * (frequency / 30) ** 2)
    generator = torch.Generator().manual_seed(0)
    white = torch.randn(shape, generator=generator).numpy()
    spectrum = noise_spectrum(SnrImage(torch.zeros(shape), ONE, ONE, "measured"), (None, weights, weights))
    noise = torch.from_numpy(spectrum.coloured(white).astype(np.float32))
    assert float(noise.std()) == pytest.approx(1, abs=0.02)
    noisy = SnrImage(20 + noise, ONE, ONE, "measured")
    denoised = dataclasses.replace(noisy, image=torch.full(shape, 20.0))
    told = by_name(evaluate.trust(noisy, denoised, filters=(None, weights, weights)))
    assert all(told[name].verdict == "pass" for name in ("removed_noise", "residual_pattern", "noise_level")), told
    assert told["residual_pattern"].figures["predicted"]["x"] > 0.2
    blind = by_name(evaluate.trust(noisy, denoised))
    assert blind["noise_level"].verdict == "caution" and "not white" in blind["noise_level"].said
    assert blind["residual_pattern"].verdict == "fail"


def test_the_reconstruction_tells_its_band() -> None:
    band = [None, [-0.25, 0.25, 0.25], [-0.5, 0.5, 0.5]]
    step = {"name": "phase encoding", "band": band, "kspace_filter": None}
    image = SnrImage(torch.zeros(1, 1, 64, 64), ONE, ONE, "measured", meta={"steps": [step]})
    spectrum = noise_spectrum(image)
    assert spectrum.known and spectrum.axes[1].max() == pytest.approx(64 / 33) and spectrum.axes[2].min() == 1
    assert spectrum.repeats == pytest.approx(64 / 33)
    unknown = {"name": "estimate noise", "method": "background, correlated noise"}
    assert not noise_spectrum(dataclasses.replace(image, meta={"steps": [unknown]})).known
    with pytest.raises(InputError):
        noise_spectrum(image, (None, np.ones(3), None))


def test_the_share_of_a_difference() -> None:
    kernel = np.array([1.0, -2.0, 1.0]) / math.sqrt(6)
    assert share_of(kernel, np.ones(32)) == pytest.approx(1)
    low = (np.abs(np.fft.fftfreq(32)) < 0.1) * 1.0
    assert share_of(kernel, low / low.mean()) < 0.02


def test_magnitudes_are_judged_by_rices_law() -> None:
    """A denoiser that knows the truth, bias of magnitudes and all, passes at SNRs at which z is not N(0, 1)."""
    shape = (4, 1, 96, 96)
    generator = torch.Generator().manual_seed(0)
    clean = 4 + 8 * torch.linspace(0, 1, 96).expand(shape)
    noisy = torch.hypot(clean + torch.randn(shape, generator=generator), torch.randn(shape, generator=generator))
    mean = torch.from_numpy(np.asarray(mean_magnitude(clean.numpy()))).float()
    image = SnrImage(noisy, ONE, ONE, "measured")
    for truth in (clean, mean):
        found = evaluate.trust(image, dataclasses.replace(image, image=truth))
        assert evaluate.verdict_of(found) == "pass", [c.said for c in found]
    low = dataclasses.replace(image, image=0.93 * clean)
    assert by_name(evaluate.trust(image, low))["signal"].verdict == "fail"


def test_the_range_of_the_model_is_a_caution() -> None:
    case = next(trust_cases.cases(0))
    card = {"name": "m", "range": {"snr": [0, 5], "g": [0.5, 2], "contrast": [1, 9], "matrix": [64, 256]}}
    check = by_name(evaluate.trust(case.noisy, case.denoiser(case.noisy), card=card))["range"]
    assert check.verdict == "caution" and "SNR" in check.said
    assert check.figures["contrast"][0] == pytest.approx(1.8, abs=0.1) and check.figures["matrix"] == [128, 128]
    wide = {**card, "range": {"snr": [0, 500]}}
    assert by_name(evaluate.trust(case.noisy, case.denoiser(case.noisy), card=wide))["range"].verdict == "pass"


def test_checks_are_json_and_tell_what_was_not_run() -> None:
    case = next(trust_cases.cases(0))
    found = evaluate.trust(case.noisy, case.denoiser(case.noisy))
    not_run = {check.name for check in found if check.verdict == "not run"}
    assert not_run == {"pure_noise", "lesion", "error_left", "range"}
    told = json.loads(json.dumps([check.as_dict() for check in found]))
    assert set(told[0]) == {"name", "title", "verdict", "said", "figures", "limits"}
    bad = checks.Check("a", "A", "pass", "", {"x": math.nan, "y": np.float32(2), "z": (1, math.inf)})
    assert bad.as_dict()["figures"] == {"x": None, "y": 2.0, "z": [1, None]}


def test_a_denoiser_that_refuses_a_crop_is_told() -> None:
    case = next(trust_cases.cases(0))

    found = by_name(evaluate.trust(case.noisy, case.denoiser(case.noisy), denoiser=Refusing()))
    assert found["lesion"].verdict == "not run" and "a series" in found["lesion"].said


def test_what_cannot_be_judged() -> None:
    image = SnrImage(torch.zeros(1, 1, 32, 32), ONE, ONE, "given")
    found = by_name(evaluate.trust(image, image))
    assert found["removed_noise"].verdict == "not run"
    with pytest.raises(InputError):
        evaluate.trust(image, dataclasses.replace(image, image=torch.zeros(1, 1, 32, 31)))
    with pytest.raises(InputError):
        standardised(image, image, noise_spectrum(image))


def test_large_images_are_judged_by_their_middle() -> None:
    assert middle((1, 1, 64, 64)) == (slice(0, 1), slice(0, 1), slice(None), slice(None))
    frames, slices, _, _ = middle((100, 40, 256, 256))
    assert (frames.start + frames.stop) // 2 == 50 and (slices.start + slices.stop) // 2 == 20
    assert (frames.stop - frames.start, slices.stop - slices.start) == (4, 4)


def test_a_lesion_in_k_space_has_its_area_and_its_contrast() -> None:
    spectrum = noise_spectrum(SnrImage(torch.zeros(1, 1, 64, 64), ONE, ONE, "measured"))
    image = lesion.inserted((1, 64, 64), [(0, 20, 30)], np.array([5.0]), spectrum)
    assert float(image.sum()) == pytest.approx(5 * math.pi * 1.5**2, rel=1e-4)
    assert tuple(np.unravel_index(int(image.argmax()), (1, 64, 64))) == (0, 20, 30)
    assert 3.5 < lesion.contrasts(image[None], [(0, 20, 30)])[0] < 5
    cube = SnrImage(torch.zeros(1, 32, 32, 32), ONE, ONE, "measured")
    ball = lesion.inserted((32, 32, 32), [(16, 16, 16)], np.array([1.0]), noise_spectrum(cube))
    assert float(ball.sum()) == pytest.approx(4 / 3 * math.pi * 1.5**3, rel=1e-3)
    half = np.abs(np.arange(64) - 32) < 16
    band = noise_spectrum(SnrImage(torch.zeros(1, 1, 64, 64), ONE, ONE, "measured"), (None, half * 1.0, half * 1.0))
    limited = np.abs(np.fft.fft2(lesion.inserted((1, 64, 64), [(0, 20, 30)], np.array([5.0]), band).numpy()))
    assert limited[0, 20:44].max() < 1e-4 * limited.max(), "band-limited"


def test_the_table_of_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        trust_cases, "cases", lambda seed, is_complex: iter(list(real_cases(seed, is_complex=is_complex))[:3])
    )
    seen = []
    found = bench_trust.run(Options(progress=lambda done, total: seen.append((done, total))), scenes=False)
    assert found["right"] == found["of"] == 6 and seen[-1] == (6, 6)
    assert found["markdown"].count("\n") == 7 and "noise" in found["markdown"]
    assert json.dumps(found)


real_cases = trust_cases.cases
