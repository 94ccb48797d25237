"""Screenshots of the dashboard: `python tools/screenshots.py --db results/observatory.db`.

Starts the dashboard on a free port of 127.0.0.1 and drives a headless Chromium through its
DevTools protocol (Debian's `chromium` package; `websockets` comes with Streamlit). Console errors
and requests to any other host are printed and make the exit code 1.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "answer": "/", "frontier": "/frontier", "compare": "/compare", "phases": "/phases",
    "footprint": "/footprint", "card": "/card", "runs": "/runs", "methods": "/methods",
}  # fmt: skip
SIZES = {"1400": (1400, 900), "390": (390, 844)}
SETTLED = """(() => { const app = document.querySelector('[data-testid="stApp"]');
  return !!app && app.getAttribute('data-test-script-state') === 'notRunning'
    && !document.querySelector('[data-testid="stSkeleton"]')
    && !!document.querySelector('[data-testid="stMainBlockContainer"] h1, '
      + '[data-testid="stMainBlockContainer"] h3'); })()"""
HEIGHT = """Math.ceil(document.querySelector('[data-testid="stMain"]').scrollHeight)"""
#: Streamlit probes these beside each page of a multipage app, and takes a 404 for an answer
PROBES = ("/_stcore/health", "/_stcore/host-config")


class Browser:
    """One page of a headless Chromium, spoken to over its DevTools socket."""

    def __init__(self, socket_url: str) -> None:
        from websockets.sync.client import connect

        self._context = connect(socket_url, max_size=2**27)
        self._socket = self._context.__enter__()
        self._count = 0
        self.problems: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, note events on the way, and return its result."""
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == self._count:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            host = urllib.parse.urlparse(url).hostname
            if url.startswith(("http", "ws")) and host != "127.0.0.1":
                self.problems.append(f"request to another host: {url}")
        elif method == "Runtime.exceptionThrown":
            self.problems.append(f"exception: {params['exceptionDetails'].get('text')}")
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            entry = params["entry"]
            if not any(probe in entry.get("url", "") for probe in PROBES):
                self.problems.append(f"console: {entry['text']} {entry.get('url', '')}")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    def open(self, url: str, width: int, height: int, dark: bool) -> None:
        """Load a page at a size and scheme, and wait until Streamlit has drawn it."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.resize(width, height)
        self.call("Page.navigate", url=url)
        self.settle()

    def resize(self, width: int, height: int) -> None:
        """Set the viewport, in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip

    def settle(self, limit_s: float = 40) -> None:
        """Wait until the script has run and the page stays the same for a second."""
        end, quiet, last = time.monotonic() + limit_s, 0, None
        while time.monotonic() < end and quiet < 4:
            time.sleep(0.3)
            now = self.evaluate(HEIGHT) if self.evaluate(SETTLED) else None
            quiet, last = (quiet + 1, now) if now is not None and now == last else (0, now)
        if quiet < 4:
            self.problems.append("the page did not come to rest")

    def picture(self, path: Path, width: int, tallest: int = 6000) -> None:
        """The whole page as PNG."""
        self.resize(width, min(tallest, int(self.evaluate(HEIGHT) or 900)))
        self.settle()
        shot = self.call("Page.captureScreenshot", format="png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, limit_s: float = 60) -> bytes:
    """The body of `url` once it answers. Raises TimeoutError."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
            return bytes(answer.read())
        time.sleep(0.3)
    raise TimeoutError(f"{url} did not answer within {limit_s:.0f} s")


@contextmanager
def process(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = subprocess.Popen(command, **quiet, **options)
    try:
        yield started
    finally:
        started.terminate()
        with suppress(subprocess.TimeoutExpired):
            started.wait(10)
        if started.poll() is None:
            started.kill()


@contextmanager
def dashboard(database: str) -> Iterator[str]:
    """The dashboard on a free port; gives its address."""
    port = free_port()
    start = "from observatory.cli import main; main()"
    command = [sys.executable, "-c", start, "dashboard", "--db", database, "--port", str(port)]
    with process(command, cwd=ROOT):
        base = f"http://127.0.0.1:{port}"
        wait_for(f"{base}/_stcore/health")
        yield base


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium with one blank page."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("no chromium: apt-get install chromium")
    port = free_port()
    with tempfile.TemporaryDirectory() as profile:
        command = [
            program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--hide-scrollbars", f"--user-data-dir={profile}",
            f"--remote-debugging-port={port}", "--remote-allow-origins=*", "about:blank",
        ]  # fmt: skip
        with process(command, env={**os.environ, "LANG": "en_US.UTF-8"}):
            wait_for(f"http://127.0.0.1:{port}/json/version")
            targets = json.loads(wait_for(f"http://127.0.0.1:{port}/json/list"))
            page = next(t for t in targets if t["type"] == "page")
            yield Browser(page["webSocketDebuggerUrl"])
            time.sleep(0.2)


def main() -> int:
    """Take the pictures; 1 where a page complained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--db", default="results/observatory.db")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--pages", nargs="*", choices=list(PAGES), default=["answer"])
    parser.add_argument("--sizes", nargs="*", choices=list(SIZES), default=["1400"])
    parser.add_argument("--schemes", nargs="*", choices=["light", "dark"], default=["light"])
    parser.add_argument("--query", default="", help="query of the address, such as zone=FRA")
    parser.add_argument("--tallest", type=int, default=6000, help="cut pictures at this height")
    parser.add_argument("--url", help="a dashboard that runs already")
    given = parser.parse_args()
    with contextless(given.url) if given.url else dashboard(given.db) as base, browser() as page:
        for name in given.pages:
            for size in given.sizes:
                for scheme in given.schemes:
                    suffix = "" if (size, scheme) == ("1400", "light") else f"-{size}-{scheme}"
                    target = given.out / f"{name}{suffix}.png"
                    width, height = SIZES[size]
                    query = f"?{given.query}" if given.query else ""
                    page.open(f"{base}{PAGES[name]}{query}", width, height, scheme == "dark")
                    page.picture(target, width, given.tallest)
                    print(target)
        for problem in dict.fromkeys(page.problems):
            print(problem, file=sys.stderr)
        return 1 if page.problems else 0


@contextmanager
def contextless(url: str) -> Iterator[str]:
    """An address that somebody else serves."""
    yield url.rstrip("/")


if __name__ == "__main__":
    sys.exit(main())
