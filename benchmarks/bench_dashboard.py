"""The pages on a synthetic store of 1,000,000 windows in 10,000 configurations.

Prints, page by page, how long its questions to `answers` and `tradeoffs` take without any cache
(p50 and p95 over all of them), how long a warm rerun of the script takes, and what memory a real
server holds after every page was visited. The store is built once and kept in `.bench/`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

CONFIGURATIONS = 10_000
FOLDER = Path(__file__).resolve().parents[1] / ".bench"
QUERY_S, WARM_S, SERVER_BYTES = 0.3, 0.150, 500e6
COLD, WARM = 3, 7


def main() -> int:
    """0 if every limit of the documentation holds."""
    path = stored(CONFIGURATIONS)
    rows = [measured(name, path) for name in page_names()]
    print(f"{'page':12} {'questions':>9} {'p50 ms':>8} {'p95 ms':>8} {'first s':>8} {'warm ms':>8}")
    for name, asked, first_s, warm_s in rows:
        p50, p95 = (np.quantile(asked, q) * 1e3 for q in (0.5, 0.95))
        print(f"{name:12} {len(asked):9} {p50:8.1f} {p95:8.0f} {first_s:8.2f} {warm_s * 1e3:8.0f}")
    memory = server_bytes(path)
    seen = "no Chromium to visit it with" if memory is None else f"{memory / 1e6:.0f} MB"
    print(f"server after every page: {seen} (limit {SERVER_BYTES / 1e6:.0f} MB)")
    late = [name for name, asked, _, _ in rows if np.quantile(asked, 0.95) > QUERY_S]
    slow = [name for name, _, _, warm_s in rows if warm_s > WARM_S]
    print(f"questions above {QUERY_S} s at p95: {', '.join(late) or 'none'}; warm scripts above "
          f"{WARM_S * 1e3:.0f} ms: {', '.join(slow) or 'none'}")  # fmt: skip
    return int(bool(late or slow or (memory or 0) > SERVER_BYTES))


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
    from dashboards.app import PAGES

    return [name for name, _, _ in PAGES]


def measured(name: str, path: Path) -> tuple[str, list[float], float, float]:
    """Of a page: seconds of each question without a cache, of the first and of a warm script."""
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    logging.disable(logging.CRITICAL)
    os.environ["OBSERVATORY_DB"] = str(path)
    asked: list[float] = []
    with questions(asked), scripts() as ran:
        for _ in range(COLD):
            st.cache_data.clear()
            app = AppTest.from_file("dashboards/app.py", default_timeout=300)
            if name != page_names()[0]:
                app.switch_page(f"app_pages/{name}.py")
            app.run()
            if app.exception:
                raise RuntimeError(f"{name}: {app.exception[0].value}")
        first_s = float(np.median(ran))
        ran.clear()
        for _ in range(WARM):
            app.run()
        return name, asked or [0.0], first_s, float(np.median(ran))


@contextmanager
def questions(seconds: list[float]) -> Iterator[None]:
    """Note how long each outermost call of `answers` and `tradeoffs` takes."""
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
