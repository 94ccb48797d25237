"""Accuracy against cost of planned profiling, on the public logs of the idealized-runtime paper.

For every log: our planner at several shares of the grid's device time, seven fixed points, and the
paper's look-up on those. The prior is the plain roofline of the shape in the log; nothing is
learned from other logs. Needs OBSERVATORY_REFERENCE. `--thinned` also takes grids that lack every
third prompt length.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import lookup
from observatory.importers.helm_logs import Launch, parse
from observatory.runtime.observations import Observation, Point, observed
from observatory.runtime.prior import Prior, roofline_prior
from observatory.runtime.replay import CurvePoint, replay, seven_points, thinned

SHARES = (0.005, 0.009, 0.02)
RESOLUTION_S = 1e-3  # three decimals in the logs


def observations_of(launch: Launch) -> list[Observation]:
    """A launch's points as whole requests."""
    return [
        observed(Point("e2e", p.prompt_tokens, p.output_tokens), p.runtime_s, std_s=p.std_s)
        for p in launch.points.values()
    ]


def architecture_of(launch: Launch) -> Architecture:
    """The shape that a launch's arguments state, read as a GPT-2's."""
    return Architecture.from_config({
        "model_type": "gpt2", "n_layer": launch.whole("num_layers"),
        "n_embd": launch.whole("hidden_size"), "n_head": launch.whole("num_attention_heads"),
        "n_inner": launch.whole("ffn_hidden_size"), "vocab_size": 50257, "n_positions": 2048,
    })  # fmt: skip


def prior_of(launch: Launch, device: str) -> Prior:
    """The plain roofline of the shape that the launch's arguments state."""
    return roofline_prior(architecture_of(launch), lookup(device), "fp16", launch.devices)


def logs(root: Path) -> list[tuple[str, str, Launch]]:
    """(device, name, launch) of every log of the reference data."""
    return [
        (path.parent.name, path.stem, launch)
        for path in sorted((root / "helm/logs").glob("*/*.log"))
        for launch in parse(path).launches
    ]


def curves(device: str, launch: Launch, grid: Sequence[Observation]) -> list[CurvePoint]:
    """All plans on one grid, the planner also at the seven points' own cost."""
    fixed = seven_points(grid)
    shares = sorted({*SHARES, fixed.share_time})
    planned = replay(grid, shares, prior=prior_of(launch, device), resolution_s=RESOLUTION_S)
    return [seven_points(grid, "helm-lookup"), fixed, *planned]


def main() -> int:
    """Print the curve of each log, then means; 1 if the planner loses to the seven points."""
    value = os.environ.get("OBSERVATORY_REFERENCE", "")
    if not value:
        print("skipped: OBSERVATORY_REFERENCE is not set")
        return 0
    print(f"{'log':26} {'plan':18} {'points':>6} {'of grid':>8} {'of time':>8} "
          f"{'held out':>9} {'expected':>9}")  # fmt: skip
    summary: dict[tuple[str, str], list[CurvePoint]] = {}
    lost = []
    for device, name, launch in logs(Path(value)):
        grids = {name: observations_of(launch)}
        if "--thinned" in sys.argv:
            grids |= {f"{name} -{k}/3": thinned(grids[name], 3, k) for k in range(3)}
        for label, grid in grids.items():
            found = curves(device, launch, grid)
            fixed = found[1]
            equal = min(found[2:], key=lambda c: abs(c.share_time - fixed.share_time))
            if equal.heldout_mean > fixed.heldout_mean:
                lost.append(f"{device} {label}")
            kind = device if label == name else f"{device} thinned"
            for point in found:
                _print(f"{device} {label}", point)
                plan = "planner, equal time" if point is equal else point.plan
                summary.setdefault((kind, plan), []).append(point)
                if plan != point.plan and round(fixed.share_time, 4) in SHARES:
                    summary.setdefault((kind, point.plan), []).append(point)
    print("\nmeans over logs")
    for (kind, plan), points in summary.items():
        errors = [p.heldout_mean for p in points]
        share = np.mean([p.share_time for p in points])
        print(f"{kind:26} {plan:22} {share:8.2%} of time, held out {np.mean(errors):.2%} mean, "
              f"{max(errors):.2%} worst log ({len(points)} grids)")  # fmt: skip
    if lost:
        print("worse than the seven points at equal time:", ", ".join(lost))
    return 1 if [name for name in lost if "/3" not in name] else 0


def _print(label: str, point: CurvePoint) -> None:
    told = "" if point.expected is None else f"{point.expected:9.2%}"
    print(f"{label:26} {point.plan:18} {point.points:6d} {point.share_points:8.1%} "
          f"{point.share_time:8.2%} {point.heldout_mean:9.2%} {told:>9}")  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
