"""The page of a comparison: what stands on it, and that it works under a hand."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clearmr.report import compare, compare_table
from clearmr.report.compare import Comparison

pytest_plugins = ["browser"]
SHAPE = (3, 1, 24, 32)
EVIL = "<b>nlm & co"


def rows(*, reference: bool = True) -> list[dict[str, Any]]:
    check = {"name": "pure_noise", "title": "Pure noise", "figures": {}}
    bad, good = ({**check, "verdict": v, "said": f"{n} of it is left"} for v, n in (("fail", "half"), ("pass", "none")))
    found: list[dict[str, Any]] = [
        {"name": "noisy", "psnr": 20.0},
        {"name": "weak", "psnr": 25.0, "removed_sd": 0.5, "verdict": "fail", "trust": [bad, good], "seconds": 2.25},
        {"name": EVIL, "psnr": 30.0, "removed_sd": 0.9, "verdict": "pass", "trust": [good], "seconds": 1.0},
    ]
    return found if reference else [{k: v for k, v in row.items() if k != "psnr"} for row in found]


def comparison(*, reference: bool = True) -> Comparison:
    """A bright square on a dark ground; weak removes half of the noise, the other all of it."""
    rng = np.random.default_rng(0)
    clean = np.zeros(SHAPE, np.float32)
    clean[..., 6:18, 8:24] = 100.0
    noise = 10 * rng.normal(size=SHAPE).astype(np.float32)
    arrays = {"noisy": clean + noise, "weak": clean + noise / 2, EVIL: clean}
    if reference:
        arrays["reference"] = clean

    def read(name: str) -> Any:
        return lambda: arrays[name]

    return Comparison(
        "a.npz: 2 denoisers compared",
        rows(reference=reference),
        {name: read(name) for name in arrays},
        np.full((1, 1, 1, 1), 10.0, np.float32),
        left_out={"dip": "it learns for <hours>"},
        warnings=["an estimate"],
        provenance={"seed": 0},
    )


def test_the_best_comes_first_where_a_reference_tells() -> None:
    assert comparison().names == [EVIL, "weak"] and comparison(reference=False).names == ["weak", EVIL]


def test_the_page_holds_all_of_it_and_nothing_from_outside() -> None:
    page = compare.render(comparison())
    assert page == compare.render(comparison())
    assert "<b>nlm" not in page and "&lt;b&gt;nlm &amp; co" in page and "&lt;hours&gt;" in page
    assert re.findall(r'(?:src|href)="(?!#)', page) == [] and "default-src 'none'" in page
    assert page.index(">noisy<") < page.index("&lt;b&gt;nlm") < page.index(">weak<")
    assert '<td class="best">30.00</td>' in page and '<td class="best">25.00</td>' not in page
    assert page.count('class="badge is-fail"') == 3  # in the table, over its checks, and the check itself
    assert page.count('<details class="checks" open>') == 1 and page.count('<details class="checks">') == 1
    assert "half of it is left" in page and "an estimate" in page
    layers = json.loads(page.split('id="data">')[1].split("</script>")[0])["layers"]
    assert set(layers) == {"noisy", "reference", "weak", EVIL, "weak residual", f"{EVIL} residual"}


def test_without_a_reference_there_is_no_pane_and_no_figure_of_it() -> None:
    page = compare.render(comparison(reference=False))
    assert "3 frames, 1 slice, 24 × 32 pixels, real" in page
    assert "PSNR" not in page and 'data-layer="reference"' not in page and 'data-layer="weak"' in page


def test_one_denoiser_is_enough() -> None:
    both = comparison()
    one = Comparison(both.title, both.rows[:2], {k: both.images[k] for k in ("noisy", "weak")}, both.noise_sd)
    assert 'data-layer="weak"' in compare.render(one)


def test_the_budget_is_kept(tmp_path: Path) -> None:
    whole = len(compare.render(comparison()).encode())
    page = compare.write(comparison(), tmp_path / "c.html", budget=8_000)
    assert page.stat().st_size < whole - 2000 and "compressed with loss" in page.read_text()


def test_a_magnitude_of_another_tool_is_taken_from_the_magnitude() -> None:
    both = comparison()
    clean, turned = both.images["reference"](), np.exp(1j)
    images = {"noisy": lambda: (clean + 10) * turned, "weak": lambda: clean}
    one = Comparison(both.title, both.rows[:2], images, both.noise_sd)
    sheet = compare._pictures(one, images["noisy"](), 10**6).data["layers"]["weak residual"]["sheets"][0]
    codes = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet.split(",")[1]))))
    assert set(np.unique(codes)) == {143}  # one noise SD, of -8 to 8


def test_cells() -> None:
    columns = {column.key: column for column in compare_table.COLUMNS}
    row = {"name": "a", "psnr": None, "ssim": 0.98765, "seconds": float("nan"), "verdict": "pass"}
    said = [compare_table.cell(row, columns[key]) for key in ("psnr", "ssim", "seconds", "verdict", "nrmse")]
    assert said == ["inf", "0.9877", "-", "pass", "-"]
    assert compare_table.best([{"nrmse": 0.2}, {"nrmse": 0.1}, {}], columns["nrmse"]) == {"0.1000"}
    assert compare_table.best([{"ssim": 0.2}, {"ssim": 0.9}], columns["ssim"]) == {"0.9000"}
    assert compare_table.best([{"psnr": 40.0}, {"psnr": None}, {}], columns["psnr"]) == {"inf"}
    assert compare_table.best([{"nrmse": 0.2}, {"nrmse": float("nan")}], columns["nrmse"]) == set()
    assert compare_table.best([{"seconds": 1.0}, {"seconds": 2.0}], columns["seconds"]) == set()


def pixels(page: Any, layer: str) -> list[int]:
    """The red of every pixel that the pane of a layer shows."""
    found: list[int] = page.evaluate(
        "(name) => { const c = document.querySelector(`.pane[data-layer='${name}'] canvas`);"
        "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 == 0); }",
        layer,
    )
    return found


@pytest.fixture
def opened(pages: Any, tmp_path: Path) -> Any:
    page = pages(reduced_motion="reduce")  # the series stands still
    page.goto(compare.write(comparison(), tmp_path / "c.html").as_uri())
    page.wait_for_selector("#controls:not([hidden])")
    return page


def test_a_click_swaps_image_and_residual(opened: Any) -> None:
    before = pixels(opened, "weak")
    opened.locator(".pane[data-layer='weak'] canvas").click()
    swapped = pixels(opened, "weak")
    assert swapped != before and opened.locator(".pane.swapped").count() == 1
    foot = opened.locator(".pane[data-layer='weak'] .foot")
    assert foot.locator("svg").is_visible() and not foot.locator(".window-label").is_visible()
    assert "removed (σ)" in opened.locator(".pane[data-layer='weak'] figcaption").inner_text()
    opened.locator(".pane[data-layer='weak'] canvas").click()
    assert pixels(opened, "weak") == before
    opened.locator("#swap").click()
    assert opened.locator(".pane.swapped").count() == 2
    opened.locator("#viewer").focus()
    opened.keyboard.press("b")
    assert opened.locator(".pane.swapped").count() == 0


def test_any_two_for_a_wipe_and_one_window_for_all(opened: Any) -> None:
    opened.locator("[data-mode='wipe']").click()
    assert opened.locator("#stage").is_visible()
    opened.locator("#first").select_option("noisy")
    opened.locator("#second").select_option("weak residual")
    wipe = opened.locator("#wipe")
    was = int(wipe.get_attribute("aria-valuenow"))
    wipe.focus()
    opened.keyboard.press("ArrowRight")
    assert int(wipe.get_attribute("aria-valuenow")) > was
    opened.locator("[data-mode='all']").click()
    before = {name: pixels(opened, name) for name in ("noisy", "weak", "reference")}
    opened.locator("#level").fill("100")
    assert all(pixels(opened, name) != values for name, values in before.items())


def test_zoom_in_all_panes_at_once(opened: Any) -> None:
    opened.locator("#zoom-in").click()
    scales = opened.evaluate(
        "[...document.querySelectorAll('.pane canvas')].map((c) => new DOMMatrix(getComputedStyle(c).transform).a)"
    )
    assert len(scales) == 4 and min(scales) == max(scales) == pytest.approx(1.5)


def test_the_stage_shows_what_its_colours_stand_for(opened: Any) -> None:
    def legends() -> list[str]:
        return [one.get_attribute("data-scale") for one in opened.locator("#stage [data-scale]:visible").all()]

    opened.locator("[data-mode='one']").click()
    assert legends() == ["grey"]
    opened.locator("#second").select_option("weak residual")
    assert legends() == ["difference"] and "+4σ" in opened.locator("#stage .foot").inner_text()
    opened.locator("#swap").click()
    assert legends() == ["grey"]
    opened.locator("[data-mode='wipe']").click()
    assert legends() == ["grey", "difference"]


def test_the_table_has_the_width_of_the_window(pages: Any, tmp_path: Path) -> None:
    page = pages(viewport={"width": 1400, "height": 900})
    page.goto(compare.write(comparison(), tmp_path / "c.html").as_uri())
    assert page.locator(".compared").bounding_box()["width"] > 1300


def test_on_paper_every_check_is_told_of_and_whose_it_is(opened: Any) -> None:
    opened.emulate_media(media="print")
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.locator("details.checks summary:visible").count() == 2
    assert opened.locator("details.checks li:visible").count() == 3
