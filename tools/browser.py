"""A headless Chromium on a dashboard of its own: what browser tests and screenshots share.

Playwright drives the Chromium that the system has (Debian's package `chromium`); none is fetched.
Every console error, failed script and request to another host is noted as a complaint.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
#: no service of the browser's own, and no name but this machine's is ever looked up
QUIET = (
    "--no-sandbox", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
#: Streamlit asks for these beside each page of a multipage app, and takes a 404 for an answer
PROBES = ("/_stcore/health", "/_stcore/host-config")
SETTLED = """() => {
  const app = document.querySelector('[data-testid="stApp"]');
  const main = document.querySelector('[data-testid="stMainBlockContainer"]');
  if (!app || !main || app.dataset.testScriptState !== 'notRunning') return false;
  if (document.querySelector('[data-testid="stSkeleton"], [data-stale="true"]')) return false;
  const charts = main.querySelectorAll('[data-testid="stPlotlyChart"]');
  const drawn = main.querySelectorAll('[data-testid="stPlotlyChart"] .main-svg');
  if (charts.length && !drawn.length) return false;
  if (!main.querySelector('h1, h3, [data-testid="stException"]')) return false;
  const now = main.innerText.length + ' ' + main.scrollHeight;
  const same = window.settledAs === now;
  window.settledAs = now;
  return same;
}"""


def chromium() -> str | None:
    """The path of a Chromium, or None."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@dataclass
class Visit:
    """One page in a fresh browser profile, and what it complained of."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._asked)
        self.page.on("websocket", lambda it: self._address(it.url))
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("console", self._said)

    def _asked(self, request: Request) -> None:
        self._address(request.url)

    def _address(self, url: str) -> None:
        self.requests.append(url)
        asked = urllib.parse.urlparse(url)
        own = urllib.parse.urlparse(self.base).netloc
        if asked.scheme in ("http", "https", "ws", "wss") and asked.netloc != own:
            self.complaints.append(f"request to another host: {url}")

    def _said(self, message: Any) -> None:
        where = str(message.location.get("url", ""))
        if message.type == "error" and not any(probe in where for probe in PROBES):
            self.complaints.append(f"console: {message.text} {where}")

    def open(self, path: str) -> None:
        """Load `path` (with its query) and wait until it is drawn."""
        self.page.goto(self.base + path, wait_until="commit")
        self.settle()

    def settle(self, limit_s: float = 40) -> None:
        """Wait until the script has run and the page has twice looked the same."""
        self.page.evaluate("() => { window.settledAs = null; }")
        self.page.wait_for_function(SETTLED, polling=250, timeout=1000 * limit_s)
        for error in self.page.locator('[data-testid="stException"]').all_inner_texts():
            self.complaints.append(f"exception on the page: {error}")

    def pages(self) -> dict[str, str]:
        """Name -> path of every page in the navigation; the first has no name of its own: `/`."""
        links = self.page.locator('[data-testid="stSidebarNavLink"]')
        links.first.wait_for(state="attached")
        found: list[str] = links.evaluate_all("all => all.map(a => new URL(a.href).pathname)")
        return {path.strip("/") or "answer": path for path in found}

    def text(self) -> str:
        """What the page says, without the sidebar."""
        return str(self.page.locator('[data-testid="stMain"]').inner_text())

    def query(self) -> dict[str, str]:
        """The query of the address."""
        return dict(urllib.parse.parse_qsl(urllib.parse.urlparse(self.page.url).query))


@contextmanager
def visit(browser: Browser, base: str, size: tuple[int, int] = (1400, 900), dark: bool = False,
          ) -> Iterator[Visit]:  # fmt: skip
    """A page in a profile without history, at a size in CSS pixels and a colour scheme."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light",
        has_touch=width < 600, locale="en-GB", timezone_id="UTC", reduced_motion="reduce",
    )  # fmt: skip
    try:
        yield Visit(context.new_page(), base.rstrip("/"))
    finally:
        context.close()


@contextmanager
def launched() -> Iterator[Browser]:
    """A headless Chromium. Raises RuntimeError where there is none."""
    program = chromium()
    if program is None:
        raise RuntimeError("no chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str, server: subprocess.Popen[bytes], said: Path, limit_s: float = 60) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end and server.poll() is None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return
        time.sleep(0.1)
    raise RuntimeError(f"the dashboard did not answer at {url}: {said.read_text().strip()}")


@contextmanager
def served(database: str | Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """`observatory dashboard` on a free port of 127.0.0.1; gives its address."""
    port = free_port()
    start = "from observatory.cli import main; main()"
    command = [sys.executable, "-c", start, "dashboard", "--db", str(database)]
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "stderr"
        with said.open("wb") as errors:
            server = subprocess.Popen(
                [*command, "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL,
                stderr=errors, env={**os.environ, **(environment or {})},
            )  # fmt: skip
        try:
            _answers(f"http://127.0.0.1:{port}/_stcore/health", server, said)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(10)
            if server.poll() is None:
                server.kill()
