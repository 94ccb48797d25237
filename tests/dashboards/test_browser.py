"""The pages in a real browser: no console error, no request to another host, a link that restores.

Skipped where there is no Chromium; `apt-get install chromium` gives one.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="no chromium: apt-get install chromium"
)


def load() -> ModuleType:
    """tools/screenshots.py, which is a script and no package."""
    found = importlib.util.spec_from_file_location("screenshots", ROOT / "tools/screenshots.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def served(filled: Path) -> Iterator[tuple[str, Any, ModuleType]]:
    """(address, a browser, the tool)."""
    pytest.importorskip("websockets")
    tool = load()
    with tool.dashboard(str(filled)) as base, tool.browser() as page:
        yield base, page, tool


def text_of(page: Any) -> str:
    return str(page.evaluate("document.querySelector('[data-testid=\"stMain\"]').innerText"))


def test_a_link_restores_the_scenario(served: tuple[str, Any, ModuleType]) -> None:
    base, page, _ = served
    page.open(f"{base}/?zone=FRA&p=300&o=9&tariff=0.25", 1400, 900, False)
    said = text_of(page)
    assert "A request of 300 prompt and 9 output tokens" in said
    assert "zone FRA" in said and "tariff 0.25 $/kWh" in said
    assert page.evaluate("document.querySelectorAll('.js-plotly-plot').length") == 6
    assert not page.problems


def test_a_name_on_a_narrow_dark_screen_stays_inside(served: tuple[str, Any, ModuleType]) -> None:
    base, page, _ = served
    page.open(f"{base}/", 390, 844, True)
    wide = page.evaluate("document.querySelector('[data-testid=\"stMain\"]').scrollWidth")
    assert wide <= 390 and not page.problems


@pytest.mark.slow
def test_every_page_loads_without_a_complaint(served: tuple[str, Any, ModuleType]) -> None:
    base, page, tool = served
    for name, path in tool.PAGES.items():
        for width in (1400, 390):
            page.open(f"{base}{path}", width, 900, False)
            assert not page.problems, name
            assert "Error" not in text_of(page), name


def test_nothing_listens_on_another_address(served: tuple[str, Any, ModuleType]) -> None:
    import socket
    import urllib.parse

    port = urllib.parse.urlparse(served[0]).port
    own = socket.gethostbyname(socket.gethostname())
    if own.startswith("127."):
        pytest.skip("this machine has no other address")
    with socket.socket() as probe:
        probe.settimeout(2)
        assert probe.connect_ex((own, port)) != 0
