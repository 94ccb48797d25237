"""`observatory dashboard` starts Streamlit as a process, locally and without telemetry."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from observatory.cli import observatory, run
from observatory.verbs import dashboard

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Command lines that would have become the process."""
    seen: list[list[str]] = []
    monkeypatch.setenv("OBSERVATORY_DB", "")
    monkeypatch.delenv("OBSERVATORY_DB")
    monkeypatch.setattr(os, "execv", lambda _, command: seen.append(command))
    return seen


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_it_is_local_headless_and_without_telemetry(started: list[list[str]], filled: Path) -> None:
    port = free_port()
    assert run(observatory, ["dashboard", "--db", str(filled), "--port", str(port)]) == 0
    (command,) = started
    assert command[:4] == [sys.executable, "-m", "streamlit", "run"]
    assert Path(command[4]) == ROOT / "dashboards" / "app.py"
    flags = dict(zip(command[5::2], command[6::2], strict=True))
    assert flags["--server.address"] == "127.0.0.1"
    assert flags["--browser.gatherUsageStats"] == "false"
    assert flags["--server.headless"] == "true" and flags["--server.port"] == str(port)
    assert os.environ["OBSERVATORY_DB"] == str(filled)


def test_without_streamlit_one_line_says_how_to_install_it(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "streamlit" else real(name)
    )
    assert run(observatory, ["dashboard"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "pip install 'inference-observatory[dashboard]'" in error
    assert not started


@pytest.mark.parametrize("text", ["not a database\n", "x" * 200])
def test_a_text_file_given_as_database_is_refused(
    started: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    assert run(observatory, ["dashboard", "--db", str(path)]) == 2
    assert "not a SQLite database" in capsys.readouterr().err
    assert path.read_text() == text and not started


def test_a_port_in_use_is_one_line(
    started: list[list[str]], filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert run(observatory, ["dashboard", "--db", str(filled), "--port", port]) == 2
    assert "give another --port" in capsys.readouterr().err and not started


def test_an_absent_database_starts_with_a_note(
    started: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(free_port())
    assert run(observatory, ["dashboard", "--db", str(tmp_path / "no.db"), "--port", port]) == 0
    assert "no database at" in capsys.readouterr().err and len(started) == 1
    assert not (tmp_path / "no.db").exists()


def test_the_script_is_found_without_importing_dashboards() -> None:
    code = (
        "import sys; from observatory.verbs.dashboard import app_path; print(app_path());"
        "print(sorted({'dashboards', 'streamlit', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[1] == "[]"


def test_settings_beside_the_app_say_the_same() -> None:
    """`streamlit run dashboards/app.py` by hand is as local and as silent."""
    import tomllib

    settings = tomllib.loads((ROOT / "dashboards" / ".streamlit" / "config.toml").read_text())
    assert settings["server"]["address"] == "127.0.0.1"
    assert settings["browser"]["gatherUsageStats"] is False
    assert settings["runner"]["magicEnabled"] is False
    assert dashboard.LOCAL[0] == settings["server"]["address"]
