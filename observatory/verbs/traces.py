"""The part of `observatory estimate` that answers for a log of requests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from observatory.verbs import options
from observatory.verbs.tables import in_one_unit, legend, percent, print_table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from observatory.footprint import FactorTable, Scenario
    from observatory.traces import TraceEstimate


def answer(
    engine: Engine,
    path: Path,
    scenario: Scenario,
    model: str | None,
    batch: int,
    table: FactorTable,
    json_: bool,
) -> None:
    """Print the mean request of a CSV of requests on every measured configuration, and its bills.

    Raises InputError for a file that is no such CSV.
    """
    from observatory.runtime.requests import read_requests
    from observatory.traces import estimate_trace
    from observatory.verbs.estimate import print_bills

    found = estimate_trace(engine, read_requests(path), scenario, model, batch, table)
    if json_:
        options.print_json([e.to_json() for e in found])
        return
    _print(path, found)
    print_bills(found, "Bills of its mean request")


def _print(path: Path, found: list[TraceEstimate]) -> None:
    marks, where = legend([e.configuration for e in found])
    first = found[0].time
    batch = f", batch {found[0].batch}" if found[0].batch > 1 else ""
    mean, moments, means, p50, p95 = (
        in_one_unit(name, "runtime_s", [(None, getattr(e.time, value), None) for e in found])
        for name, value in (("mean", "exact_s"), ("by moments", "by_moments_s"),
                            ("at the means", "plug_in_s"), ("p50", "p50_s"), ("p95", "p95_s"))
    )  # fmt: skip
    print_table(
        f"{path.name}: {first.requests:,} requests, mean {first.mean_prompt:.4g} prompt + "
        f"{first.mean_output:.4g} output tokens{batch}",
        ["model", "on", mean[0], moments[0], means[0], "#bias", p50[0], p95[0], "#outside"],
        [
            [e.model, marks[i], mean[1][i], moments[1][i], means[1][i],
             f"{100 * e.time.plug_in_bias:+.1f} %", p50[1][i], p95[1][i],
             percent(e.time.extrapolated_share)]
            for i, e in enumerate(found)
        ],
        [*where, *_notes(found)],
    )  # fmt: skip


def _notes(found: list[TraceEstimate]) -> list[str]:
    notes = [
        "mean: over all requests, each by itself; bias: of a request of the mean prompt and",
        "the mean output; outside: requests beyond the measured range",
    ]
    notes += [
        f"{e.model}: joules at the means are {100 * e.energy_plug_in_bias:+.1f} % off"
        for e in found if e.energy_plug_in_bias is not None
    ]  # fmt: skip
    return notes + sorted({f"error of a fit: {e.error_basis}" for e in found})
