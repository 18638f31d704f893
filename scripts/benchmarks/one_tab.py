"""What the tab Spectrum takes in a browser until all of a run is shown; run as a program.

It serves a log folder with the build that it runs with, and needs Playwright and Chromium.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["can_show", "shown"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_TICKS = os.sysconf("SC_CLK_TCK")
_LONGEST = 300_000  # ms
# The last step is on the screen, and nothing is left to be read.
_DONE = """step => {
    const root = document.querySelector("[data-testid=spectrain]");
    const problems = document.querySelector("[data-testid=problems]");
    return root?.dataset.step === step && !problems.textContent.includes("reading");
}"""


def can_show() -> bool:
    """Whether there are Playwright and Chromium."""
    return bool(CHROMIUM and importlib.util.find_spec("playwright"))


def shown(logdir: Path, step: int) -> dict[str, float]:
    """Processor seconds and peak bytes of the page's process.

    Args:
        logdir: with one run.
        step: the last of it.
    """
    from playwright.sync_api import sync_playwright

    board = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", f"--logdir={logdir}", "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert board.stdout is not None
        found = (re.search(r"http://\S+?:\d+/", line) for line in board.stdout)
        address = next(match[0] for match in found if match)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--in-process-gpu"]
            )
            page = browser.new_page(viewport={"width": 1600, "height": 1000})
            page.goto(f"{address}#spectrain")
            frame = _frame(page)
            frame.wait_for_function(_DONE, arg=str(step), timeout=_LONGEST)
            page.wait_for_timeout(500)
            renderer = max(_renderers(), key=_seconds)
            found_there = {"page": _seconds(renderer), "page held": _peak(renderer)}
            browser.close()
    finally:
        board.terminate()
        board.communicate(timeout=30)
    return found_there


def _frame(page: Any) -> Any:
    """That of the tab, which TensorBoard loads into one of its own."""
    page.wait_for_selector("iframe", state="attached", timeout=_LONGEST)
    while not (found := [each for each in page.frames if "spectrain" in each.url.split("?")[-1]]):
        page.wait_for_timeout(100)
    return found[-1]


def _renderers() -> list[int]:
    """Processes of Chromium that draw a page, started by this one."""
    found, parents = [], {os.getpid()}
    for place in sorted(Path("/proc").glob("[0-9]*"), key=lambda each: int(each.name)):
        try:
            parent = int(place.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            command = place.joinpath("cmdline").read_bytes()
        except OSError:
            continue
        if parent in parents:
            parents.add(int(place.name))
            if b"--type=renderer" in command:
                found.append(int(place.name))
    return found


def _seconds(process: int) -> float:
    values = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / _TICKS


def _peak(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    print(json.dumps(shown(Path(sys.argv[1]), int(sys.argv[2]))))
