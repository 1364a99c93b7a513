"""The report: one page that needs nothing else, says what matters first and lets nothing in."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from clearmr.errors import InputError
from clearmr.report import Results, render, write_report

VOID = {"meta", "input", "img", "stop", "rect", "line", "path", "polyline", "br"}


def make_results(shape: tuple[int, ...] = (3, 2, 24, 20), *, seed: int = 0, **values: object) -> Results:
    """A disc with unit noise, of which a tenth is left."""
    generator = np.random.default_rng(seed)
    y, x = np.meshgrid(np.linspace(-1, 1, shape[2]), np.linspace(-1, 1, shape[3]), indexing="ij")
    gmap = (1 + 0.5 * np.exp(-(x**2) / 0.2))[None, None].astype(np.float32)
    clean = 10.0 * (x**2 + y**2 < 0.6) * np.exp(1j * x)
    noise = gmap * (generator.standard_normal(shape) + 1j * generator.standard_normal(shape))
    counts, edges = np.histogram(0.9 * noise.real / gmap, np.linspace(-5, 5, 21))
    given = {
        "title": "Short-axis cine",
        "warnings": ["the bandwidth ratio was taken as 0.793"],
        "noise_source": "measured",
        "noise_note": "from 256 noise readouts",
        "method": "snraware",
        "model": {"name": "snraware-small", "sha256": "ab" * 32},
        "statistics": {
            "mean": 0.0012,
            "sd": 0.9,
            "kurtosis": 0.031,
            "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
            "by_gmap": [{"g_low": 1.0, "g_high": 1.25, "sd": 0.911}],
        },
        "snr": {"before": 5.13, "after": 14.7},
        "metrics": {"noisy": {"psnr": 24.125}, "denoised": {"psnr": 31.75}},
        "steps": [
            {"name": "prewhiten", "dwell_us": 5.2, "scale": 1.2841},
            {"name": "unmix", "acceleration": [4, 1], "band": [None, [-0.5, 0.5]]},
        ],
        "provenance": {
            "version": "0.1.0",
            "command": "clearmr denoise scan.h5",
            "seed": 7,
            "model": {"sha256": "ab" * 32},
        },
        "spacing": [8.0, 1.5, 1.25],
        "noisy": (clean + noise).astype(np.complex64),
        "denoised": (clean + 0.1 * noise).astype(np.complex64),
        "gmap": gmap,
        "noise_sd": gmap,
    }
    return Results(**(given | values))


def save(results: Results, folder: Path) -> Path:
    """Write a results folder as the command line does."""
    folder.mkdir()
    arrays = ("noisy", "denoised", "gmap", "noise_sd", "reference", "uncertainty")
    values = vars(results)
    (folder / "results.json").write_text(json.dumps({k: v for k, v in values.items() if k not in arrays}))
    np.savez(folder / "arrays.npz", **{k: values[k] for k in arrays if values[k] is not None})
    return folder


@pytest.fixture(scope="module")
def page() -> str:
    return render(make_results())


class Reader(HTMLParser):
    """Collects what a browser would fetch or run, the text, and whether every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: list[str] = []
        self.inline: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [v or "" for k, v in attrs if k in ("src", "href", "action", "data", "srcset", "poster")]
        self.inline += [k for k, _ in attrs if k == "style" or k.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)


def text_of(page: str) -> str:
    return " ".join(" ".join(Reader(page).texts).split())


def test_importing_the_report_needs_no_torch() -> None:
    code = "import sys, clearmr.report, clearmr.report.figures; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_refers_to_nothing_outside_itself(page: str) -> None:
    reader = Reader(page)
    assert all(reference.startswith(("data:image/", "#")) for reference in reader.references)
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(reader.tags)
    assert not reader.open


