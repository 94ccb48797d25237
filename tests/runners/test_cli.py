"""The command line's surface: what help costs, and that the page says what the program says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "pandas", "numpy", "sqlalchemy", "scipy", "streamlit", "yaml",
         "rich", "pynvml")  # fmt: skip


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, json, runners.cli\n"
        "from observatory.cli import run\n"
        "assert run(runners.cli.run_benchmark, ['--help']) == 0\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert "--require-energy" in done.stdout and "probe" in done.stdout


def test_the_page_says_what_the_help_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.run_benchmark_help", "--check"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_flag_of_the_group_is_a_field_of_asked() -> None:
    from runners.benchmark import Asked
    from runners.cli import run_benchmark

    flags = {p.name for p in run_benchmark.params} - {"version", "help"}
    assert flags == set(Asked.__dataclass_fields__) - {"shaped", "command"}
    assert set(Asked.shaping_flags()) < flags
