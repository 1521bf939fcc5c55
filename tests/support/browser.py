"""Written pages in a headless chromium. Playwright drives it: `pip install playwright`, `apt-get install chromium`."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; `apt-get install chromium` runs these tests")


@contextmanager
def launched() -> Iterator[Any]:
    """The browser. Skips the test without Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; `pip install playwright` runs these tests")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def visits(browser: Any, ready: Callable[[Any], object]) -> Iterator[Callable[..., Any]]:
    """Yields a function that opens a file with options and waits until it is ready.

    At the end only these files must have been requested, with no message on the console.
    """
    contexts, opened, requests, messages = [], set[str](), set[str](), []

    def open_page(path: Path, **options: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1440, "height": 1000}} | options))
        contexts.append(context)
        opened.add(path.as_uri())
        page = context.new_page()
        page.on("request", lambda request: requests.add(request.url))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(path.as_uri())
        ready(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert {url for url in requests if not url.startswith("data:")} == opened
    assert messages == []
