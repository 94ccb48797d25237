"""The pages on a synthetic store of 1,000,000 windows in 10,000 configurations.

Prints, page by page, how long its queries take without any cache (SQL statements, run and fetched:
p95), how long the questions that they answer (p95; with all that is computed from the rows, such as
draws, and their sum in one load), how long a warm rerun of the script takes, how long one
after a change of the request, and what memory a real server holds after every page was visited in a
browser. Beside p95, warm and change stands the processor's time: on a machine that others use too
the two differ. The store is built once and kept in `.bench/`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
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


Took = tuple[float, float]  #: seconds of the clock, and of the processor in this thread


@dataclass(frozen=True)
class Page:
    """What each query and question took without a cache, and the medians of the scripts."""

    name: str
    queries: list[list[float]]
    questions: list[Took]
    loads: int
    first: Took
    warm: Took
    change: Took

    def query_s(self) -> float:
        """95th percentile of the SQL statements, by the clock."""
        return float(np.quantile([took[0] for took in self.queries], 0.95))

    def quantile_s(self, share: float, which: int = 0) -> float:
        """A quantile of the questions, by the clock (0) or the processor (1)."""
        return float(np.quantile([took[which] for took in self.questions], share))

    def line(self) -> str:
        """A row of the printed table."""
        total = sum(took[0] for took in self.questions) / self.loads
        numbers = (
            self.query_s(), self.quantile_s(0.95), self.quantile_s(0.95, 1), total,
            self.first[0], *self.warm, *self.change,
        )  # fmt: skip
        counts = len(self.queries) // self.loads, len(self.questions) // self.loads
        return f"{self.name:10}{counts[0]:5}{counts[1]:4}" + "".join(
            f"{seconds * 1e3:8.0f}" for seconds in numbers
        )


def main() -> int:
    """0 if every limit of the documentation holds."""
    logging.disable(logging.CRITICAL)
    path = stored(CONFIGURATIONS)
    print("milliseconds: the q SQL statements of a load without a cache (sql: p95), the n\n"
          "questions that they answer (p95, all of one load), that whole script, a warm one, one\n"
          "whose request was changed; cpu: of that, the processor's")  # fmt: skip
    titles = ("sql", "p95", "cpu", "sum", "first", "warm", "cpu", "change", "cpu")
    print(f"{'page':10}{'q':>5}{'n':>4}" + "".join(f"{title:>8}" for title in titles))
    pages = []
    for name in page_names():
        pages.append(measured(name, path))
        print(pages[-1].line(), flush=True)
    memory = server_bytes(path)
    seen = "no Chromium to visit it with" if memory is None else f"{memory / 1e6:.0f} MB"
    print(f"server after every page: {seen} (limit {SERVER_BYTES / 1e6:.0f} MB)")
    broken = {
        f"queries above {QUERY_S * 1e3:.0f} ms at p95":
            [p.name for p in pages if p.query_s() > QUERY_S],
        f"warm scripts above {WARM_S * 1e3:.0f} ms": [p.name for p in pages if p.warm[0] > WARM_S],
        f"changes above {CHANGE_S * 1e3:.0f} ms": [p.name for p in pages if p.change[0] > CHANGE_S],
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
    from streamlit import config
    from streamlit.testing.v1 import AppTest

    config.set_option("runner.magicEnabled", False)  # as the verb starts it
    os.environ["OBSERVATORY_DB"] = str(path)
    asked: list[Took] = []
    queries: list[list[float]] = []
    with scripts() as ran:
        with questions(asked), statements(queries):
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
    return Page(name, queries, asked, COLD, firsts, warm, change)


def _drawn(app: Any, name: str) -> None:
    if app.exception or app.error:
        raise RuntimeError(f"{name}: {[e.value for e in (*app.exception, *app.error)]}")


def _taken(noted: list[Took]) -> Took:
    """The medians of what was noted, which is forgotten."""
    wall, processor = np.median(np.array(noted), axis=0).tolist()
    noted.clear()
    return wall, processor


def _since(began: Took) -> Took:
    return time.perf_counter() - began[0], time.thread_time() - began[1]


@contextmanager
def questions(noted: list[Took]) -> Iterator[None]:
    """Note how long each outermost call of what pages ask the store with takes."""
    from dashboards import database
    from observatory import answers, tradeoffs

    depth = [0]

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            depth[0] += 1
            began = time.perf_counter(), time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                depth[0] -= 1
                if not depth[0]:
                    noted.append(_since(began))

        return call

    with ExitStack() as patched:
        for module in (answers, tradeoffs):
            patched.enter_context(mock.patch.multiple(module, **_wrapped(module, timed)))
        for name in ("data_version", "derived_version", "paired_points"):
            patched.enter_context(mock.patch.object(database, name, timed(getattr(database, name))))
        yield


@contextmanager
def statements(noted: list[list[float]]) -> Iterator[None]:
    """Note how long each SQL statement takes, run and fetched: a list of one number each."""

    class Cursor(sqlite3.Cursor):
        def _timed(self, call: Callable[..., Any], *arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*arguments)
            finally:
                noted[-1][0] += time.perf_counter() - began

        def execute(self, *arguments: Any) -> Any:
            noted.append([0.0])
            return self._timed(super().execute, *arguments)

        def fetchall(self) -> Any:
            return self._timed(super().fetchall)

        def fetchmany(self, *arguments: Any) -> Any:
            return self._timed(super().fetchmany, *arguments)

        def fetchone(self) -> Any:
            return self._timed(super().fetchone)

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = None) -> Any:
            return super().cursor(factory or Cursor)

    plain = sqlite3.connect

    def connect(*arguments: Any, **options: Any) -> Any:
        return plain(*arguments, **{"factory": Connection, **options})

    with (
        mock.patch.object(sqlite3.dbapi2, "connect", connect),
        mock.patch.object(sqlite3, "connect", connect),
    ):
        yield


def _wrapped(module: Any, timed: Callable[..., Any]) -> dict[str, Any]:
    public = {n: v for n, v in vars(module).items() if not n.startswith("_")}
    return {
        name: timed(value)
        for name, value in public.items()
        if callable(value) and not isinstance(value, type)
    }


@contextmanager
def scripts() -> Iterator[list[Took]]:
    """Note how long each run of a page's script takes, without AppTest's own work."""
    from streamlit.runtime.scriptrunner import script_runner

    ran: list[Took] = []
    plain = script_runner.exec_func_with_error_handling

    def timed(*arguments: Any) -> Any:
        began = time.perf_counter(), time.thread_time()
        try:
            return plain(*arguments)
        finally:
            ran.append(_since(began))

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
