"""Measures how long a page of `vsr compare` takes until its first images are drawn, in a real Chromium.

    python -m benchmarks.speed.page_loading PAGE.html [--rounds 3]

Both the time of a clock and the processor time of all of Chromium's processes, because machines are shared.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.scale.distribution import descendants, processor_seconds
from tests.browser import PATIENCE, chromium


def loaded(browser: Any, page: Path) -> tuple[float, float]:
    """Return the seconds by a clock and of processors until the images of the first position are drawn."""
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    tab.set_default_timeout(PATIENCE)
    tab.goto("about:blank")
    begin, before = time.monotonic(), processor_seconds(descendants(os.getpid()))
    tab.goto(page.resolve().as_uri())
    tab.wait_for_selector("body[data-drawn='0']")
    seconds = time.monotonic() - begin
    used = processor_seconds(descendants(os.getpid())) - before
    tab.close()
    return seconds, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with chromium() as browser:
        for _ in range(arguments.rounds):
            seconds, used = loaded(browser, arguments.page)
            size = arguments.page.stat().st_size / 1e6
            print(f"{size:.1f} MB: {seconds:.2f} s by the clock, {used:.2f} s of processors")


if __name__ == "__main__":
    main()
