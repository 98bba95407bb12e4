"""A real browser without network: Debian's Chromium, driven by Playwright."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from circuitmem.config import load_run
from circuitmem.training.run import start_run

AXE = Path(__file__).parents[2] / ".venv" / "browser" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE = 120_000.0
"""How long a page may take [ms]: on a busy machine a run that is watched is drawn in half a minute."""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def require(there, what):
    """Skip where a tool is missing; fail in CI, where it must not be."""
    if not there and os.environ.get("CIRCUITMEM_REQUIRE_BROWSER") == "1":
        pytest.fail(f"CIRCUITMEM_REQUIRE_BROWSER=1, but {what} is missing")
    if not there:
        pytest.skip(f"{what} is missing: .ci/browser-packages gets it")


@pytest.fixture(scope="session")
def browser():
    program = shutil.which("chromium")
    require(program, "chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def axe():
    require(AXE.is_file(), "axe-core")
    return AXE.read_text("utf-8")


class Reader:
    """One who opens a page: notes every error, and every request that leaves for the network."""

    def __init__(self, browser, width=1280, scheme="light", script=True):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script, offline=False
        )
        context.set_default_timeout(PATIENCE)
        self.page = context.new_page()
        self.errors, self.requests = [], []
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, url):
        self.page.goto(url)
        return self.page

    def scroll(self):
        """Pass over the whole page, so that everything on it is drawn."""
        height = self.page.evaluate("document.documentElement.scrollHeight")
        for y in range(0, height, 500):
            self.page.evaluate(f"window.scrollTo(0, {y})")
            self.page.wait_for_timeout(30)
        self.page.wait_for_function(
            "[...document.querySelectorAll('figure[data-live] .live')].every(e => e.dataset.shown !== undefined)"
        )

    def left(self):
        """Return the requests that were not for the page's own place."""
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:", "http://127.0.0.1"))]


@pytest.fixture
def reader(browser):
    made = []

    def make(**how):
        made.append(Reader(browser, **how))
        return made[-1]

    yield make
    for one in made:
        one.page.context.close()


SMALL = [
    "data.side=8",
    "data.train=200",
    "data.test=100",
    "network.layers=[64, 12, 10]",
    "chip.tile.rows=32",
    "chip.tile.columns=16",
    "in_situ.epochs=2",
    "in_situ.batch=50",
    "calibration.vectors=40",
    "ex_situ.epochs=5",
    "audit.tiles=0",
    "trace=true",
]


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A finished run, to be copied."""
    folder = tmp_path_factory.mktemp("browser") / "run"
    start_run(load_run(None, SMALL), folder)
    return folder
