"""torch is pinned only where there is none, and held where there is one (dry run: make bench)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", ROOT / "tools" / "install.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_torch_the_cpu_constraint_applies(install: ModuleType, tmp_path: Path) -> None:
    command = install.pip_command(["torch"], None, tmp_path / "c.txt")
    assert (tmp_path / "c.txt").read_text() == (ROOT / "constraints" / "cpu.txt").read_text()
    assert "torch==2.13.0" in (tmp_path / "c.txt").read_text()
    assert command[command.index("-c") + 1] == str(tmp_path / "c.txt")


def test_an_installed_torch_is_held_at_its_version(install: ModuleType, tmp_path: Path) -> None:
    install.pip_command(["torch"], "2.11.0+cu128", tmp_path / "c.txt")
    assert (tmp_path / "c.txt").read_text() == "torch===2.11.0+cu128\n"


def test_pyproject_pins_no_torch() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert '"torch>=2.6"' in text and "torch==" not in text
    assert '"nvidia-ml-py>=' in text and '"pynvml>=' not in text
