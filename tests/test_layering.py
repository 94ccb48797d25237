"""The one rule of dependency, and the order of the rooms (docs/design.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = [
    "errors", "units", "statistics", "quietness", "records", "figures", "decision", "catalog",
    "store", "capability", "footprint", "runtime", "importers", "profiling_logs", "api_runs",
    "ceilings", "calibrations", "audit", "fitting", "priors", "derive", "answers", "pairs", "refit",
    "traces", "headline", "ingest", "recompute", "merging", "importing", "tradeoffs", "exports",
    "datasets", "verbs", "cli",
]  # fmt: skip
FORBIDDEN = {
    "observatory": {
        "runners", "dashboards", "torch", "transformers", "streamlit", "pynvml", "codecarbon",
    },
    "runners": {"dashboards", "streamlit", "plotly"},
    "dashboards": {"runners", "torch", "transformers", "pynvml", "sqlalchemy"},
}  # fmt: skip


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_no_package_imports_what_it_must_not_know(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(package)
        for name in imported(path)
        if name.split(".")[0] in FORBIDDEN[package]
    ]
    assert not wrong


def test_every_room_imports_only_rooms_below_it() -> None:
    wrong = []
    for path in sources("observatory"):
        room = path.relative_to(ROOT / "observatory").parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        assert room in ROOMS, f"{room} is not a room: add it to the order"
        for name in imported(path):
            parts = name.split(".")
            known = parts[0] == "observatory" and len(parts) > 1 and parts[1] in ROOMS
            if known and ROOMS.index(parts[1]) > ROOMS.index(room):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_no_module_is_named_utils_and_none_uses_pickle_or_eval() -> None:
    for package in FORBIDDEN:
        for path in sources(package):
            assert path.stem not in ("utils", "helpers", "misc"), path
            tree = ast.parse(path.read_text())
            names = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call)
                     and isinstance(n.func, ast.Name)}  # fmt: skip
            assert not names & {"eval", "exec"}, path
            assert "pickle" not in set(imported(path)), path


@pytest.mark.parametrize("module", ["observatory.cli", "runners.cli"])
def test_help_imports_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, {module} as m\n"
        "heavy = {'torch','transformers','streamlit','pandas','sqlalchemy','numpy','scipy',"
        "'plotly','alembic','codecarbon','rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
