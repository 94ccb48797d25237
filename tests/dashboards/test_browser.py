"""The pages in a real browser: quiet, by themselves, restored by their link, files that agree.

Skipped where there is no Chromium; `apt-get install chromium` gives one.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import socket
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from observatory.cli import observatory, run
from tests.dashboards.conftest import HOSTILE
from tools import browser as tool

pytestmark = pytest.mark.skipif(
    tool.chromium() is None, reason="no chromium: apt-get install chromium"
)
WIDE, NARROW = (1400, 900), (390, 844)
FITS_WIDTH = """() => { const main = document.querySelector('[data-testid="stMain"]');
  const right = document.documentElement.clientWidth;
  return main.scrollWidth <= right ? [] : [...main.querySelectorAll('*')]
    .filter(e => e.getBoundingClientRect().right > right + 1).map(e => e.className); }"""
#: notes every address that the server's process binds or connects to, from its first line on
NOTES = """
import sys

def note(event, arguments, log=open({log!r}, "a", buffering=1)):
    if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"):
        print(event, repr(arguments[1] if event != "socket.getaddrinfo" else arguments[:2]),
              file=log)

sys.addaudithook(note)
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    pytest.importorskip("playwright.sync_api")
    with tool.launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def server_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The addresses that the dashboard's process bound or asked."""
    return tmp_path_factory.mktemp("hook") / "addresses.log"


@pytest.fixture(scope="module")
def base(filled: Path, server_log: Path) -> Iterator[str]:
    """A dashboard on the filled database."""
    hook = server_log.parent / "sitecustomize.py"
    hook.write_text(NOTES.format(log=str(server_log)))
    before = hashlib.sha256(filled.read_bytes()).digest()
    with tool.served(filled, {"PYTHONPATH": str(hook.parent)}) as address:
        yield address
    assert hashlib.sha256(filled.read_bytes()).digest() == before, "the database was written to"


def field(page: Any, label: str) -> Any:
    """The input of a widget of the sidebar."""
    return page.locator('[data-testid="stSidebar"]').get_by_label(label, exact=True)


def bar(page: Any) -> Any:
    """The line with the scenario."""
    return page.locator(".st-key-scenario-line")


def widgets(page: Any) -> list[str]:
    """What every widget of the sidebar shows."""
    return list(page.locator('[data-testid="stSidebar"] input').evaluate_all(
        "all => all.map(e => (e.getAttribute('aria-label') || '') + '=' + e.value)"))  # fmt: skip


def test_every_page_loads_quietly_wide_and_narrow(chromium: Any, base: str) -> None:
    with tool.visit(chromium, base, WIDE, dark=True) as seen:
        seen.open("/")
        pages = seen.pages()
        assert {"answer", "frontier", "compare", "phases", "footprint", "card", "runs",
                "methods"} <= set(pages)  # fmt: skip
        for name, path in pages.items():
            asked = len(seen.requests)
            seen.open(path)
            assert not seen.page.locator('[data-testid="stException"]').count(), name
            assert not seen.page.locator('[data-testid="stAlertContentError"]').count(), name
            assert len(seen.text()) > 100, name
            seen.page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
            seen.settle()
            assert seen.page.evaluate(FITS_WIDTH) == [], name
            seen.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
            assert seen.complaints == [], name
            assert len(seen.requests) > asked + 5  # the log believed here is not an empty one


def test_the_scenario_moves_the_numbers_and_its_link_brings_them_back(
    chromium: Any, base: str
) -> None:
    with tool.visit(chromium, base) as seen:
        seen.open("/")
        page, before = seen.page, seen.text()
        assert seen.query() == {}
        field(page, "prompt tokens").fill("300")
        field(page, "prompt tokens").press("Enter")
        seen.settle()
        page.locator('[data-testid="stSidebar"]').get_by_text("Site and prices").click()
        field(page, "tariff ($/kWh)").fill("0.25")
        field(page, "tariff ($/kWh)").press("Enter")
        seen.settle()
        page.locator('[data-testid="stSidebar"] .st-key-zone [role="combobox"]').click()
        page.keyboard.type("Poland")
        page.keyboard.press("Enter")
        page.wait_for_url("**zone=POL**")
        seen.settle()
        said, link, shown = seen.text(), page.url, widgets(page)
        assert seen.query() == {"p": "300", "tariff": "0.25", "zone": "POL"}
        assert "request of 300 prompt" in said and "request of 300 prompt" not in before
        changed = bar(page).locator("strong").all_inner_texts()
        assert any("zone POL" in it for it in changed) and any("0.25" in it for it in changed)
        assert seen.complaints == []
    with tool.visit(chromium, base) as fresh:
        fresh.open(link.removeprefix(base))
        fresh.page.locator('[data-testid="stSidebar"]').get_by_text("Site and prices").click()
        fresh.settle()
        assert fresh.text() == said
        assert [w for w in widgets(fresh.page) if w[-1] != "="] == [
            w for w in shown if w[-1] != "="
        ]
        # the scenario goes along to another page
        fresh.page.get_by_role("link", name="Footprint").click()
        fresh.page.wait_for_url("**/footprint?**")
        fresh.settle()
        assert fresh.query() == {"p": "300", "tariff": "0.25", "zone": "POL"}
        assert "Poland" in fresh.text() and fresh.complaints == []


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_scenario_stays_in_view(chromium: Any, base: str, size: tuple[int, int]) -> None:
    with tool.visit(chromium, base, size) as seen:
        seen.open("/?zone=FRA")
        page = seen.page
        assert "zone FRA" in bar(page).inner_text()
        main = page.locator('[data-testid="stMain"]')
        main.evaluate("e => e.scrollTo(0, e.scrollHeight)")
        page.wait_for_timeout(300)
        assert main.evaluate("e => e.scrollTop") > 500
        box = bar(page).bounding_box()
        assert box is not None and box["y"] >= 0 and box["y"] + box["height"] < 180
        on_top = page.evaluate(
            "([x, y]) => !!document.elementFromPoint(x, y).closest('.st-key-scenario-line')",
            [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2],
        )
        assert on_top  # nothing is drawn over it


