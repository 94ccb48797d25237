"""`make bench`: measure the tool itself. `python -m benchmarks [NAME...]` runs some of them.

Each `bench_*.py` here is a script with `main() -> int`; it prints what it measured, as ratios where
the machine is noisy, and returns 0 unless a promise of the documentation is broken.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all."""
    found = sorted(p.stem.removeprefix("bench_") for p in Path(__file__).parent.glob("bench_*.py"))
    unknown = [n for n in names if n not in found]
    if unknown:
        print(
            f"error: unknown benchmark {unknown[0]!r}: one of {', '.join(found)}", file=sys.stderr
        )
        return 2
    failed = []
    for name in names or found:
        print(f"\n== {name}", flush=True)
        if importlib.import_module(f"benchmarks.bench_{name}").main():
            failed.append(name)
    if failed:
        print(f"\nbroken promises: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
