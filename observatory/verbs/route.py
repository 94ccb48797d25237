"""`observatory route`: what routing between models would save, from a table of items."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.units import UNITS, show
from observatory.verbs import options
from observatory.verbs.tables import percent, print_table

if TYPE_CHECKING:
    from observatory.decision.routing import Items, Routed
    from observatory.importers.items import Tables

UNIT_OF = {"_j": "energy_j", "_usd": "cost_usd", "_s": "runtime_s", "_g": "co2e_g",
           "_l": "water_l", "_wh": "energy_wh"}  # fmt: skip


@click.command(name="route")
@click.argument("items", type=click.Path(path_type=Path), metavar="ITEMS")
@click.option("--weak", metavar="MODEL", help="Weak end of the router.  [default: the cheapest]")
@click.option("--strong", metavar="MODEL", help="Strong end.  [default: the best]")
@click.option("--cascade", metavar="A,B,…", help="Order of a cascade.  [default: by cost]")
@click.option(
    "--judge-error",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of answers that the cascade's judge takes for the opposite.",
)
@options.as_json
def command(
    items: Path, weak: str | None, strong: str | None, cascade: str | None, judge_error: float,
    json_: bool,
) -> None:  # fmt: skip
    """Oracle, random mix, threshold router and cascade on ITEMS (CSV or JSON).

    ITEMS says for each item and model whether the answer was correct and what the call cost; every
    cost column is a bill of its own. An item that no model solves costs the cheapest call.
    """
    from observatory.importers.items import read

    tables = read(items)
    made = {cost: _route(table, tables, weak, strong, cascade, judge_error)
            for cost, table in tables.by_cost.items()}  # fmt: skip
    if json_:
        options.print_json(made)
        return
    for cost, found in made.items():
        _print(cost, found)


def _route(
    table: Items, tables: Tables, weak: str | None, strong: str | None, cascade: str | None,
    judge_error: float,
) -> dict[str, Any]:  # fmt: skip
    from observatory.decision import frontier, hull, routing

    cheap, best = table.ends()
    low, high = weak or cheap, strong or best
    ends = [routing.alone(table, m) for m in (low, high)]
    by_cost = sorted(table.options(), key=lambda o: (o.cost, -o.quality))
    order = [m.strip() for m in cascade.split(",")] if cascade else [o.name for o in by_cost]
    policies = [routing.alone(table, m) for m in table.models]
    policies += [routing.oracle(table), routing.random_mix(table, low, high, 0.5),
                 routing.cascade(table, order, judge_error)]  # fmt: skip
    options_ = table.options()
    span = min(o.cost for o in options_), max(o.cost for o in options_)
    corners = [(o.cost, o.quality) for o in hull.concave_hull(options_)]
    found: dict[str, Any] = {
        "items": len(table.items), "models": list(table.models), "weak": low, "strong": high,
        "unsolved_items": routing.unsolved(table),
        "policies": [_policy(p, ends[1]) for p in policies],
        "frontier": [o.name for o in frontier.frontier(options_)],
        "hull": [{"cost": c, "quality": q} for c, q in corners],
        "marginal_costs": [asdict(s) | {"cost_per_quality": s.cost_per_quality}
                           for s in hull.marginal_costs(options_)],
        "aiq_mixing": _aiq(corners, span), "aiq_single": _aiq(frontier.step(options_), span),
    }  # fmt: skip
    if tables.router is not None and low != high:
        curve = routing.threshold_curve(table, tables.router, low, high)
        reach = hull.hull_of_points([(p.cost, p.quality) for p in curve])
        found["router"] = {
            "curve": [asdict(p) for p in curve],
            "hull": [{"cost": c, "quality": q} for c, q in reach],
            "apgr": routing.apgr(curve), "cpt_50": routing.cpt(curve, 0.5),
            "cpt_80": routing.cpt(curve, 0.8), "aiq": _aiq(reach, span),
        }  # fmt: skip
    return found


def _aiq(corners: list[tuple[float, float]], span: tuple[float, float]) -> dict[str, Any]:
    """Both forms, each named by its divisor; None where the curve does not span the costs."""
    from observatory.decision import hull

    made: dict[str, Any] = {"cost_from": span[0], "cost_to": span[1]}
    for over in ("range", "cmax"):
        try:
            made[over] = hull.aiq(corners, *span, over)
        except InputError:
            made[over] = None
    return made


def _policy(policy: Routed, reference: Routed) -> dict[str, Any]:
    from observatory.decision.routing import saving

    return asdict(policy) | {
        "cost_per_correct": policy.cost_per_correct,
        "saving_against_strong": saving(policy, reference),
    }


def _cost(value: float | None, column: str) -> str:
    unit = next((u for end, u in UNIT_OF.items() if column.endswith(end)), None)
    if unit is None or unit not in UNITS:
        return "–" if value is None else f"{value:.4g}"
    return show(value, unit)


def _print(cost: str, found: dict[str, Any]) -> None:
    rows = [
        [p["policy"], _cost(p["cost"], cost), percent(p["quality"]),
         _cost(p["cost_per_correct"], cost), percent(p["saving_against_strong"]),
         ", ".join(f"{m} {s:.0%}" for m, s in p["calls"].items())]
        for p in found["policies"]
    ]  # fmt: skip
    notes = [f"{found['unsolved_items']} of {found['items']} items are solved by no model",
             f"frontier: {', '.join(found['frontier'])}"]  # fmt: skip
    area = found["aiq_mixing"]
    if area["range"] is not None:
        notes.append(f"AIQ of mixing {area['range']:.4f} over the range of cost, "
                     f"{area['cmax']:.4f} over the largest cost")  # fmt: skip
    router = found.get("router")
    if router:
        shares = {k: percent(router[k]) or "never" for k in ("cpt_50", "cpt_80")}
        gap = "–" if router["apgr"] is None else f"{router['apgr']:.4f}"
        ends = f"{found['weak']}→{found['strong']}"
        notes.append(f"router {ends}: APGR {gap}, CPT(50 %) {shares['cpt_50']}, "
                     f"CPT(80 %) {shares['cpt_80']} of calls to the strong one")  # fmt: skip
    print_table(
        f"Routing {found['items']} items by {cost}",
        ["policy", "#cost", "#quality", "#per correct", "#saved", "calls"], rows, notes,
    )  # fmt: skip
