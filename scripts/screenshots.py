"""Take the pictures of the tab "Spectrum" that the documentation shows.

Usage: python scripts/screenshots.py [OUTPUT [LOGDIR]]

Trains a small model unless LOGDIR has one, opens the board on it in a browser and goes to a
transition. Needs Chromium and the extra `browser`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from spectrain import SoftmaxMixtureConfig, run
from spectrain.views.board import board_command

TRAINING = SoftmaxMixtureConfig(dimension=200, epochs=16)
WINDOW = {"width": 1280, "height": 720}


def main(output: str = "docs/images", logdir: str = "") -> None:
    folder = Path(output)
    with tempfile.TemporaryDirectory() as temporary:
        logs = Path(logdir or temporary)
        if not logdir:
            run(TRAINING, logs / "softmax")
        board = subprocess.Popen(
            board_command(logs, port=0), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            found = (re.search(r"http://\S+?:\d+/", line) for line in board.stdout or ())
            address = next(match[0] for match in found if match)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox"]
                )
                for scheme in ("light", "dark"):
                    page = browser.new_page(viewport=WINDOW, color_scheme=scheme)
                    page.goto(f"{address}data/plugin_entry.html?name=spectrain")
                    path = folder / f"spectrum-tab-{scheme}.png"
                    take(page, path)
                    print(path)
        finally:
            board.terminate()
            board.wait()


def take(page: Any, path: Path) -> None:
    """The tab where the first outlier has just left, or joined, the bulk."""
    page.wait_for_selector('[data-testid=spectrain][data-step]:not([data-step=""])')
    page.keyboard.press("Home")
    page.wait_for_selector('[data-testid=spectrain][data-step="0"]')
    page.get_by_test_id("next-transition").click()
    page.wait_for_selector('[data-testid=spectrain]:not([data-step="0"])')
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)


if __name__ == "__main__":
    main(*sys.argv[1:])
