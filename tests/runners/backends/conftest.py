"""Backend tests need the extra `torch`; without it they are not collected."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for `tiny_models`

if any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")):
    collect_ignore = [path.name for path in HERE.glob("test_*.py")]
