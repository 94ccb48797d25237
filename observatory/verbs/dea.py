"""`observatory dea`: cross-efficiency over several costs, with its rule."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.verbs import billing, options, outside
from observatory.verbs.frontier import COSTS, request_of
from observatory.verbs.tables import print_table

if TYPE_CHECKING:
    from observatory.tradeoffs.dea import Analysis

RULES = ("benevolent", "aggressive")
SHOWN = 30


@click.command(name="dea")
@click.argument("table", required=False, type=click.Path(path_type=Path), metavar="[TABLE]")
@click.option("--input", "inputs", multiple=True, metavar="COST",
              help="An input (repeatable): a cost of the store, or a column of TABLE.  "
                   "[default: runtime_s and energy_j]")  # fmt: skip
@click.option("--output", "outputs", multiple=True, metavar="COLUMN",
              help="An output (repeatable): a column of TABLE.")  # fmt: skip
@click.option("--lane", metavar="LANE", help="Lane of the scores that are the output of the store.")
@click.option("--rule", type=click.Choice((*RULES, "both")), default="both", show_default=True,
              help="Which optimal weights rate the others: kindest, or harshest.")  # fmt: skip
@click.option("--without-self", is_flag=True, help="Leave out a unit's rating of itself.")
@click.option("--allow-ratios", is_flag=True,
              help="Take a ratio such as PUE as input, as a published table may.")  # fmt: skip
@click.option(
    "--workload",
    metavar="P,O[,B]",
    help="Prompt tokens, output tokens and batch.  [default: one that most fits cover]",
)
@click.option("--imported", is_flag=True, help="Units are imported rows.")
@billing.zone
@billing.choices
@options.database
@options.as_json
def command(
    table: Path | None, inputs: tuple[str, ...], outputs: tuple[str, ...], lane: str | None,
    rule: str, without_self: bool, allow_ratios: bool, workload: str | None, imported: bool,
    db: str, json_: bool, **choices: Any,
) -> None:  # fmt: skip
    """Rate models by several costs at once: self- and cross-efficiency (DEA).

    Optimal weights are not unique, so a cross-efficiency belongs to its rule; both are shown
    unless --rule names one. Without TABLE the units are models of the store.
    """
    from observatory.footprint import Scenario
    from observatory.store.database import open_read_only
    from observatory.tradeoffs import dea

    asked: dict[str, Any] = {
        "rules": RULES if rule == "both" else (rule,),
        "self_included": not without_self,
        "allow_ratios": allow_ratios,
    }
    if table is not None:
        if not inputs or not outputs:
            raise InputError("name the columns of the table with --input and --output")
        made = [dea.of_table(table, inputs, outputs, **asked)]
    else:
        if lane is None:
            raise InputError("name a lane with --lane (`observatory frontier --lanes` lists them), "
                             "or give a TABLE")  # fmt: skip
        wrong = [name for name in inputs if name not in COSTS]
        if wrong:
            raise InputError(f"input {wrong[0]!r} is no cost of the store: {', '.join(COSTS)}")
        engine, request = open_read_only(db), request_of(workload)
        made = dea.of_store(
            engine, inputs or ("runtime_s", "energy_j"), lane, request,
            Scenario(**choices), imported, **asked,
        )  # fmt: skip
        if not imported:
            outside.warn(outside.outside(engine, request))
    if json_:
        options.print_json([analysis.to_json() for analysis in made])
        return
    for analysis in made:
        _print(analysis)


def _print(made: Analysis) -> None:
    first = made.results[0]
    own = "the own rating included" if first.self_included else "the own rating left out"
    order = sorted(range(len(first.names)), key=lambda j: (-first.score[j], first.names[j]))
    columns, notes = ["unit", "#self"], []
    for result in made.results:
        columns += [f"#{result.rule}", "#rank"]
        notes.append(f"{result.rule}: mean rating by the weights of all, {own}")
    ranks = [{name: i + 1 for i, name in enumerate(r.ranking)} for r in made.results]
    rows = [
        [first.names[j], f"{first.self_efficiency[j]:.4f}",
         *(cell for r, rank in zip(made.results, ranks, strict=True)
           for cell in (f"{r.score[j]:.4f}", rank[first.names[j]]))]
        for j in order[:SHOWN]
    ]  # fmt: skip
    if len(order) > SHOWN:
        notes.append(f"{len(order) - SHOWN} more units: --json has all")
    if len(made.results) == 2 and made.results[0].ranking != made.results[1].ranking:
        notes.append("the two rules rank differently: name the rule with the number")
    notes += [f"{found}: the analysis sees one of them" for found in made.collinear]
    notes += [f"≥ {made.lower_bound}"] if made.lower_bound else []
    inputs = [f"≥ {name}" if name in made.at_least else name for name in made.inputs]
    print_table(
        f"DEA, {made.name}: {', '.join(inputs)} against {', '.join(made.outputs)}",
        columns, rows, notes,
    )  # fmt: skip