def test_the_policy_allows_this_style_and_script_only(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy and policy[1].startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy[1]
    for kind, pattern in (("style", r"<style>(.*?)</style>"), ("script", r"<script>(.*?)</script>")):
        code = re.search(pattern, page, re.DOTALL)
        assert code
        digest = base64.b64encode(hashlib.sha256(code[1].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy[1]
    assert not Reader(page).inline


def test_text_from_outside_is_escaped_wherever_it_comes_in() -> None:
    evil = "</script><script>alert(1)</script><b onload='x'>&"
    tricky = {evil: evil, "inner": {evil: [evil]}}
    results = make_results(
        title=evil,
        warnings=[evil],
        method=evil,
        noise_note=evil,
        model=tricky,
        provenance=tricky,
        snr=tricky,
        metrics={evil: {evil: evil}},
        steps=[{"name": evil, evil: evil}],
        statistics={"sd": evil, "by_gmap": [{"g_low": evil, "sd": evil}]},
    )
    page = render(results)
    assert Reader(page).tags.count("script") == 2 and "b" not in Reader(page).tags
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 12
    assert evil in " ".join(Reader(page).texts)


def test_the_verdict_and_the_warnings_come_first_and_the_provenance_last(page: str) -> None:
    words = ["Short-axis cine", "SNR rises from 5.13 to 14.7", "Warnings", "bandwidth ratio was taken", "Noisy"]
    words += [f">{head}</h2>" for head in ("Where the noise level comes from", "What was removed", "SNR")]
    words += [f">{head}</h2>" for head in ("What was done", "The model", "Provenance")]
    body = page[page.index("<body>") :]
    places = [body.index(word) for word in words]
    assert places == sorted(places)
    assert "clearmr denoise scan.h5" in body[places[-1] :]


def test_every_number_is_on_the_page(page: str) -> None:
    results = make_results()
    text = text_of(page)
    for count in results.statistics["histogram"]["counts"]:
        assert f" {count} " in text
    for said in (
        "-0.5 to 0",
        "0.001",
        "0.900",
        "0.031",
        "0.911",
        "24.12",
        "31.75",
        "dwell us 5.2",
        "scale 1.284",
        "4, 1",
        "band –, (-0.5, 0.5)",
        "removed / noise SD",
        "model SHA-256 abab",
    ):
        assert said in text
    assert "8 × 1.5 × 1.25 mm" in text and "3 frames, 2 slices, 24 × 20 pixels, complex" in text


def test_a_measured_noise_level_is_told_from_an_estimate() -> None:
    measured, estimated = (
        render(make_results(noise_source=source, warnings=[])) for source in ("measured", "estimated")
    )
    assert "Measured with the scanner" in text_of(measured) and "No warnings." in text_of(measured)
    assert "ESTIMATE" not in measured and 'class="verdict calm"' in measured
    assert "The noise level is an ESTIMATE" in text_of(estimated) and "from 256 noise readouts" in estimated
    assert estimated.index("is an ESTIMATE") < estimated.index('<section class="viewer"')
    assert 'class="verdict care"' in estimated and "No warnings" not in estimated


@pytest.mark.parametrize(
    ("statistics", "said"),
    [
        ({"sd": 0.95, "mean": 0.0, "kurtosis": 0.1}, "0.95 times the SD of the noise and looks like noise."),
        ({"sd": 0.5, "mean": 0.0, "kurtosis": 0.1}, "looks like noise, a part of which stayed"),
        ({"sd": 1.06, "mean": 0.0, "kurtosis": 0.0}, "more than noise alone: look for anatomy"),
        ({"sd": 0.95, "mean": 0.2, "kurtosis": 0.0}, "its mean is +0.20 SD instead of 0"),
        ({"sd": 0.95, "mean": 0.0, "kurtosis": 3.0}, "its tails are not Gaussian"),
        ({"sd": float("nan")}, "14.7 (2.9 times)."),
    ],
)
def test_the_verdict_follows_the_statistics(statistics: dict[str, float], said: str) -> None:
    assert said in text_of(render(make_results(statistics=statistics)))


def test_the_verdict_on_a_magnitude_image_names_both_causes() -> None:
    results = make_results(statistics={"sd": 0.7, "mean": 0.2, "kurtosis": 0.0})
    real = replace(results, noisy=np.abs(results.noisy), denoised=np.abs(results.denoised))
    assert "magnitude noise at low SNR or of lost anatomy" in text_of(render(real))
    assert "magnitude noise" not in text_of(render(results))


def test_the_bands_of_g_are_open_at_their_ends() -> None:
    edges = [(0.0, 1.25), (1.25, 3.0), (3.0, float("inf"))]
    bands = [{"g_low": low, "g_high": high, "sd": 0.9} for low, high in edges]
    text = text_of(render(make_results(statistics={"by_gmap": bands})))
    assert "up to 1.25" in text and "1.25 to 3" in text and "3 and more" in text


def test_what_is_not_known_is_left_out_without_a_fault() -> None:
    bare = make_results(
        model={}, statistics={}, snr={"before": 5.0, "after": None}, metrics={}, steps=[], noise_note=""
    )
    page = render(bare)
    assert "SNR before denoising is 5, after it was not measured" in text_of(page)
    assert "What was removed<" not in page and "The model" not in page and "nan" not in text_of(page).lower().split()


def test_the_same_results_give_the_same_page(page: str) -> None:
    assert render(make_results()) == page
    assert render(make_results(seed=1)) != page


def test_it_is_usable_without_sight_or_mouse(page: str) -> None:
    assert page.count('<canvas role="img" aria-label="') == 4
    assert 'lang="en"' in page and "prefers-reduced-motion" in page and "prefers-color-scheme: dark" in page
    controls = set(re.findall(r'<(?:input|select)[^>]* id="(\w+)"', page))
    assert controls == {"frame", "slice", "speed", "level", "width", "factor", "first", "second", "rate"}
    assert controls == set(re.findall(r'<label for="(\w+)"', page))


def test_a_folder_becomes_a_page(tmp_path: Path) -> None:
    results = make_results(reference=make_results().denoised)
    out = write_report(save(results, tmp_path / "results"), tmp_path / "report.html")
    page = out.read_text(encoding="utf-8")
    assert page == render(results)
    assert 'data-layer="reference"' in page


def test_an_existing_page_is_kept_unless_forced(tmp_path: Path) -> None:
    folder = save(make_results(), tmp_path / "results")
    out = tmp_path / "report.html"
    out.write_text("mine")
    with pytest.raises(InputError, match="--force"):
        write_report(folder, out)
    assert out.read_text() == "mine"
    assert "Short-axis cine" in write_report(folder, out, force=True).read_text(encoding="utf-8")


def test_a_g_factor_that_is_one_number_is_a_sentence_and_no_picture() -> None:
    page = render(make_results(gmap=np.ones((1, 1, 1, 1), np.float32)))
    assert 'data-layer="gmap"' not in page and "g-factor 1 everywhere" in text_of(page)


def test_a_real_valued_image_is_shown_with_its_sign() -> None:
    results = make_results()
    real = replace(results, noisy=results.noisy.real - 3, denoised=results.denoised.real - 3)
    assert "pixels, real" in text_of(render(real))
