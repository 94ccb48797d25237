"""Backend tests need the extra `torch`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra `torch` is not installed")
pytest.importorskip("transformers", reason="the extra `torch` is not installed")
sys.path.insert(0, str(Path(__file__).parent))
