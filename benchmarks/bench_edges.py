"""How true are the joules of a window whose power steps at its edges, and what do they cost?

A synthetic GPU on a scripted clock: 60 W outside of windows, 300 W inside, a counter with a tick of
100 ms that takes as long to read as an H100's. The truth is known in closed form. 200 windows of
each length, a short pause between them or a long one.

`python -m benchmarks edges`
"""

from __future__ import annotations

import random
import statistics
import sys

RUNS, WINDOWS = 10, 20
PAUSES = {"short": (0.02, 0.05), "long": (0.5, 3.0)}


def main() -> int:
    """Print a line for each length and pause; 1 where a bound does not hold its error."""
    from tests.runners.sensors.dear_gpu import Bench

    outside = 0
    for length_s in (2.0, 10.0):
        for name, pause in PAUSES.items():
            rng = random.Random(1)
            found = []
            for _ in range(RUNS):
                bench = Bench(phase_s=0.1 * rng.random())
                found += [
                    bench.window(length_s + 0.2 * rng.random(), rng.uniform(*pause))
                    for _ in range(WINDOWS)
                ]
            errors = [error for error, _, _ in found]
            outside += sum(abs(error) > bound for error, bound, _ in found)
            print(
                f"{length_s:g} s, {name} pauses: error {statistics.mean(errors):+.2%} on average, "
                f"{max(map(abs, errors)):.2%} at most; bound "
                f"{statistics.mean(bound for _, bound, _ in found):.1%}; "
                f"{statistics.mean(took for _, _, took in found):.1f} readings at its edges"
            )
    if outside:
        print(f"{outside} windows outside their bound")
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
