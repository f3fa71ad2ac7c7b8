"""A real Chromium for tests of pages: Debian's or another installed one, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 120_000
"""Milliseconds that a page may take on a machine with other work."""


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield a browser of Playwright; skips the test with the reason if there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (extra dev)")
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no Chromium is installed: none of {', '.join(NAMES)} is on the PATH")
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium's sandbox refuses root
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=program, args=["--no-sandbox"] if as_root else [], timeout=PATIENCE
        )
        yield browser
        browser.close()


class Watched:
    """A page that is open, with everything that went wrong on it."""

    def __init__(self, browser: Any, path: Path, *, scheme: str = "light") -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme=scheme)
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.at(0)

    def at(self, position: int) -> None:
        """Wait until the images of a position are drawn."""
        self.page.wait_for_selector(f"body[data-drawn='{position}']")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def pixels(self, panel: int) -> list[int]:
        """Return the red, green and blue of a panel's canvas, row by row."""
        return list(
            self.page.evaluate(
                "(panel) => { const c = document.querySelectorAll('#stage canvas')[panel];"
                " return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
                ".filter((_, i) => i % 4 < 3); }",
                panel,
            )
        )
