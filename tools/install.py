"""Install this project into the running interpreter: `python tools/install.py EXTRA...`.

torch is pinned by constraints/cpu.txt only where the interpreter sees none; where there is one, it
is held at exactly its installed version, so that nothing replaces a CUDA build. `--dry-run` prints
the pip command and what pip would install, and installs nothing.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU = ROOT / "constraints" / "cpu.txt"


def installed_torch() -> str | None:
    """Version of the torch this interpreter sees, such as `2.11.0+cu128`; None for none."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def pip_command(extras: list[str], torch: str | None, constraint: Path) -> list[str]:
    """The pip command that installs the project; writes the constraint that holds torch."""
    if torch is None:
        constraint.write_text(CPU.read_text())
    else:
        constraint.write_text(f"torch==={torch}\n")
    target = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    return [sys.executable, "-m", "pip", "install", "-q", "-c", str(constraint), "-e", target]


def main(arguments: list[str]) -> int:
    """Install, or show what would be installed."""
    dry = "--dry-run" in arguments
    extras = [a for a in arguments if not a.startswith("-")]
    torch = installed_torch()
    said = f"keeping torch {torch}" if torch else f"torch from {CPU.relative_to(ROOT)}"
    print(f"installing inference-observatory[{','.join(extras)}], {said}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        command = pip_command(extras, torch, Path(folder) / "constraint.txt")
        if dry:
            command = [c for c in command if c != "-q"] + ["--dry-run"]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
