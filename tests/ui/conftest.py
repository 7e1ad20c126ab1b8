"""Open the page in a real Chromium, and let no test pass over what the browser complains of."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.support.server import ROOT, Server

LONGEST_MILLISECONDS = 15_000
SCREENSHOTS = ROOT / "build" / "screenshots"
_NOTE_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""

expect.set_options(timeout=LONGEST_MILLISECONDS)


class Opener:
    """Opens pages of a browser and watches what is said in them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._pages: list[Page] = []
        self._complaints: list[str] = []
        self.expected: set[int] = set()
        """The statuses of answers that a test is about; the browser calls them errors."""

    def open(self, server: Server, fragment: str = "", **options: Any) -> Page:
        """Open the page of a server in a context of its own."""
        context = self._browser.new_context(reduced_motion="reduce", **options)
        context.add_init_script(_NOTE_VIOLATIONS)
        page = context.new_page()
        page.set_default_timeout(LONGEST_MILLISECONDS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self._complaints.append(f"uncaught: {error}"))
        page.goto(f"http://127.0.0.1:{server.port}/ui{fragment}")
        self._pages.append(page)
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        status = re.search(r"responded with a status of (\d+)", message.text)
        is_expected = status is not None and int(status[1]) in self.expected
        is_lost = 0 in self.expected and "net::ERR_" in message.text
        if message.type in ("error", "warning") and not (is_expected or is_lost):
            self._complaints.append(f"{message.type}: {message.text}")

    def end(self) -> None:
        """Close all pages; raises where a browser complained."""
        violations = [page.evaluate("window.violations") for page in self._pages]
        for page in self._pages:
            page.context.close()
        assert not any(violations), violations
        assert not self._complaints, self._complaints


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser per module: while it runs, no test with a loop of its own can."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opener(browser: Browser) -> Iterator[Opener]:
    opener = Opener(browser)
    yield opener
    opener.end()


@pytest.fixture
def screenshot() -> Callable[[Page, str], Path]:
    """Keep a picture of the whole page, to look at."""

    def take(page: Page, name: str) -> Path:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        page.screenshot(path=path, full_page=True)
        return path

    return take
