"""The report in a real browser, from file:// and offline: clicked, dragged, played, printed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clearmr.report import write_group, write_report
from test_report import make_results, save
from test_report_group import CHECKS, group

pytest_plugins = ["browser"]

SPACING = [2.0, 1.0, 1.0]
CONTRAST = Path(__file__).with_name("contrast.js")


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of a series of 8 frames and 3 slices whose pixels say which they are."""
    folder = tmp_path_factory.mktemp("series")
    results = make_results((8, 3, 40, 40), trust=CHECKS, spacing=SPACING)
    noisy, denoised = results.noisy.copy(), results.denoised.copy()
    denoised[:, :, 0, 0] = np.arange(24).reshape(8, 3)
    made = make_results(
        (8, 3, 40, 40), noisy=noisy, denoised=denoised, trust=CHECKS, reference=denoised, spacing=SPACING,
        uncertainty=np.full((1, 1, 40, 40), 0.5, np.float32),
    )  # fmt: skip
    return write_report(save(made, folder / "results"), folder / "report.html").as_uri()


@pytest.fixture
def still(page: Any, series: str) -> Any:
    """The page with nothing moving by itself."""
    return shown(page, series, reduced=True)


def shown(page: Any, uri: str, *, reduced: bool) -> Any:
    page.emulate_media(reduced_motion="reduce" if reduced else "no-preference")
    page.goto(uri)
    page.wait_for_selector("#controls:not([hidden])")
    return page


def pixels(page: Any, layer: str, x: int = 0, y: int = 0) -> list[int]:
    """The drawn colour of one pixel of a pane."""
    return page.evaluate(
        "([layer, x, y]) => [...document.querySelector(`.pane[data-layer=${layer}] canvas`)"
        ".getContext('2d').getImageData(x, y, 1, 1).data]",
        [layer, x, y],
    )


