"""A headless Chromium for tests of pages: no network, and no error on the console.

In a test module: `pytest_plugins = ["browser"]`, then `def test_it(page: Page, tmp_path)` with
`page.goto((tmp_path / "page.html").as_uri())`. `pages(color_scheme="dark", viewport={...}, ...)` opens further ones,
with any option of playwright's `Browser.new_context`. Without playwright or Chromium the tests skip and say so.

After each test: whatever the page wrote to the console as an error, every exception it did not catch and every request
for anything but file:, data: and blob: fails the test.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ALLOWED = ("file:", "data:", "blob:", "about:")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
Pages = Callable[..., Any]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One browser for all tests; each page is in a context of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is absent: pip install playwright")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    with playwright.sync_playwright() as started:
        path = found or started.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("Chromium is absent: apt install chromium, or playwright install chromium")
        browser = started.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def pages(chromium: Any) -> Iterator[Pages]:
    """A function that opens a page in a context of its own, offline and watched."""
    contexts: list[Any] = []
    faults: list[str] = []

    def route(request: Any) -> None:
        if request.request.url.startswith(ALLOWED):
            request.continue_()
        else:
            faults.append(f"asked for {request.request.url}")
            request.abort()

    def said(message: Any) -> None:
        if message.type == "error":
            faults.append(f"console: {message.text}")

    def opened(**options: Any) -> Any:
        given = {"offline": True, "viewport": {"width": 1280, "height": 900}, "color_scheme": "light"} | options
        context = chromium.new_context(**given)
        contexts.append(context)
        context.set_default_timeout(10_000)
        context.route("**/*", route)
        page = context.new_page()
        page.on("console", said)
        page.on("pageerror", lambda error: faults.append(f"uncaught: {error}"))
        page.on("request", lambda r: None if r.url.startswith(ALLOWED) else faults.append(f"asked for {r.url}"))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def page(pages: Pages) -> Any:
    """One page of 1280 x 900, light, offline and watched."""
    return pages()
