"""The published recipe against `relative` on the public logs: the table of its defects in the docs.

For every log: errors of both recipes on the points they were fitted to, the published alpha that is
furthest from what was measured at one output token, and the error at a prompt left out of the
table, by the paper's look-up and by ours. Needs OBSERVATORY_REFERENCE.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.bench_planner import logs, observations_of
from observatory.runtime.fit import fit
from observatory.runtime.observations import Observation


def left_out(grid: Sequence[Observation], recipe: str, predictor: str) -> list[float]:
    """Signed relative errors of T(p, 1) at each inner prompt, fitted without it."""
    single = {o.prompt_tokens: o.runtime_s for o in grid if o.output_tokens == 1}
    errors = []
    for prompt in sorted(single)[1:-1]:
        fitted = fit([o for o in grid if o.prompt_tokens != prompt], recipe)
        told = fitted.predict(prompt, 1, predictor=predictor).runtime_s
        errors.append(told / single[prompt] - 1)
    return errors


def main() -> int:
    """Print a line for each log, and the mean and bias of ours over the A100's."""
    value = os.environ.get("OBSERVATORY_REFERENCE", "")
    if not value:
        print("skipped: OBSERVATORY_REFERENCE is not set")
        return 0
    print(f"{'log':22} {'published':>9} {'relative':>8} {'worst published alpha':>22} "
          f"{'look-up, left out':>18} {'ours, same':>10}")  # fmt: skip
    a100: list[float] = []
    for device, name, launch in logs(Path(value)):
        grid = observations_of(launch)
        published, ours = fit(grid, "published-2023"), fit(grid)
        single = {o.prompt_tokens: o.runtime_s for o in grid if o.output_tokens == 1}
        off, at = max(
            ((alpha / single[int(p)] - 1, int(p))
             for p, alpha in zip(published.curve.tokens, published.curve.alpha_s, strict=True)),
            key=lambda found: abs(found[0]),
        )  # fmt: skip
        saw = float(np.mean(np.abs(left_out(grid, "published-2023", "helm-lookup"))))
        errors = left_out(grid, "relative", "interpolated")
        a100 += errors if device == "a100" else []
        print(f"{device} {name:17} {published.errors.mape:9.2%} {ours.errors.mape:8.2%} "
              f"{f'{off:+.0%} at p={at}':>22} {saw:18.1%} {np.mean(np.abs(errors)):10.1%}",
              flush=True)  # fmt: skip
    print(f"T(p,1) at a prompt left out, A100: {np.mean(np.abs(a100)):.2%} mean, "
          f"{np.mean(a100):+.2%} bias")  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
