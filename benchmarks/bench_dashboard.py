"""The pages on a synthetic store of 1,000,000 windows in 10,000 configurations.

Prints, page by page, how long its questions to the store take without any cache (p50 and p95 over
all of them, and their sum in one load), how long a warm rerun of the script takes, how long one
after a change of the request, and what memory a real server holds after every page was visited in a
browser. The store is built once and kept in `.bench/`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

CONFIGURATIONS = 10_000
ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".bench"
QUERY_S, WARM_S, CHANGE_S, SERVER_BYTES = 0.3, 0.150, 0.7, 500e6
COLD, WARM = 5, 9


@dataclass(frozen=True)
class Page:
    """Seconds: of each question without a cache, and the median of those scripts."""

    name: str
    questions: list[float]
    loads: int
    first_s: float
    warm_s: float
    change_s: float

    @property
    def p95_s(self) -> float:
        """95th percentile of the questions."""
        return float(np.quantile(self.questions, 0.95))

    def line(self) -> str:
        """A row of the printed table."""
        return (
            f"{self.name:10} {len(self.questions) // self.loads:9} "
            f"{np.quantile(self.questions, 0.5) * 1e3:8.1f} {self.p95_s * 1e3:8.0f} "
            f"{sum(self.questions) / self.loads * 1e3:8.0f} {self.first_s * 1e3:8.0f} "
            f"{self.warm_s * 1e3:8.0f} {self.change_s * 1e3:8.0f}"
        )


def main() -> int:
    """0 if every limit of the documentation holds."""
    logging.disable(logging.CRITICAL)
    path = stored(CONFIGURATIONS)
    print(
        "milliseconds of a load without any cache: questions to the store (p50, p95, all of one "
        "load) and the whole script;\nthen of a warm script, and of one whose request was changed"
    )
    print(f"{'page':10} {'questions':>9} {'p50':>8} {'p95':>8} {'sum':>8} {'first':>8} {'warm':>8} "
          f"{'change':>8}")  # fmt: skip
    pages = []
    for name in page_names():
        pages.append(measured(name, path))
        print(pages[-1].line(), flush=True)
    memory = server_bytes(path)
    seen = "no Chromium to visit it with" if memory is None else f"{memory / 1e6:.0f} MB"
    print(f"server after every page: {seen} (limit {SERVER_BYTES / 1e6:.0f} MB)")
    broken = {
        f"questions above {QUERY_S * 1e3:.0f} ms at p95":
            [p.name for p in pages if p.p95_s > QUERY_S],
        f"warm scripts above {WARM_S * 1e3:.0f} ms": [p.name for p in pages if p.warm_s > WARM_S],
        f"changes above {CHANGE_S * 1e3:.0f} ms": [p.name for p in pages if p.change_s > CHANGE_S],
    }  # fmt: skip
    print("; ".join(f"{what}: {', '.join(names) or 'none'}" for what, names in broken.items()))
    return int(any(broken.values()) or (memory or 0) > SERVER_BYTES)


def stored(configurations: int) -> Path:
    """The store, built where this version of its builder has not yet."""
    from benchmarks import synthetic_store
    from observatory.store import schema

    made_by = hashlib.sha256(Path(synthetic_store.__file__).read_bytes())
    made_by.update(Path(schema.__file__).read_bytes())
    path = FOLDER / f"synthetic-{configurations}-{made_by.hexdigest()[:12]}.db"
    if not path.exists():
        FOLDER.mkdir(exist_ok=True)
        for old in FOLDER.glob(f"synthetic-{configurations}-*"):
            old.unlink()
        began = time.perf_counter()
        synthetic_store.build(path, configurations)
        print(f"built in {time.perf_counter() - began:.0f} s", end="; ")
    print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB, synthetic")
    return path


def page_names() -> list[str]:
    """The pages, as the navigation has them."""
    from dashboards.navigation import PAGES

    return [name for name, _, _ in PAGES]


def measured(name: str, path: Path) -> Page:
    """Loads without a cache, then warm ones, then ones whose request changes each time."""
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    os.environ["OBSERVATORY_DB"] = str(path)
    asked: list[float] = []
    with scripts() as ran:
        with questions(asked):
            for _ in range(COLD):
                st.cache_data.clear()
                st.cache_resource.clear()
                app = AppTest.from_file(str(ROOT / "dashboards" / "app.py"), default_timeout=300)
                if name != page_names()[0]:
                    app.switch_page(f"app_pages/{name}.py")
                _drawn(app.run(), name)
        firsts = _taken(ran)
        for _ in range(WARM):
            _drawn(app.run(), name)
        warm = _taken(ran)
        for i in range(WARM):
            _drawn(app.number_input(key="o").set_value(10 + i).run(), name)
        change = _taken(ran)
    return Page(name, asked, COLD, firsts, warm, change)


def _drawn(app: Any, name: str) -> None:
    if app.exception or app.error:
        raise RuntimeError(f"{name}: {[e.value for e in (*app.exception, *app.error)]}")


def _taken(seconds: list[float]) -> float:
    """The median of what was noted, which is forgotten."""
    median = float(np.median(seconds))
    seconds.clear()
    return median


@contextmanager
def questions(seconds: list[float]) -> Iterator[None]:
    """Note how long each outermost call of what pages ask the store with takes."""
    from dashboards import database
    from observatory import answers, tradeoffs

    depth = [0]

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            depth[0] += 1
            began = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                depth[0] -= 1
                if not depth[0]:
                    seconds.append(time.perf_counter() - began)

        return call

    with ExitStack() as patched:
        for module in (answers, tradeoffs):
            patched.enter_context(mock.patch.multiple(module, **_wrapped(module, timed)))
        for name in ("data_version", "derived_version", "paired_points"):
            patched.enter_context(mock.patch.object(database, name, timed(getattr(database, name))))
        yield


def _wrapped(module: Any, timed: Callable[..., Any]) -> dict[str, Any]:
    public = {n: v for n, v in vars(module).items() if not n.startswith("_")}
    return {
        name: timed(value)
        for name, value in public.items()
        if callable(value) and not isinstance(value, type)
    }


@contextmanager
def scripts() -> Iterator[list[float]]:
    """Note how long each run of a page's script takes, without AppTest's own work."""
    from streamlit.runtime.scriptrunner import script_runner

    ran: list[float] = []
    plain = script_runner.exec_func_with_error_handling

    def timed(*arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return plain(*arguments)
        finally:
            ran.append(time.perf_counter() - began)

    with mock.patch.object(script_runner, "exec_func_with_error_handling", timed):
        yield ran


def server_bytes(path: Path) -> float | None:
    """Proportional set size of a server once a browser has seen every page; None without one."""
    from tools import browser

    if browser.chromium() is None:
        return None
    with browser.served(path) as base, browser.launched() as chrome:
        with browser.visit(chrome, base) as visit:
            visit.open("/")
            for address in visit.pages().values():
                visit.open(address)
        return _streamlit_bytes()


def _streamlit_bytes() -> float:
    total = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            if b"streamlit" in command and b"chromium" not in command:
                rollup = (folder / "smaps_rollup").read_text()
                total += sum(
                    float(line.split()[1]) * 1024
                    for line in rollup.splitlines()
                    if line.startswith("Pss:")
                )
    return total


if __name__ == "__main__":
    raise SystemExit(main())
