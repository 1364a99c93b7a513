"""The browser of the page tests sees what it must: faults of a page, and any wish for the network."""

from pathlib import Path

import pytest

pytest_plugins = ["browser", "pytester"]


def written(folder: Path, body: str) -> str:
    path = folder / "page.html"
    path.write_text(f"<!doctype html><title>t</title>{body}", encoding="utf-8")
    return path.as_uri()


def test_a_quiet_page_passes(page, tmp_path: Path) -> None:
    page.goto(written(tmp_path, '<p id="p">x</p><img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=">'))
    assert page.inner_text("#p") == "x" and not page.evaluate("navigator.onLine")


FAULTS = (
    "<script>console.error('bad')</script>",
    "<script>nothing()</script>",
    "<img src='https://example.org/a.png'>",
    "<script>fetch('http://example.org/').catch(() => 0)</script>",
)


def test_a_page_with_a_fault_fails_its_test(
    chromium, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fault in a test run of its own, whose teardown must fail."""
    uris = []
    for i, body in enumerate(FAULTS):
        folder = pytester.mkdir(f"fault_{i}")
        uris.append(written(folder, body))
    pytester.makepyfile(
        "import pytest\npytest_plugins = ['browser']\n"
        f"@pytest.mark.parametrize('uri', {uris!r})\ndef test_it(page, uri):\n    page.goto(uri)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=4, errors=4)