def drag(page: Any, selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Press at `start`, let go at `end`, shares of the element."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (start, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=4)
    page.mouse.up()


def clip(page: Any) -> float:
    """Where the wipe cuts, in percent from the left."""
    return float(page.evaluate("getComputedStyle(document.querySelector('.over')).clipPath").split()[-1].rstrip("%)"))


def transforms(page: Any) -> set[tuple[float, ...]]:
    """The matrices (a, b, c, d, x, y) of all canvases that are shown; panes differ by fractions of a pixel in width."""
    canvases = "[...document.querySelectorAll('.frame canvas')].filter(c => c.offsetParent)"
    found = page.evaluate(f"{canvases}.map(c => getComputedStyle(c).transform)")
    return {tuple(round(float(n), 1) for n in one.removeprefix("matrix(").rstrip(")").split(",")) for one in found}


def value(page: Any, selector: str) -> str:
    return page.locator(selector).text_content()


def test_the_wipe_follows_the_mouse(still: Any) -> None:
    still.click("[data-mode=wipe]")
    assert still.is_hidden("#strip") and still.is_visible("#stage") and clip(still) == 50
    drag(still, "#stage .frame", (0.5, 0.5), (0.2, 0.5))
    assert clip(still) == pytest.approx(20, abs=1)
    drag(still, "#stage .frame", (0.7, 0.2), (0.9, 0.8))
    assert clip(still) == pytest.approx(90, abs=1)
    assert (value(still, "#stage-left"), value(still, "#stage-right")) == ("Noisy", "Denoised")
    still.click("[data-mode=all]")
    assert still.is_visible("#strip") and still.is_hidden("#stage")


def test_the_wipe_follows_the_keys(still: Any) -> None:
    still.focus("#viewer")
    still.keyboard.press("w")
    handle = still.locator("#wipe")
    assert still.evaluate("document.activeElement.id") == "wipe"
    for key, there in (("ArrowRight", 52), ("Shift+ArrowRight", 62), ("ArrowLeft", 60), ("Home", 0), ("End", 100)):
        still.keyboard.press(key)
        assert clip(still) == pytest.approx(there, abs=0.1)
        assert handle.get_attribute("aria-valuenow") == str(there)
    assert handle.get_attribute("aria-valuetext") == "100 % Noisy, 0 % Denoised"
    assert value(still, "#frame-value") == "1 / 8"  # the frame stayed
    still.keyboard.press("b")
    assert value(still, "#stage-left") == "Denoised"


def test_the_wipe_and_the_zoomed_picture_follow_a_finger(pages: Callable[..., Any], series: str) -> None:
    page = shown(pages(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844}), series, reduced=True)
    touch = page.context.new_cdp_session(page)

    def swipe(selector: str, start: float, end: float) -> None:
        page.locator(selector).scroll_into_view_if_needed()
        box = page.locator(selector).bounding_box()
        y = box["y"] + box["height"] / 2
        for kind, share in (("touchStart", start), ("touchMove", (start + end) / 2), ("touchMove", end)):
            points = [{"x": box["x"] + box["width"] * share, "y": y}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    page.tap("#zoom-in")
    at = transforms(page).pop()
    swipe('.pane[data-layer="denoised"] .frame', 0.5, 0.7)
    assert len(transforms(page)) == 1 and transforms(page).pop()[4] > at[4] + 10
    page.tap("#zoom-reset")
    page.tap("[data-mode=wipe]")
    swipe("#stage .frame", 0.5, 0.8)
    assert clip(page) == pytest.approx(80, abs=1.5)
    assert "noisy" in value(page, "#readout")


def test_any_two_pictures_can_be_wiped(still: Any) -> None:
    still.click("[data-mode=wipe]")
    still.select_option("#first", "reference")
    still.select_option("#second", "difference")
    assert (value(still, "#stage-left"), value(still, "#stage-right")) == ("Reference", "Removed")


def test_flicker_changes_the_picture_by_itself_and_stops(page: Any, series: str) -> None:
    shown(page, series, reduced=False)
    page.click("[data-mode=flicker]")
    for name in ("noisy", "denoised", "noisy"):
        page.wait_for_selector(f"#stage[data-shown={name}]", timeout=5000)
    page.select_option("#rate", "0")
    now = page.get_attribute("#stage", "data-shown")
    page.wait_for_timeout(400)
    assert page.get_attribute("#stage", "data-shown") == now
    page.click("#swap")
    assert page.get_attribute("#stage", "data-shown") != now


def test_before_and_after_take_one_place(still: Any) -> None:
    after, noisy = pixels(still, "denoised", 3, 3), pixels(still, "noisy", 3, 3)
    assert after != noisy
    still.click("#swap")
    assert pixels(still, "denoised", 3, 3) == noisy
    still.locator('.pane[data-layer="denoised"] .frame').click()
    assert pixels(still, "denoised", 3, 3) == after
    still.keyboard.press("b")
    assert pixels(still, "denoised", 3, 3) == noisy
    assert still.locator('.pane[data-layer="denoised"] figcaption').text_content() == "Noisy (before)"


def frames_shown(page: Any, milliseconds: int) -> int:
    """How often the frame changed in that time."""
    return page.evaluate(
        "(time) => new Promise(done => { let n = 0; const watch = new MutationObserver(() => n++);"
        "watch.observe(document.getElementById('frame-value'), { childList: true });"
        "setTimeout(() => { watch.disconnect(); done(n); }, time); })",
        milliseconds,
    )


def test_a_series_plays_by_itself_at_the_speed_that_is_chosen(page: Any, series: str) -> None:
    shown(page, series, reduced=False)
    assert page.get_attribute("#play", "aria-pressed") == "true"
    page.select_option("#speed", "20")
    fast = frames_shown(page, 1000)
    page.select_option("#speed", "2")
    page.wait_for_timeout(250)
    slow = frames_shown(page, 1200)
    assert 1 <= slow <= 4 and 1.6 * slow < fast <= 24
    page.focus("#viewer")
    page.keyboard.press(" ")
    assert page.get_attribute("#play", "aria-pressed") == "false" and frames_shown(page, 300) == 0


def test_reduced_motion_starts_nothing(still: Any) -> None:
    assert still.get_attribute("#play", "aria-pressed") == "false" and frames_shown(still, 300) == 0
    still.click("[data-mode=flicker]")
    before = still.get_attribute("#stage", "data-shown")
    still.wait_for_timeout(700)
    assert still.get_attribute("#stage", "data-shown") == before and still.input_value("#rate") == "0"


def test_frames_and_slices_by_keys_and_sliders_show_those_pictures(still: Any) -> None:
    still.focus("#viewer")
    still.keyboard.press("ArrowDown")  # to the lowest of three slices
    seen = [pixels(still, "denoised")[0]]
    for _ in range(7):
        still.keyboard.press("ArrowRight")
        seen.append(pixels(still, "denoised")[0])
    assert value(still, "#frame-value") == "8 / 8" and seen[:4] == sorted(set(seen[:4]))  # they brighten
    still.keyboard.press("ArrowRight")
    assert value(still, "#frame-value") == "1 / 8" and pixels(still, "denoised")[0] == seen[0]
    still.focus("#slice")
    still.keyboard.press("End")
    assert value(still, "#slice-value") == "3 / 3" and pixels(still, "denoised")[0] > seen[0]


def test_the_window_is_common_to_all_images(still: Any) -> None:
    names = ("noisy", "denoised", "reference")
    before = [pixels(still, name, 20, 20)[0] for name in names]
    residual, gmap = pixels(still, "difference", 20, 20), pixels(still, "gmap", 20, 20)
    still.focus("#width")
    for _ in range(4):
        still.keyboard.press("PageUp")
    assert all(pixels(still, name, 20, 20)[0] < was for name, was in zip(names, before, strict=True))
    assert pixels(still, "difference", 20, 20) == residual and pixels(still, "gmap", 20, 20) == gmap
    labels = still.locator(".pane .window-label").all_text_contents()
    assert len(labels) == 3 and len(set(labels)) == 1
    still.click("#reset")
    assert [pixels(still, name, 20, 20)[0] for name in names] == before


def test_a_box_zooms_all_panes_at_once(still: Any) -> None:
    drag(still, '.pane[data-layer="denoised"] .frame', (0.25, 0.25), (0.75, 0.75))
    assert value(still, "#zoom-value") == "2.0 ×"
    assert still.locator(".pane").count() == 6 and len(transforms(still)) == 1
    scale, _, _, _, x, y = transforms(still).pop()
    width = still.locator('.pane[data-layer="gmap"] .frame').bounding_box()["width"]
    assert scale == pytest.approx(2, abs=0.05) and x == pytest.approx(-width / 2, abs=3) == y
    drag(still, '.pane[data-layer="gmap"] .frame', (0.5, 0.5), (0.9, 0.5))  # now it moves
    moved = transforms(still).pop()[4]
    assert moved == pytest.approx(x + 0.4 * width, abs=3)
    still.locator('.pane[data-layer="noisy"] .frame').dblclick()
    assert value(still, "#zoom-value") == "1.0 ×" and still.is_disabled("#zoom-reset")


def test_zoom_by_wheel_keys_and_buttons(still: Any) -> None:
    box = still.locator('.pane[data-layer="noisy"] .frame').bounding_box()
    still.mouse.move(box["x"] + 5, box["y"] + 5)
    still.mouse.wheel(0, -100)
    still.wait_for_timeout(100)
    assert value(still, "#zoom-value") == "1.0 ×"  # the page scrolled: the pictures are not in focus
    still.focus("#viewer")
    box = still.locator('.pane[data-layer="noisy"] .frame').bounding_box()
    still.mouse.move(box["x"] + 5, box["y"] + 5)
    still.mouse.wheel(0, -100)
    still.locator("#zoom-value", has_text="1.5 ×").wait_for()
    for key, said in (("+", "1.9 ×"), ("-", "1.5 ×"), ("0", "1.0 ×")):
        still.keyboard.press(key)
        assert value(still, "#zoom-value") == said
    still.click("#zoom-in")
    at = transforms(still)
    still.focus("#viewer")
    still.keyboard.press("Shift+ArrowRight")
    assert transforms(still) != at
    still.keyboard.press("w")
    assert len(transforms(still)) == 1 and transforms(still).pop()[0] == 1.5  # the stage too
    still.click("#zoom-reset")
    assert transforms(still) == {(1, 0, 0, 1, 0, 0)}


def test_the_residual_is_shown_times_k(still: Any) -> None:
    def strength() -> int:
        return sum(sum(pixels(still, "difference", x, 20)[:3]) for x in range(0, 40, 3))

    plain, image = strength(), pixels(still, "denoised", 20, 20)
    still.select_option("#factor", "4")
    assert strength() > 1.3 * plain and pixels(still, "denoised", 20, 20) == image
    assert still.locator("#strip [data-sigma]").all_text_contents() == ["−1σ", "0", "+1σ"]
    still.select_option("#factor", "0.5")
    assert strength() < plain and still.locator("[data-sigma]").first.text_content() == "−8σ"
    still.focus("#viewer")
    still.keyboard.press("k")
    assert strength() == plain


def test_pointing_reads_the_values_of_every_pane_also_zoomed(still: Any) -> None:
    drag(still, '.pane[data-layer="denoised"] .frame', (0.5, 0.5), (1, 1))
    box = still.locator('.pane[data-layer="noisy"] .frame').bounding_box()
    still.mouse.move(box["x"] + 2, box["y"] + 2)
    said = value(still, "#readout")
    assert said.startswith(("x 20, y 20:", "x 19, y 19:"))
    for word in ("noisy", "denoised", "reference", "removed", "g-factor ", "uncertainty"):
        assert word in said


def test_the_keys_are_told(still: Any) -> None:
    still.focus("#viewer")
    still.keyboard.press("?")
    assert still.is_visible("#help") and "Shift + arrows" in still.inner_text("#help")
    still.keyboard.press("Escape")
    assert still.is_hidden("#help")


def test_every_control_is_reached_by_tab_and_shows_it(still: Any) -> None:
    reached = {}
    for _ in range(40):
        still.keyboard.press("Tab")
        name, style = still.evaluate(
            "() => { const e = document.activeElement; return [e.id || e.dataset.mode || e.tagName,"
            "getComputedStyle(e).outlineStyle]; }"
        )
        reached[name] = style
    wanted = {"viewer", "all", "wipe", "flicker", "one", "swap", "play", "speed", "frame", "slice", "level", "width"}
    assert wanted | {"reset", "zoom-in", "smooth", "factor", "keys", "SUMMARY"} <= set(reached)
    assert all(style in ("solid", "auto") for name, style in reached.items() if name != "BODY")


def test_on_paper_everything_is_there_and_dark_on_white(still: Any, tmp_path: Path) -> None:
    still.emulate_media(media="print", color_scheme="dark")
    assert still.is_hidden("#controls") and still.is_hidden("#toolbar")
    still.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert still.locator("details:not([open])").count() == 0
    assert "Frame 1 of 8, slice 2 of 3, window 0 to" in still.inner_text("#printed")
    colours = still.evaluate(
        "['color', 'backgroundColor'].map(k => getComputedStyle(document.getElementById('viewer'))[k])"
    )
    assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
    assert still.evaluate(CONTRAST.read_text()) == []
    still.evaluate("dispatchEvent(new Event('afterprint'))")
    assert still.locator("details[open]").count() == 0
    assert len(still.pdf(path=tmp_path / "page.pdf")) > 10_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_contrast_is_aa_and_nothing_overflows(pages: Callable[..., Any], series: str, scheme: str, width: int) -> None:
    page = pages(color_scheme=scheme, viewport={"width": width, "height": 800})
    shown(page, series, reduced=True)
    assert page.evaluate(CONTRAST.read_text()) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelector('.shape').style.color = '#888'")
    assert len(page.evaluate(CONTRAST.read_text())) == (scheme == "light")  # 3.4 on white, 4.9 on the dark paper


def test_a_volume_plays_through_its_slices(page: Any, tmp_path: Path) -> None:
    uri = write_report(save(make_results((1, 5, 16, 16)), tmp_path / "r"), tmp_path / "r.html").as_uri()
    shown(page, uri, reduced=False)
    assert page.is_hidden("#frame-control") and page.get_attribute("#play", "aria-pressed") == "false"
    page.select_option("#speed", "1")  # slow enough to be seen on a busy machine
    page.click("#play")
    page.locator("#slice-value", has_text="5 / 5").wait_for(timeout=5000)


def test_the_group_sorts_by_every_head_and_leads_to_the_pages(page: Any, tmp_path: Path) -> None:
    folders = group(tmp_path)
    page.goto(write_group(folders, tmp_path / "all.html").as_uri())
    for folder in folders:
        shutil.rmtree(folder)

    def order(head: str) -> list[str]:
        page.click(f"th[data-name='{head}'] button")
        return [title.split(" ", 1)[1] for title in page.locator("tbody th a").all_text_contents()]

    assert order("SNR before") == ["2", "<b>1</b>", "10"] and order("SNR before") == ["10", "<b>1</b>", "2"]
    assert order("SNR after") == ["10", "<b>1</b>", "2"] and order("SNR after")[-1] == "2"  # what is missing is last
    assert order("Trust")[0] == "<b>1</b>"
    assert order("Scan")[1:] == ["2", "10"]
    assert page.get_attribute("th[data-name=Scan]", "aria-sort") == "ascending"
    assert page.evaluate(CONTRAST.read_text()) == []
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".said >> nth=0").bounding_box()["width"] > 300
    page.click("tbody th a >> nth=2")
    page.wait_for_selector("#controls:not([hidden])")
    assert page.inner_text("h1") == "Scan 10"
    page.click("text=All scans")
    assert page.inner_text("h1") == "3 scans"
