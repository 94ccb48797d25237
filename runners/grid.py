"""Which points to measure when nobody names them: prefill at several prompt lengths, decode at
several contexts, and whole requests held out of the fit, all between the ends of what is fitted.

More prompt lengths help a fit, more output lengths do not (METHOD §2.4); decode needs more than one
context, because on a CPU a step's cost grows by half from 50 to 900 tokens.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

from observatory.errors import InputError
from observatory.records import Phase, Workload
from runners.plan import Point, check_size


@dataclass(frozen=True, slots=True)
class Grid:
    """Lengths of one default sweep. `requests` are the held-out (p, o)."""

    prompts: tuple[int, ...]
    contexts: tuple[int, ...]
    steps: int
    requests: tuple[tuple[int, int], ...]


#: Neighbouring prompt lengths of a default grid differ by this factor, contexts by its square.
RATIO = math.sqrt(2)


def spread(low: int, high: int, ratio: float) -> list[int]:
    """Whole numbers from `low` to `high`, both in, evenly apart in the logarithm by at most
    `ratio`."""
    if high <= low:
        return [low]
    gaps = math.ceil(math.log(high / low) / math.log(ratio) - 1e-9)
    return sorted({round(low * (high / low) ** (i / gaps)) for i in range(gaps + 1)})


def _grid(
    prompts: tuple[int, int], contexts: tuple[int, int], steps: int,
    requests: tuple[tuple[int, int], ...],
) -> Grid:  # fmt: skip
    return Grid(tuple(spread(*prompts, RATIO)), tuple(spread(*contexts, RATIO**2)), steps, requests)


#: (device kind, profile) -> grid. The requests of a quick CPU run are sized for two cores. A
#: stretch has a dozen steps at least: a slope over fewer is mostly jitter of launches.
GRIDS: dict[tuple[str, str], Grid] = {
    ("cpu", "quick"): _grid(
        (16, 512), (16, 512), 12,
        ((24, 10), (40, 8), (56, 6), (96, 6), (160, 4), (224, 4), (320, 3), (448, 3)),
    ),
    ("cpu", "standard"): _grid(
        (1, 1024), (16, 1024), 16,
        ((9, 24), (24, 16), (48, 32), (96, 16), (192, 24), (320, 16), (640, 16), (896, 8)),
    ),
    ("cuda", "quick"): _grid(
        (16, 2048), (16, 2048), 32,
        ((48, 32), (100, 48), (200, 64), (384, 32), (600, 48), (800, 64), (1400, 32), (1800, 64)),
    ),
    ("cuda", "standard"): _grid(
        (1, 4096), (16, 4096), 64,
        ((40, 64), (100, 128), (200, 64), (384, 256), (768, 128), (1280, 64), (2560, 128),
         (3600, 256)),
    ),
}  # fmt: skip


def default_grid(device_kind: str, profile: str) -> Grid:
    """The grid for a device kind; `publishable` measures the standard grid more often."""
    return GRIDS[device_kind, "quick" if profile == "quick" else "standard"]


def fit_within(grid: Grid, max_context: int | None) -> Grid:
    """The part of a default grid that a model of `max_context` positions can run."""
    if max_context is None:
        return grid
    return replace(
        grid,
        prompts=tuple(p for p in grid.prompts if p + 1 <= max_context),
        contexts=tuple(c for c in grid.contexts if c + grid.steps <= max_context),
        requests=tuple((p, o) for p, o in grid.requests if p + o <= max_context),
    )


def grid_of(
    prompts: tuple[int, ...], outputs: tuple[int, ...], default: Grid, max_context: int | None
) -> Grid:
    """The grid that `--prompt` and `--output` ask for; without them the default one.

    Prompt lengths given are fitted; held-out requests then lie at their geometric midpoints (at the
    length itself when there is only one) and take the output lengths in turn. Raises InputError for
    sizes below 1 or beyond the model's context.
    """
    if not prompts and not outputs:
        return fit_within(default, max_context)
    for name, values in (("--prompt", prompts), ("--output", outputs)):
        for value in values:
            check_size(name, value)
    if not prompts:
        requests = tuple((p, o) for p, _ in default.requests for o in outputs)
        return _checked(replace(default, requests=requests), max_context)
    lengths = tuple(sorted(set(prompts)))
    between = [math.isqrt(a * b) for a, b in itertools.pairwise(lengths)] or [lengths[0]]
    asked = outputs or (default.steps,)
    requests = tuple(dict.fromkeys((p, o) for p in between for o in asked))
    contexts = tuple(dict.fromkeys((lengths[0], lengths[len(lengths) // 2], lengths[-1])))
    return _checked(Grid(lengths, contexts, default.steps, requests), max_context)


def _checked(grid: Grid, max_context: int | None) -> Grid:
    longest = max(
        [p + 1 for p in grid.prompts] + [c + grid.steps for c in grid.contexts]
        + [p + o for p, o in grid.requests]
    )  # fmt: skip
    if max_context is not None and longest > max_context:
        raise InputError(
            f"a point reaches {longest} tokens, the model's context ends at {max_context}: "
            "give shorter --prompt or --output"
        )
    return grid


def points_of(grid: Grid, batches: tuple[int, ...]) -> list[Point]:
    """Fit and held-out points of a grid for each batch size. Raises InputError for a batch < 1."""
    points: list[Point] = []
    for batch in batches:
        check_size("--batch", batch)
        points += [Point(Phase.PREFILL, Workload.prefill(p, batch)) for p in grid.prompts]
        points += [
            Point(Phase.DECODE, Workload.decode(c, grid.steps, batch)) for c in grid.contexts
        ]
        points += [
            Point(Phase.E2E, Workload.request(p, o, batch), "heldout") for p, o in grid.requests
        ]
    return points
