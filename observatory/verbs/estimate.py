"""`observatory estimate`: what one request costs on what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from observatory.errors import InputError
from observatory.records import Workload
from observatory.verbs import billing, options, traces
from observatory.verbs.tables import in_one_unit, legend, percent, print_table

if TYPE_CHECKING:
    from observatory.answers import Estimate
    from observatory.footprint import Footprint


@click.command(name="estimate")
@click.option("--model", help="Only this model: its name, another spelling, or its hub id.")
@click.option("--requests", "trace", type=click.Path(path_type=Path), metavar="CSV",
              help="A log of requests (columns p,o) in place of one: mean, p50, p95, bias of "
                   "plugged-in means.")  # fmt: skip
@options.workload
@billing.zone
@billing.choices
@billing.registry
@options.database
@options.as_json
def command(
    model: str | None, trace: Path | None, prompt: int | None, output: int | None, batch: int,
    db: str, json_: bool,
    factor_files: tuple[Path, ...], edition: str | None, **choices: Any,
) -> None:  # fmt: skip
    """Time, energy, carbon, water and money of one request, from the stored fits.

    Without --prompt and --output the request is one that most fits cover; with --requests it is
    the mean request of a log. A request outside the measured range is flagged.
    """
    if trace is not None and (prompt is not None or output is not None):
        raise InputError("give --requests, or --prompt and --output: not both")

    from observatory import answers
    from observatory.footprint import Scenario
    from observatory.store.database import open_read_only

    scenario = Scenario(**choices)
    table = billing.table_of(factor_files, edition)

    engine = open_read_only(db)
    if trace is not None:
        traces.answer(engine, trace, scenario, model, batch, table, json_)
        return
    usual = answers.covered_request(engine)
    if prompt is None and output is not None:
        click.echo(f"note: {usual[0]} prompt tokens: --prompt was not given", err=True)
    if output is None and prompt is not None:
        click.echo(f"note: {usual[1]} output tokens: --output was not given", err=True)
    request = Workload.request(prompt or usual[0], output or usual[1], batch)
    found = answers.estimate(engine, request, scenario, model, table)
    if json_:
        options.print_json([e.to_json() for e in found])
        return
    print_estimates(found)


def print_estimates(found: list[Estimate] | tuple[Estimate, ...]) -> None:
    """The two tables of an estimate: time beside the roofline, and the bills."""
    first = found[0]
    request = f"{first.prompt_tokens} prompt + {first.output_tokens} output tokens"
    request += f", batch {first.batch}" if first.batch > 1 else ""
    marks, where = legend([e.configuration for e in found])
    names = told_apart(found)
    columns = [
        in_one_unit("runtime", "runtime_s",
                    [(e.runtime_low_s, e.runtime_s, e.runtime_high_s) for e in found]),
        in_one_unit("TTFT", "ttft_s", [(None, e.ttft_s, None) for e in found]),
        in_one_unit("TPOT", "tpot_s", [(None, e.tpot_s, None) for e in found]),
        in_one_unit("roofline", "runtime_s", [(None, e.roofline_s, None) for e in found]),
    ]  # fmt: skip
    print_table(
        f"Idealized runtime of a request of {request}",
        ["model", "on", *(heading for heading, _ in columns), "#of it", "range"],
        [
            [e.model, mark, *(cells[i] for _, cells in columns),
             percent(e.roofline_ratio, 0), "OUTSIDE" if e.extrapolated else "inside"]
            for i, (e, mark) in enumerate(zip(found, marks, strict=True))
        ],
        [*where,
         *sorted({f"interval: {e.error_basis}" for e in found if e.error_rel is not None}
                 | {f"no interval: {e.model} on {mark}: error {e.error_basis}"
                    for e, mark in zip(found, marks, strict=True) if e.error_rel is None}
                 | {f"roofline: {e.roofline_hardware}; 'of it': roofline / runtime"
                    for e in found if e.roofline_hardware}
                 | {f"{name}: {e.extrapolation}"
                    for e, name in zip(found, names, strict=True) if e.extrapolation})],
    )  # fmt: skip
    print_bills(found)


class Billed(Protocol):
    """What bills need of an estimate."""

    @property
    def model(self) -> str: ...
    @property
    def configuration(self) -> str: ...
    @property
    def footprints(self) -> tuple[Footprint, ...]: ...
    @property
    def energy_provenance(self) -> str | None: ...
    @property
    def energy_method(self) -> str | None: ...


def told_apart(found: Sequence[Billed]) -> list[str]:
    """The name of each estimate: its model, and where a model was measured in several
    configurations the letter of its own, as in the table of runtimes."""
    marks, _ = legend([e.configuration for e in found])
    models = [e.model for e in found]
    return [
        f"{model} on {mark}" if models.count(model) > 1 else model
        for model, mark in zip(models, marks, strict=True)
    ]


def print_bills(found: Sequence[Billed], title: str = "Bills of that request") -> None:
    """Energy, carbon, water and money of each estimate in each zone, p5 to p95."""
    from observatory.footprint.result import lower_bound

    billed = [(e, name, made) for e, name in zip(found, told_apart(found), strict=True)
              for made in e.footprints]  # fmt: skip
    columns = []
    notes: set[str] = set()
    for name, quantity in (("energy", "energy_wh"), ("carbon", "co2e_g"), ("water", "water_l"),
                           ("money", "cost_usd")):  # fmt: skip
        bills = [getattr(made, quantity) for _, _, made in billed]
        at_least = [b.lower_bound and b.value is not None for b in bills]
        columns.append(in_one_unit(name, quantity, [b.bounds for b in bills], at_least))
        notes |= {f"{quantity} is NULL: {b.reason}" for b in bills if b.value is None and b.reason}
    for e, _, made in billed:
        notes.add(f"boundary {made.boundary}, edition {made.edition}, carbon {made.kind}")
        if e.energy_provenance:
            notes.add(f"energy {e.energy_provenance} by {e.energy_method}")
    example = any(made.example for _, _, made in billed)
    least = lower_bound(made for _, _, made in billed)
    print_table(
        title + (" in three example zones (--zone gives yours)" if example else ""),
        ["model", "zone", *(heading for heading, _ in columns)],
        [
            [name, made.zone or "–", *(cells[i] for _, cells in columns)]
            for i, (_, name, made) in enumerate(billed)
        ],
        [*sorted(notes), *([f"≥ {least}"] if least else [])],
    )
