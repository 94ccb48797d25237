"""`observatory route`: what routing between models would save, from a table of items."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.units import UNITS, show
from observatory.verbs import billing, numbers, options, routing_tables
from observatory.verbs.tables import paragraph, percent, print_table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from observatory.importers.items import Tables
    from observatory.tradeoffs.routing import Lab
    from observatory.tradeoffs.routing_bills import RoutingBills
    from observatory.tradeoffs.routing_use import Measured, ModelUse

UNIT_OF = {"_j": "energy_j", "_usd": "cost_usd", "_s": "runtime_s", "_g": "co2e_g",
           "_l": "water_l", "_wh": "energy_wh"}  # fmt: skip
COVERS = ("device", "wall", "facility")


@click.command(name="route")
@click.argument("items", required=False, type=click.Path(path_type=Path), metavar="[ITEMS]")
@click.option("--example", is_flag=True, help="Take the shipped synthetic table; no measurement.")
@click.option("--weak", metavar="MODEL", help="Weak end of the router.  [default: the cheapest]")
@click.option("--strong", metavar="MODEL", help="Strong end.  [default: the best]")
@click.option("--cascade", metavar="A,B,…", help="Order of a cascade.  [default: by cost]")
@click.option(
    "--judge-error",
    type=numbers.SHARE,
    default=0.0,
    show_default=True,
    help="Share of answers that the cascade's judge takes for the opposite.",
)
@click.option(
    "--strong-share",
    type=numbers.SHARE,
    default=0.5,
    show_default=True,
    help="Share of items that random mix and threshold router send to the strong end.",
)
@click.option(
    "--target",
    type=numbers.SHARE,
    default=0.8,
    show_default=True,
    help="Share of the quality gap that a second threshold router recovers.",
)
@click.option("--decide-by", metavar="COST", help="Cost column that decides.  [default: joules]")
@click.option(
    "--joules",
    type=click.Choice(COVERS),
    default="wall",
    show_default=True,
    help="What the joules of ITEMS cover.",
)
@billing.assume_error
@click.option(
    "--configuration",
    "configurations",
    multiple=True,
    metavar="MODEL=KEY",
    help="Measured configuration that serves MODEL: its J and s for the tokens in ITEMS "
    "(repeatable; KEY as `observatory compare` takes it).",
)
@click.option(
    "--price",
    "prices",
    multiple=True,
    metavar="MODEL=IN,OUT",
    help="List price of MODEL in USD per million tokens (repeatable).",
)
@billing.zone
@billing.choices
@billing.registry
@options.database
@options.as_json
def command(
    items: Path | None, example: bool, weak: str | None, strong: str | None,
    cascade: str | None, judge_error: float, strong_share: float, target: float,
    decide_by: str | None, joules: str, assume_error: float | None,
    configurations: tuple[str, ...], prices: tuple[str, ...],
    db: str, json_: bool, **given: Any,
) -> None:  # fmt: skip
    """Oracle, random mix, threshold router and cascade on ITEMS (CSV or JSON).

    ITEMS says for each item and model whether the answer was correct and what the call cost. The
    policies are decided by one cost and billed in joules, carbon, water and money, in --zone or
    in three example zones; savings are against always asking the strong end. Joules come from
    ITEMS or from tokens and --configuration. An item that no model solves costs the cheapest call.
    """
    from observatory.tradeoffs.candidates import ASSUMED_REL
    from observatory.tradeoffs.routing import Choices, decisive, lab
    from observatory.tradeoffs.routing_answer import sentence
    from observatory.tradeoffs.routing_use import uses

    tables = _tables(items, example)
    order = tuple(m.strip() for m in cascade.split(",")) if cascade else ()
    chosen = Choices(weak, strong, order, judge_error, strong_share, target)
    labs = {cost: lab(table, tables.router, chosen) for cost, table in tables.by_cost.items()}
    decided = decisive(tables.by_cost, decide_by)
    models = labs[decided].table.models
    engine, measured = _measured(configurations, db)
    error = ASSUMED_REL if assume_error is None else assume_error
    used = uses(tables, models, joules, error, _prices(prices), measured, engine)
    billed = _billed(labs[decided], used, given)
    if json_:
        found: dict[str, Any] = {cost: made.to_json() for cost, made in labs.items()}
        options.print_json(found | {"decided_by": decided, "bills": [b.to_json() for b in billed]})
        return
    click.echo(paragraph(sentence(billed[0])))
    for cost, made in labs.items():
        _print(cost, made)
    click.echo(f"Bills of the policies as decided by {decided}:")
    routing_tables.print_bills(billed)


def _tables(items: Path | None, example: bool) -> Tables:
    from observatory.importers.items import read
    from observatory.tradeoffs import routing_example

    if (items is None) != example:
        raise InputError("give a table of items, or --example for a synthetic one")
    if items is not None:
        return read(items)
    click.echo(f"items: {routing_example.SOURCE}", err=True)
    return routing_example.example()


def _billed(made: Lab, used: list[ModelUse], given: dict[str, Any]) -> list[RoutingBills]:
    from observatory.footprint import Scenario
    from observatory.tradeoffs.routing_bills import bill_policies

    table = billing.table_of(given["factor_files"], given["edition"])
    fields = Scenario.__dataclass_fields__
    zone = given.pop("zone")
    base = Scenario(**{k: v for k, v in given.items() if k in fields})
    return [
        bill_policies(made.policies, made.reference, used, scenario, table, example)
        for scenario, example in billing.example_scenarios(base, [zone] if zone else [])
    ]


def _measured(texts: tuple[str, ...], db: str) -> tuple[Engine | None, dict[str, Measured]]:
    """MODEL=KEY as configurations of the store, which is opened only where one is named."""
    if not texts:
        return None, {}
    from observatory import answers
    from observatory.records import Workload
    from observatory.store.database import open_read_only
    from observatory.tradeoffs.routing_use import Measured
    from observatory.verbs.compare import pick

    engine = open_read_only(db)
    known = answers.energy_inputs(engine, Workload.request(*answers.covered_request(engine)))
    found = {}
    for text in texts:
        model, key = _pair(text, "--configuration", "MODEL=KEY")
        one = pick([e for e, _ in known], key)
        found[model] = Measured(one.configuration_key, one.environment_key)
    return engine, found


def _prices(texts: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    found = {}
    for text in texts:
        model, value = _pair(text, "--price", "MODEL=IN,OUT")
        try:
            price_in, price_out = (float(part) for part in value.split(","))
        except ValueError:
            price_in = price_out = -1.0
        if not (0 < price_in < float("inf") and 0 < price_out < float("inf")):
            raise InputError(f"--price {text!r}: give two positive USD per million tokens, such as "
                             "small=0.2,0.6; leave an unknown price out")  # fmt: skip
        found[model] = (price_in, price_out)
    return found


def _pair(text: str, flag: str, form: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not (name and equals and value):
        raise InputError(f"{flag} {text!r}: give {form}")
    return name, value


def _cost(value: float | None, column: str) -> str:
    unit = next((u for end, u in UNIT_OF.items() if column.endswith(end)), None)
    if unit is None or unit not in UNITS:
        return "–" if value is None else f"{value:.4g}"
    return show(value, unit)


def _print(cost: str, made: Lab) -> None:
    rows = [
        [p.policy, _cost(p.cost, cost), percent(p.quality), _cost(p.cost_per_correct, cost),
         percent(made.saving(p)), ", ".join(f"{m} {s:.0%}" for m, s in p.calls.items())]
        for p in made.routed
    ]  # fmt: skip
    found = made.to_json()
    notes = [f"saved: against {made.routed[made.reference].policy}",
             f"{found['unsolved_items']} of {found['items']} items are solved by no model",
             f"frontier: {', '.join(found['frontier'])}"]  # fmt: skip
    area = made.aiq_mixing
    if area.range is not None and area.cmax is not None:
        notes.append(f"AIQ of mixing {area.range:.4f} over the range of cost, "
                     f"{area.cmax:.4f} over the largest cost")  # fmt: skip
    notes += _router(made)
    print_table(
        f"Routing {found['items']} items by {cost}",
        ["policy", "#cost", "#quality", "#per correct", "#saved", "calls"], rows, notes,
    )  # fmt: skip


def _router(made: Lab) -> list[str]:
    router = made.router
    if router is None:
        return [made.router_reason] if made.router_reason else []
    shares = [percent(v) or "never" for v in (router.cpt_50, router.cpt_80)]
    gap = "–" if router.apgr is None else f"{router.apgr:.4f}"
    return [f"router {made.weak}→{made.strong}: APGR {gap}, CPT(50 %) {shares[0]}, "
            f"CPT(80 %) {shares[1]} of calls to the strong one"]  # fmt: skip
