"""What `make` would install, by dry run: where there is no torch, and where there is a CUDA one.

The second environment holds a stand-in distribution that has only the metadata of a CUDA build,
which is all that pip looks at. The promise: with no torch the pinned version comes; a torch that is
there is neither replaced nor reinstalled, and none of its CUDA packages is asked for.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CUDA_TORCH = "2.11.0+cu128"


def stand_in(environment: Path, version: str) -> None:
    """Give an environment the metadata of an installed torch, and nothing else of it."""
    (site,) = environment.glob("lib/python*/site-packages")
    info = site / f"torch-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
    (info / "RECORD").write_text("")
    (info / "INSTALLER").write_text("stand-in\n")


def would_install(environment: Path) -> tuple[str, dict[str, str]]:
    """The first line of tools/install.py, and what pip would install: name -> version."""
    done = subprocess.run(
        [environment / "bin" / "python", ROOT / "tools" / "install.py", "--dry-run", "torch"],
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    said = done.stdout.splitlines()[0]
    (line,) = [row for row in done.stdout.splitlines() if row.startswith("Would install")]
    pairs = [item.rsplit("-", 1) for item in line.split()[2:]]
    return said, {name.lower(): version for name, version in pairs}


def main() -> int:
    """Print both, and whether the promise holds."""
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, torch in (("no torch", None), (f"torch {CUDA_TORCH}", CUDA_TORCH)):
            environment = Path(folder) / re.sub(r"\W", "-", name)
            venv.create(environment, with_pip=True)
            if torch:
                stand_in(environment, torch)
            said, found[name] = would_install(environment)
            print(f"{name}: {said}")
            print(f"  torch to be installed: {found[name].get('torch', 'none, it stays')}")
            print(f"  packages in all: {len(found[name])}")
    pinned = (ROOT / "constraints" / "cpu.txt").read_text().split("torch==")[1].strip()
    fresh, kept = found["no torch"], found[f"torch {CUDA_TORCH}"]
    held = fresh.get("torch", "").split("+")[0] == pinned and "torch" not in kept
    held = held and not any(name.startswith("nvidia-c") for name in kept)
    print("promise held" if held else "promise broken")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
