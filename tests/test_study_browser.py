"""The study page in a real browser, opened from a file with the network off: scored by mouse and keys, handed over."""

import json
from pathlib import Path
from typing import Any

import pytest

from clearmr.report import study_answers
from cli_runs import done
from small_study import pairs

pytest_plugins = ["browser"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pairs, one image at a time, three items of which lesions may be absent."""
    folder = tmp_path_factory.mktemp("study")
    items = ("--items", "overall,snr,lesions")
    done("study", "make", *pairs(folder / "in", 3), "-o", folder / "s", "-q", "--seed", "4", *items)
    return folder / "s"


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of series, side by side."""
    folder = tmp_path_factory.mktemp("wide")
    given = pairs(folder / "in", 2, shape=(20, 24, 3, 4))
    done("study", "make", *given, "-o", folder / "s", "-q", "--seed", "4", "--side-by-side", "--items", "overall,snr")
    return folder / "s"


def begin(page: Any, study: Path, reader: int = 1) -> None:
    page.goto((study / "study.html").as_uri())
    page.get_by_role("button", name=f"Reader {reader}").click()
    drawn(page)


def drawn(page: Any) -> None:
    """Wait until the picture is on the screen."""
    until(page, "document.querySelector('.pane canvas')?.width > 100")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def until(page: Any, condition: str) -> None:
    """playwright's own wait_for_function needs eval, which the page's policy forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(30)
    raise AssertionError(condition)


def pixels(page: Any, pane: int = 0) -> list[int]:
    """Sum of the greys and a checksum of a pane."""
    return page.evaluate(
        """(pane) => {
            const canvas = document.querySelectorAll('.pane canvas')[pane];
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let sum = 0, check = 0;
            for (let i = 0; i < data.length; i += 4) { sum += data[i]; check = (check * 31 + data[i]) % 1000003; }
            return [sum, check];
        }""",
        pane,
    )


def pressed(page: Any) -> list[str]:
    return [one.get_attribute("aria-label") for one in page.locator('.panel [aria-pressed="true"]').all()]


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def downloaded(page: Any, button: str, folder: Path) -> Path:
    with page.expect_download() as waited:
        page.click(button)
    path = folder / waited.value.suggested_filename
    waited.value.save_as(path)
    return path


def test_a_study_from_the_start_to_the_tables(page: Any, study: Path, tmp_path: Path) -> None:
    """Reader 1 scores all by keys; the file goes into `study analyse` and says what was pressed."""
    pytest.importorskip("sklearn", reason="scikit-learn is absent")
    begin(page, study)
    key = study / "key.json"
    order = study_answers.read_key(key).orders[0]
    for k in range(len(order)):
        assert page.inner_text("#where") == f"Image {k + 1} of {len(order)}"
        press(page, "4", "3", "0" if k % 2 else "5")
        assert page.inner_text("#next") == ("Next" if k + 1 < len(order) else "Finish")
        press(page, "Enter")
    assert page.inner_text("#end-title").startswith("All scored")
    file = downloaded(page, "#end-download", tmp_path)
    plain = json.loads(file.read_text())
    assert plain["complete"] is True and plain["reader"] == 1 and set(plain["answers"]) == {r.id for r in order}
    assert plain["answers"][order[1].id] == [{"overall": 4, "snr": 3, "lesions": "none"}]
    assert plain["answers"][order[0].id] == [{"overall": 4, "snr": 3, "lesions": 5}]
    assert set(plain) == {"format", "version", "study", "reader", "started", "saved", "complete", "answers", "seconds"}
    table = done("study", "analyse", key, file, "-q").out
    assert "| Overall image quality | Reader 1 | 4.00 ± 0.00 | 4.00 ± 0.00 |" in table


def test_mouse_scores_change_and_the_next_open_item_is_marked(page: Any, study: Path) -> None:
    begin(page, study)
    page.get_by_role("button", name="Perceived SNR: 2", exact=True).click()
    assert pressed(page) == ["Perceived SNR: 2"] and page.inner_text(".item.active p").startswith("Lesion")
    page.get_by_role("button", name="Perceived SNR: 5", exact=True).click()
    press(page, "0")
    assert pressed(page) == ["Perceived SNR: 5", "Lesion conspicuity: nothing to score"]
    assert page.inner_text("#next") == "Next (1 open)" and page.inner_text(".item.active p").startswith("Overall")
    press(page, "0", "7")  # nothing to score is no answer here, and 7 is none anywhere
    assert len(pressed(page)) == 2
    press(page, "s", "3")
    assert "Perceived SNR: 3" in pressed(page)
    page.click("#next")
    press(page, "Enter")  # not the button that the mouse left
    assert page.inner_text("#where") == "Image 3 of 7"
    press(page, "Backspace", "Backspace")
    drawn(page)
    assert "Perceived SNR: 3" in pressed(page)


def test_slices_window_zoom_and_reset(page: Any, study: Path) -> None:
    begin(page, study)
    first = pixels(page)
    box = page.locator(".pane canvas").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.inner_text("#slice-value") == "4 / 6"
    page.mouse.move(*middle)
    page.mouse.wheel(0, 100)
    drawn(page)
    assert page.inner_text("#slice-value") == "5 / 6" and pixels(page) != first
    press(page, "ArrowUp")
    drawn(page)
    assert page.inner_text("#slice-value") == "4 / 6" and pixels(page) == first
    page.mouse.down()
    page.mouse.move(middle[0], middle[1] + 120, steps=3)
    page.mouse.up()
    drawn(page)
    assert pixels(page)[0] < 0.9 * first[0]  # down: a higher level, darker
    press(page, "r")
    drawn(page)
    assert pixels(page) == first
    page.mouse.dblclick(middle[0] + 40, middle[1])
    drawn(page)
    zoomed = pixels(page)
    assert zoomed[0] > 1.2 * first[0] and float(page.input_value("#zoom")) == 2.5
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(middle[0] - 200, middle[1], steps=3)
    page.mouse.up()
    page.keyboard.up("Shift")
    drawn(page)
    assert pixels(page) != zoomed
    page.click("#reset")
    drawn(page)
    assert pixels(page) == first


def test_a_reload_goes_on_where_the_reader_stopped(page: Any, study: Path) -> None:
    begin(page, study)
    press(page, "1", "2", "3", "Enter", "5")
    page.reload()
    assert "1 of 7 scored, go on" in page.inner_text("#readers") and page.locator("#reading").is_hidden()
    page.get_by_role("button", name="Reader 1").click()
    assert page.inner_text("#where") == "Image 2 of 7" and pressed(page) == ["Overall image quality: 5"]
    press(page, "Backspace")
    assert len(pressed(page)) == 3
    page.click("#overview")
    assert page.inner_text("#end-title") == "6 of 7 still open"
    page.get_by_role("button", name="7: 0 of 3 scored").click()
    assert page.inner_text("#where") == "Image 7 of 7"


def test_each_reader_has_an_own_order_and_own_scores(page: Any, study: Path) -> None:
    """The pictures on the screen are those of the key, one by one."""
    orders = study_answers.read_key(study / "key.json").orders
    seen: list[dict[str, list[int]]] = []
    for reader, order in enumerate(orders, 1):
        begin(page, study, reader)
        assert pressed(page) == [] and f"Reader {reader}" in page.inner_text("#scored")
        press(page, "4")
        seen.append({})
        for reading in order:
            drawn(page)
            assert seen[-1].setdefault(reading.pictures[0], pixels(page)) == pixels(
                page
            )  # a repeat is the same picture
            press(page, "Enter")
    assert seen[0] == seen[1] and len(seen[0]) == 6 and list(seen[0]) != list(seen[1])
    assert len({tuple(shown) for shown in seen[0].values()}) == 6


def test_a_file_goes_on_in_another_browser(pages: Any, study: Path, tmp_path: Path) -> None:
    one = pages()
    begin(one, study, 2)
    press(one, "2", "3", "4", "Enter", "1")
    file = downloaded(one, "#download", tmp_path)
    assert json.loads(file.read_text())["complete"] is False
    other = pages()
    other.goto((study / "study.html").as_uri())
    other.set_input_files("#file", file)
    other.wait_for_selector("#reading:not([hidden])")
    assert other.inner_text("#where") == "Image 2 of 7" and pressed(other) == ["Overall image quality: 1"]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": "clearmr-study-answers", "study": "x", "reader": 1, "answers": {}}']
)
def test_a_file_that_is_not_of_this_study_is_refused(page: Any, study: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "other.json").write_text(text)
    page.goto((study / "study.html").as_uri())
    page.set_input_files("#file", tmp_path / "other.json")
    page.wait_for_selector("#notice:not([hidden])")
    assert page.inner_text("#notice") == "other.json holds no scores of this study."


def test_without_storage_the_page_says_so_and_still_hands_over(page: Any, study: Path, tmp_path: Path) -> None:
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } })")
    page.goto((study / "study.html").as_uri())
    assert "does not keep your scores" in page.inner_text("#notice")
    page.get_by_role("button", name="Reader 1").click()
    press(page, "4", "4", "4")
    plain = json.loads(downloaded(page, "#download", tmp_path).read_text())
    assert [{"overall": 4, "snr": 4, "lesions": 4}] in plain["answers"].values()


def test_side_by_side_moves_together_and_scores_each(page: Any, wide: Path, tmp_path: Path) -> None:
    begin(page, wide)
    assert page.locator(".pane").count() == 2
    assert [page.inner_text(f".pane:nth-child({k}) .name") for k in (1, 2)] == ["X", "Y"]
    until(page, "document.getElementById('frame-value').textContent !== '1 / 4'")  # it plays
    press(page, "Space")
    assert page.get_attribute("#play", "aria-pressed") == "false"
    drawn(page)
    before = [pixels(page, k) for k in (0, 1)]
    press(page, "ArrowRight")
    drawn(page)
    frames = [pixels(page, k) for k in (0, 1)]
    assert all(a != b for a, b in zip(before, frames, strict=True))
    page.locator(".pane canvas").nth(1).dblclick()
    drawn(page)
    assert all(pixels(page, k) != frames[k] for k in (0, 1))
    press(page, "5", "2", "4", "3")
    order = study_answers.read_key(wide / "key.json").orders[0]
    plain = json.loads(downloaded(page, "#download", tmp_path).read_text())
    assert plain["answers"][order[0].id] == [{"overall": 5, "snr": 4}, {"overall": 2, "snr": 3}]


def test_nothing_plays_by_itself_for_those_who_want_little_motion(pages: Any, wide: Path) -> None:
    page = pages(reduced_motion="reduce")
    begin(page, wide)
    page.wait_for_timeout(300)
    assert page.inner_text("#frame-value") == "1 / 4" and page.get_attribute("#play", "aria-pressed") == "false"
    press(page, "Space")
    until(page, "document.getElementById('frame-value').textContent !== '1 / 4'")


def test_every_control_can_be_reached_and_has_a_name(page: Any, study: Path) -> None:
    begin(page, study)
    unnamed = page.evaluate(
        """[...document.querySelectorAll('#reading button, #reading input, #reading select')].filter((one) =>
            !(one.getAttribute('aria-label') || one.textContent.trim() || one.closest('label')))
            .map((one) => one.outerHTML)"""
    )
    assert unnamed == []
    page.get_by_role("button", name="Overall image quality: 3").focus()
    press(page, "Enter")  # of a button in focus: its own
    assert pressed(page) == ["Overall image quality: 3"] and page.inner_text("#where") == "Image 1 of 7"


def test_a_phone_sees_all_without_scrolling_sideways(pages: Any, wide: Path) -> None:
    page = pages(viewport={"width": 390, "height": 800})
    begin(page, wide)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("size", [(1400, 900), (390, 800)])
def test_no_score_of_many_arms_lies_on_another(pages: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    files = [part for pair in pairs(tmp_path / "in", 2) for part in pair.split("=")]
    (tmp_path / "arms.csv").write_text(f"a,b,c,d\n{','.join(files)}\n")
    done("study", "make", "--pairs", tmp_path / "arms.csv", "-o", tmp_path / "s", "-q", "--side-by-side")
    page = pages(viewport={"width": size[0], "height": size[1]})
    page.goto((tmp_path / "s" / "study.html").as_uri())
    page.get_by_role("button", name="Reader 1").click()
    lines = page.locator(".panel .item p, .panel .set, .panel .words").all()
    boxes = sorted((box["y"], box["x"], box["height"], box["width"]) for box in (one.bounding_box() for one in lines))
    assert len(boxes) == 7 * 6
    for k, (y, x, height, width) in enumerate(boxes):
        for below, right, _, _ in boxes[k + 1 :]:
            assert below >= y + height - 0.5 or right >= x + width - 0.5 or right < x
