"""Importing 100,000 rows: the documentation promises 10 s and 300 MB."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = 100_000
MAX_S, MAX_MB = 10.0, 300.0


def _write(path: Path) -> None:
    with path.open("w") as stream:
        stream.write("model,phase,device,batch,output_tokens,boundary,method,energy_j\n")
        stream.writelines(
            f"synthetic-{i % 50},serving,Synthetic GPU,{1 + i % 64},{100 + i % 400},device,"
            f"synthetic,{10 + (i * 7919) % 10007 / 101:.6g}\n"
            for i in range(ROWS)
        )


def _child(folder: str) -> None:
    from observatory.importing import import_file

    start = time.perf_counter()
    made = import_file(Path(folder) / "o.db", Path(folder) / "rows.csv")
    seconds = time.perf_counter() - start
    print(made.values_new, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> int:
    """Import in a process of its own; prints rows, seconds and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder) / "rows.csv")
        code = f"from benchmarks.bench_import import _child; _child({folder!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                              check=True)  # fmt: skip
    rows, seconds, megabytes = (float(x) for x in done.stdout.split())
    print(f"{rows:,.0f} rows in {seconds:.1f} s (promised {MAX_S:.0f}), "
          f"peak {megabytes:.0f} MB (promised {MAX_MB:.0f})")  # fmt: skip
    return int(rows != ROWS or seconds > MAX_S or megabytes > MAX_MB)
