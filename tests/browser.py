"""A real browser for tests of what a person sees: Debian's Chromium, driven by playwright.

`.ci/run` installs it and sets PREFECT_DASK_TESTS_BROWSER=required; elsewhere tests that need it skip.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")

#: No look at the network: it would ask for updates and look up its maker's hosts.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
]


def find() -> str:
    """The path of the browser; the test is skipped, or fails where a browser is required, without one."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is not None:
        return found
    said = f"no browser found: looked for {', '.join(NAMES)} on PATH (Debian: apt-get install chromium)"
    if os.environ.get("PREFECT_DASK_TESTS_BROWSER") == "required":
        pytest.fail(said)
    pytest.skip(said)


#: Names the folder that pictures for the documentation are written to; they are taken, and dropped, without.
PICTURES = "PREFECT_DASK_TESTS_PICTURES"


def take_picture(of: Any, name: str) -> None:
    """Take a picture for the documentation.

    Args:
        of: A page, or an element of one.
        name: The file's name, without its ending.
    """
    data = of.screenshot(animations="disabled")
    if folder := os.environ.get(PICTURES):
        Path(folder, f"{name}.png").write_bytes(data)


@pytest.fixture
def browser() -> Iterator[Any]:
    """A headless browser (`playwright.sync_api.Browser`) with nothing remembered from other tests.

    While it is open, an event loop counts as running in this thread: start flows in other processes.
    """
    path = find()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield opened
        finally:
            opened.close()


@pytest.fixture
def page(browser) -> Iterator[Any]:
    """A tab of 1280 × 800 pixels; an error in the console, or thrown by the page's script, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    tab = context.new_page()
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield tab
    context.close()
    assert wrong == []
