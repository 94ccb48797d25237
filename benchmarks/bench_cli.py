"""How fast does `--help` answer? Warm, the best and the median of several starts.

The promise is 0.3 s for `run-benchmark --help` and `observatory --help`. Beside them stands the
time that the interpreter itself takes to start, which no program can go below.

`python -m benchmarks cli`
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

PROMISE_S, STARTS = 0.3, 15
MAIN = "from {} import main; main()"
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "run-benchmark --help": [sys.executable, "-c", MAIN.format("runners.cli"), "--help"],
    "observatory --help": [sys.executable, "-c", MAIN.format("observatory.cli"), "--help"],
}


def start_s(command: list[str]) -> float:
    """Wall time of one start to end."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> int:
    """Print the times; 1 where the best start of a help text breaks the promise."""
    broken = 0
    for name, command in COMMANDS.items():
        start_s(command)  # warms the disk cache and writes bytecode
        times = [start_s(command) for _ in range(STARTS)]
        print(f"{name:<24} best {min(times):.3f} s, median {statistics.median(times):.3f} s")
        broken += min(times) > PROMISE_S
    print(f"promise: {PROMISE_S} s warm")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
