"""Make the virtual environment: `python tools/make_venv.py .venv`.

Where this interpreter already has torch, the environment sees the system's packages, so that a
CUDA build on a GPU host is kept. Elsewhere it is empty.
"""

from __future__ import annotations

import importlib.util
import sys
import venv


def main(target: str) -> None:
    """Create `target`."""
    has_torch = importlib.util.find_spec("torch") is not None
    kind = "keeping the torch that is installed" if has_torch else "empty"
    print(f"virtual environment {target} ({kind}), Python {sys.version.split()[0]}", flush=True)
    venv.create(target, system_site_packages=has_torch, with_pip=True)


if __name__ == "__main__":
    main(sys.argv[1])
