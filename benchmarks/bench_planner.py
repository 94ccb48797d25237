"""Accuracy against cost of planned profiling, on the public logs of the idealized-runtime paper.

For every log: our planner at several shares of the grid's device time, seven fixed points, and the
paper's look-up on those. The prior is the plain roofline of the shape in the log; the rows called
`calibrated` have it drawn to the fits of the other logs of the device, as a store does. Then the
same ratios on grids with other prompt lengths. Needs OBSERVATORY_REFERENCE;
`python -m benchmarks.bench_planner --as-is` leaves out the other grids, which take most of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import lookup
from observatory.importers.helm_logs import Launch, parse
from observatory.runtime.fit import fit
from observatory.runtime.observations import Observation, Point, observed
from observatory.runtime.prior import (
    Prior,
    SeenScale,
    calibrated_prior,
    roofline_prior,
    seen_scale,
)
from observatory.runtime.replay import (
    CurvePoint,
    replay,
    resampled,
    seven_points,
    shifted,
    thinned,
)

SHARES = (0.005, 0.009, 0.02)
RESOLUTION_S = 1e-3  # three decimals in the logs
SHIFTS = (23, 51)  # tokens; neither divides a tile
Log = tuple[str, str, Launch]


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


def seen_of(launch: Launch, device: str) -> SeenScale | None:
    """What the fit of a whole log says of the device."""
    fitted = fit(observations_of(launch))
    return seen_scale(fitted, architecture_of(launch), lookup(device), "fp16", launch.devices)


def logs(root: Path) -> list[Log]:
    """(device, name, launch) of every log of the reference data."""
    return [
        (path.parent.name, path.stem, launch)
        for path in sorted((root / "helm/logs").glob("*/*.log"))
        for launch in parse(path).launches
    ]


def other_grids() -> dict[str, Callable[[Sequence[Observation]], list[Observation]]]:
    """Ways to make a grid with other prompt lengths of one that was measured, by name."""

    def drawn(grid: Sequence[Observation]) -> list[Observation]:
        """As many prompts as the grid has, its ends among them, by a fixed seed."""
        own = sorted({o.prompt_tokens for o in grid})
        inner = np.random.default_rng(3).integers(own[0] + 1, own[-1], len(own) - 2)
        return resampled(grid, [own[0], *map(int, inner), own[-1]], RESOLUTION_S)

    found: dict[str, Callable[[Sequence[Observation]], list[Observation]]] = {"drawn anew": drawn}
    for k in range(3):
        found[f"without {k}/3"] = lambda grid, k=k: thinned(grid, 3, k)  # type: ignore[misc]
    for by in SHIFTS:
        found[f"shifted by {by}"] = lambda grid, by=by: shifted(grid, by, RESOLUTION_S)  # type: ignore[misc]
    return found


def planner_curve(grid: Sequence[Observation], prior: Prior) -> dict[float, CurvePoint]:
    """The planner by share of the grid's time, that of the seven points among them."""
    shares = sorted({*SHARES, seven_points(grid).share_time})
    return dict(zip(shares, replay(grid, shares, prior=prior, resolution_s=RESOLUTION_S),
                    strict=True))  # fmt: skip


def plans(grid: Sequence[Observation], log: Log, others: Sequence[SeenScale]
          ) -> Iterator[tuple[str, CurvePoint]]:  # fmt: skip
    """Every plan on one grid, by name."""
    device, _, launch = log
    fixed = seven_points(grid)
    yield "paper's look-up", seven_points(grid, "helm-lookup")
    yield "seven points", fixed
    parameters = float(architecture_of(launch).active_matmul_parameters)
    plain = prior_of(launch, device)
    priors = {"planner": plain}
    if others:
        priors["calibrated"] = calibrated_prior(plain, others, launch.devices, parameters)
    for name, prior in priors.items():
        for share, point in planner_curve(grid, prior).items():
            at = "equal time" if share == fixed.share_time else f"{share:.1%}"
            yield f"{name}, {at}", point


Means = dict[tuple[str, str], list[CurvePoint]]


def main() -> int:
    """Print the curve of each log, then means and ratios; 1 if the planner loses to the seven
    points on a log as it is."""
    value = os.environ.get("OBSERVATORY_REFERENCE", "")
    if not value:
        print("skipped: OBSERVATORY_REFERENCE is not set")
        return 0
    known = logs(Path(value))
    seen = {(device, name): seen_of(launch, device) for device, name, launch in known}
    print(f"{'log':26} {'plan':22} {'points':>6} {'of grid':>8} {'of time':>8} "
          f"{'held out':>9} {'worst':>8} {'expected':>9}")  # fmt: skip
    found: Means = {}
    for log in known:
        device, name, launch = log
        others = [s for (d, n), s in seen.items() if d == device and n != name and s is not None]
        for plan, point in plans(observations_of(launch), log, others):
            _print(f"{device} {name}", plan, point)
            found.setdefault((device, plan), []).append(point)
    _means(found)
    if "--as-is" not in sys.argv:
        print("\nother prompt lengths: means over logs, and ratios to the seven points")
        for name, make in other_grids().items():
            _other(name, make, known)
    return _lost(found)


def _other(
    name: str, make: Callable[[Sequence[Observation]], list[Observation]], known: Sequence[Log]
) -> None:
    found: Means = {}
    for log in known:
        grid = make(observations_of(log[2]))
        for plan, point in plans(grid, log, ()):
            found.setdefault((log[0], plan), []).append(point)
    for device in dict.fromkeys(device for device, _ in found):
        fixed = np.mean([p.heldout_mean for p in found[device, "seven points"]])
        for (own, plan), points in found.items():
            if own == device and plan.startswith("planner"):
                mean = np.mean([p.heldout_mean for p in points])
                worst = max(p.heldout_mean for p in points)
                print(f"{device} {name:14} {plan:20} {mean:7.2%} mean, {worst:7.2%} worst log, "
                      f"{mean / fixed:5.2f} × seven points ({fixed:.2%})", flush=True)  # fmt: skip


def _means(found: Means) -> None:
    print("\nmeans over logs")
    for (device, plan), points in found.items():
        errors = [p.heldout_mean for p in points]
        share = np.mean([p.share_time for p in points])
        print(f"{device:6} {plan:24} {share:7.2%} of time, held out {np.mean(errors):7.2%} mean, "
              f"{max(errors):7.2%} worst log ({len(points)} logs)")  # fmt: skip


def _lost(found: Means) -> int:
    lost = [
        device
        for device in dict.fromkeys(device for device, _ in found)
        for equal, fixed in zip(
            found[device, "planner, equal time"], found[device, "seven points"], strict=True
        )
        if equal.heldout_mean > fixed.heldout_mean
    ]
    if lost:
        print("worse than the seven points at equal time on logs of", ", ".join(lost))
    return 1 if lost else 0


def _print(label: str, plan: str, point: CurvePoint) -> None:
    told = "" if point.expected is None else f"{point.expected:9.2%}"
    print(f"{label:26} {plan:22} {point.points:6d} {point.share_points:8.1%} "
          f"{point.share_time:8.2%} {point.heldout_mean:9.2%} {point.heldout_max:8.1%} {told:>9}",
          flush=True)  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