def test_a_csv_of_the_page_holds_what_the_command_line_exports(
    chromium: Any, base: str, filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tool.visit(chromium, base) as seen:
        seen.open("/methods")
        with seen.page.expect_download() as waiting:
            seen.page.locator(".st-key-csv-fits button").click()
        got = waiting.value
        assert got.suggested_filename == "fits.csv"
        page = pd.read_csv(got.path())
        assert seen.complaints == []
    assert run(observatory, ["export", "--db", str(filled), "--what", "fits"]) == 0
    told = pd.read_csv(io.StringIO(capsys.readouterr().out))
    shared = [c for c in page.columns if c in told.columns]
    assert len(shared) > 10 and len(page) == len(told) > 0
    pd.testing.assert_frame_equal(page[shared], told[shared])


def test_a_chart_gives_its_table_and_its_picture(chromium: Any, base: str) -> None:
    with tool.visit(chromium, base) as seen:
        seen.open("/?zone=FRA")
        chart = seen.page.locator('[data-testid="stPlotlyChart"]').first
        assert len(str(chart.get_attribute("aria-label") or chart.locator(
            "[aria-label]").first.get_attribute("aria-label"))) > 20  # fmt: skip
        with seen.page.expect_download() as waiting:
            chart.locator(".modebar-btn").first.click()
        assert waiting.value.suggested_filename.endswith(".svg")
        svg = Path(waiting.value.path()).read_text()
        assert svg.startswith("<svg") and "Energy" in svg
        seen.page.get_by_text("Table and files").first.click()
        with seen.page.expect_download() as waiting:
            seen.page.get_by_role("button", name="Figure (JSON)").first.click()
        assert json.loads(Path(waiting.value.path()).read_text())["data"]
        assert seen.complaints == []


def test_text_that_means_harm_is_shown_and_not_run(chromium: Any, hostile: Path) -> None:
    """Markdown's escapes are not enough: addresses and `:material/…:` are read after them."""
    with tool.served(hostile) as address, tool.visit(chromium, address) as seen:
        dialogs: list[str] = []
        seen.page.on("dialog", lambda it: (dialogs.append(it.message), it.dismiss()))
        for path in ("/runs", "/card", "/"):
            seen.open(path)
            page = seen.page
            assert page.evaluate("[...document.scripts].filter(s => !s.src && "
                                 "s.textContent.includes('alert(1)')).length") == 0  # fmt: skip
            made = page.locator('[href^="javascript:"], [src*="evil.ex"], [href*="evil.ex"]')
            assert made.count() == 0, path  # not even a bare address becomes a link
        said = seen.text().replace("\u2060", "")
        assert HOSTILE[0] in said and HOSTILE[2] in said  # as it is: no icon, no formula
        with page.expect_download() as waiting:
            page.locator(".st-key-csv-configurations button").click()
        lines = Path(waiting.value.path()).read_text().splitlines()
        cells = [cell for row in csv.reader(lines) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
        assert HOSTILE[0] in cells and f"'{HOSTILE[1]}" in cells
        assert dialogs == [] and seen.complaints == []


def test_the_server_asks_nobody_and_listens_here_alone(base: str, server_log: Path) -> None:
    """Needs the tests above: by now every page was made."""
    lines = server_log.read_text().splitlines()
    port = urllib.parse.urlparse(base).port
    assert f"socket.bind ('127.0.0.1', {port})" in lines  # the hook does note
    for line in lines:
        inside = any(f"'{name}'" in line for name in ("127.0.0.1", "localhost", "::1"))
        assert inside, f"the server's process went to {line}"
    name = socket.gethostbyname(socket.gethostname())
    if not name.startswith("127."):
        with socket.socket() as probe:
            probe.settimeout(2)
            assert probe.connect_ex((name, port)) != 0
