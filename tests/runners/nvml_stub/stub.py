"""Building the NVML stand-in and starting processes that find it instead of a driver's library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def compiler() -> str | None:
    """A C compiler on the path."""
    return next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)


def build(folder: Path) -> Path:
    """Compile the stub into `folder` under the driver's library name."""
    library = folder / "libnvidia-ml.so.1"
    command = [
        str(compiler()), "-shared", "-fPIC", "-O1", "-Wall", "-Werror",
        "-Wl,-soname,libnvidia-ml.so.1", "-o", str(library), str(HERE / "libnvidia-ml.c"),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library


def environment(library: Path, mode: str, **extra: str) -> dict[str, str]:
    """Variables of a process that loads the stub and sees no other setting of GPUs."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CUDA_", "NVML_STUB_"))}
    return {
        **clean,
        "LD_LIBRARY_PATH": str(library.parent),
        "PYTHONPATH": str(ROOT),
        "NVML_STUB_MODE": mode,
        **extra,
    }


def start(library: Path, mode: str, *arguments: str, **extra: str) -> subprocess.Popen[str]:
    """Start `drive.py` on the stub."""
    return subprocess.Popen(
        [sys.executable, str(HERE / "drive.py"), *arguments],
        env=environment(library, mode, **extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
