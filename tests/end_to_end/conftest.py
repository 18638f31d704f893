"""One browser for all tests that need one: Playwright does not begin twice in a process."""

import importlib.util
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from spectrain.views.board import board_command

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = [
    name
    for name, found in (
        ("playwright", importlib.util.find_spec("playwright")),
        ("chromium", CHROMIUM),
    )
    if not found
]


@pytest.fixture(scope="session")
def browser():
    if MISSING:
        reason = f"needs {' and '.join(MISSING)}"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start in containers; the pages are ours.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory):
    """The folder for pictures, kept where SCREENSHOTS names one."""
    folder = os.environ.get("SCREENSHOTS")
    folder = Path(folder) if folder else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def served():
    """A context that serves a log folder in TensorBoard and gives its address."""

    @contextmanager
    def serve(logdir):
        board = subprocess.Popen(
            board_command(logdir, port=0),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            found = (re.search(r"http://\S+?:\d+/", line) for line in board.stdout)
            yield next(match[0] for match in found if match)
        finally:
            board.terminate()
            board.communicate(timeout=30)

    return serve
