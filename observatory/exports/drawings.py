"""Every figure of the pages by name, asked of the store: the same answers, the same functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from sqlalchemy import Engine

from observatory import answers
from observatory.answers import Estimate
from observatory.errors import InputError, UnknownNameError
from observatory.exports import frames
from observatory.figures import bills, hours, ladder, phases, routing, runtime, tradeoff
from observatory.figures.naming import names
from observatory.footprint import FactorTable, Footprint, Scenario
from observatory.footprint.hourly import HourlySeries
from observatory.footprint.region_hours import region_hours
from observatory.importers import items
from observatory.records import Workload
from observatory.tradeoffs import Limits, routing_answer, routing_use
from observatory.tradeoffs import frontier as ask_frontier
from observatory.tradeoffs.routing import decisive, lab
from observatory.units import UNITS

if TYPE_CHECKING:
    import plotly.graph_objects as go

FASTEST = 12  #: configurations drawn where none is named, fastest first


@dataclass(frozen=True)
class Ask:
    """What a figure is of. `keys`: configurations, the first being the base; none: the fastest."""

    workload: Workload
    scenario: Scenario = field(default_factory=Scenario)
    keys: tuple[str, ...] = ()
    cost: str = "energy_j"
    lane: str | None = None
    imported: bool = False
    mix_lanes: bool = False
    limits: Limits = field(default_factory=Limits)
    items: Path | None = None  #: who answered which question at what cost, for `routing`
    group: str | None = None  #: part of the name of a frontier's group
    zones: tuple[str, ...] = ()  #: of the figures by region; the scenario's is `scenario.zone`
    series: Mapping[str, HourlySeries] = field(default_factory=dict)  #: hours, by zone
    factors: FactorTable | None = None


@dataclass(frozen=True)
class Drawing:
    """A figure's name on the command line, what it shows, and the function that makes it."""

    name: str
    shows: str
    make: Callable[[Engine, Ask], go.Figure]


def draw(engine: Engine, name: str, ask: Ask) -> go.Figure:
    """The figure called `name`. Raises UnknownNameError, and InputError with the reason where the
    store has nothing to draw."""
    if name not in DRAWINGS:
        raise UnknownNameError("figure", name, list(DRAWINGS), "--list lists them")
    figure = DRAWINGS[name].make(engine, ask)
    if not figure.data:
        said = figure.layout.annotations[0].text if figure.layout.annotations else "no data"
        raise InputError(f"nothing to draw for {name}: {said}")
    return figure


def _estimates(engine: Engine, ask: Ask) -> list[Estimate]:
    keys = list(ask.keys) or None
    made = answers.estimate(engine, ask.workload, ask.scenario, None, ask.factors, keys)
    return made if keys else made[:FASTEST]


def _timed(engine: Engine, ask: Ask) -> list[Estimate]:
    """The same without bills, for figures that need no place: fastest first."""
    bare = [e for e, _ in answers.energy_inputs(engine, ask.workload, None, list(ask.keys) or None)]
    return sorted(bare, key=lambda e: (e.runtime_s, e.model, e.configuration_key))[:FASTEST]


def _bill(column: str) -> Callable[[Engine, Ask], go.Figure]:
    def make(engine: Engine, ask: Ask) -> go.Figure:
        estimates = _estimates(engine, ask)
        rows = frames.bill_rows(estimates)
        if rows[column].isna().all():
            first = getattr(estimates[0].footprints[0], column)
            raise InputError(f"nothing to draw: {first.reason}")
        if rows.groupby("name")[column].nunique().max() == 1 and rows["zone"].nunique() > 1:
            rows = rows.drop_duplicates("name").assign(zone="every zone", zone_name="every zone")
        return bills.bill(rows, column)

    return make


def _request(engine: Engine, ask: Ask) -> go.Figure:
    rows = pd.DataFrame([row for e in _timed(engine, ask) for row in e.rows()])
    return runtime.request_by_configuration(rows.assign(name=names(rows)))


def _points(engine: Engine, ask: Ask) -> pd.DataFrame:
    """Measured points of the configurations asked for, else of the two fastest."""
    keys = ask.keys or tuple(e.configuration_key for e in _timed(engine, ask)[:2])
    rows = answers.idealized(engine, None, keys)
    return rows.assign(name=names(rows))


def _idealized(engine: Engine, ask: Ask) -> go.Figure:
    rows = answers.idealized(engine, None, (_one(engine, ask),))
    rows = rows[rows["phase"].isin(["prefill", "decode", "e2e"])]
    return runtime.measured_idealized_roofline(rows)


def _phase(phase: str) -> Callable[[Engine, Ask], go.Figure]:
    return lambda engine, ask: phases.phase_time(_points(engine, ask), phase)


def _joules(engine: Engine, ask: Ask) -> go.Figure:
    return phases.joules_per_token(_points(engine, ask))


def _one(engine: Engine, ask: Ask) -> str:
    """The configuration asked for, else the fastest. Raises InputError for several."""
    if len(ask.keys) > 1:
        raise InputError("this figure is of one configuration: give --configuration once")
    return ask.keys[0] if ask.keys else _timed(engine, ask)[0].configuration_key


def _placed(scenario: Scenario) -> Scenario:
    """The scenario, which must name a grid: a figure of a paper shows no example zone."""
    if scenario.zone is None and scenario.carbon_intensity_g_per_kwh is None:
        raise InputError("this figure is of one place: give --zone")
    return scenario


def _detail(engine: Engine, ask: Ask) -> tuple[Footprint, pd.DataFrame]:
    made, rungs = answers.bill_in_detail(
        engine, ask.workload, _placed(ask.scenario), _one(engine, ask)
    )
    return made, frames.ladder_rows(rungs, made.provenance)


def _ladder(engine: Engine, ask: Ask) -> go.Figure:
    return ladder.boundary_ladder(_detail(engine, ask)[1])


def _variance(engine: Engine, ask: Ask) -> go.Figure:
    return ladder.variance_shares(frames.share_rows(_detail(engine, ask)[0]))


def _regions(column: str, quantity: str) -> Callable[[Engine, Ask], go.Figure]:
    def make(engine: Engine, ask: Ask) -> go.Figure:
        anywhere = replace(ask.scenario, zone=None, kind=None)  # each zone's own kind, then one
        rows = answers.bills_by_zone(
            engine, ask.workload, anywhere, _one(engine, ask), ask.zones or frames.REGIONS
        )
        kept, _ = frames.one_kind(rows, column, ask.scenario.kind)
        return ladder.by_region(kept, column, quantity)

    return make


def _region_hours(engine: Engine, ask: Ask) -> go.Figure:
    if not ask.series:
        raise InputError("region-hours needs hours: give --hourly-intensity [ZONE=]FILE; "
                         "regions-carbon shows the year")  # fmt: skip
    energy = answers.energy_inputs(engine, ask.workload, None, [_one(engine, ask)])[0][1]
    zones = ask.zones or tuple(dict.fromkeys((*ask.series, *frames.REGIONS)))
    rows = region_hours(energy, replace(ask.scenario, zone=None), zones, ask.series, ask.factors)
    return hours.region_hours(rows)


def _ratios(engine: Engine, ask: Ask) -> go.Figure:
    if not 2 <= len(ask.keys) <= 4:
        raise InputError("ratios are of two to four configurations: give --configuration for each, "
                         "the base first")  # fmt: skip
    base, *others = ask.keys
    scenario = _placed(ask.scenario)
    rows = answers.fits(engine, keys=list(ask.keys)).drop_duplicates("configuration_key")
    called = dict(zip(rows["configuration_key"], names(rows), strict=True))
    changes = {
        called[key]: answers.compare(engine, ask.workload, scenario, base, key) for key in others
    }
    return ladder.ratios(frames.ratio_rows(changes))


def _frontier(engine: Engine, ask: Ask) -> go.Figure:
    if ask.lane is None:
        raise InputError("frontier needs --lane; `observatory frontier --lanes` lists them")
    found = ask_frontier(
        engine, ask.cost, ask.lane, ask.workload, ask.scenario, ask.imported, ask.mix_lanes,
        limits=ask.limits,
    )  # fmt: skip
    wanted = (ask.group or "").casefold()
    groups = [g for g in found.groups if wanted in g.name.casefold()]
    if len({group.points for group in groups}) != 1:
        several = "; ".join(g.name for g in (groups or found.groups)[:6])
        raise InputError(f"a figure shows one group, {len(groups)} would be here: give --group "
                         f"(or --zone), a part of one of: {several}")  # fmt: skip
    rows = pd.DataFrame([asdict(point) for point in groups[0].points])
    if ask.imported:
        rows["provenance"] = "imported"
    else:
        requests = answers.request_table(engine, ask.workload)
        rows["provenance"] = frames.cost_provenance(rows, requests, ask.cost)
    quantity = ask.cost if ask.cost in UNITS else "co2e_g"
    return tradeoff.frontier(rows, quantity, ask.lane)


def _routing(engine: Engine, ask: Ask) -> go.Figure:
    if ask.items is None:
        raise InputError("routing needs --items, a table of who answered which question")
    tables = items.read(ask.items)
    made = lab(tables.by_cost[decisive(tables.by_cost)], tables.router)
    used = routing_use.uses(tables, made.table.models, engine=engine)
    found = routing_answer.answer(made, tables.router, used, _placed(ask.scenario), ask.factors)
    points, mixed, curve = (
        pd.DataFrame([] if one is None else routing_answer.rows(one))
        for one in (found.billed, found.random, found.threshold)
    )
    column = "energy_wh" if ask.cost == "energy_j" else ask.cost
    if column not in points:
        raise InputError(f"routing has no cost {ask.cost}: energy_j, co2e_g, water_l or cost_usd")
    return routing.routers(points, mixed, curve.reindex(columns=points.columns), column)


DRAWINGS: Mapping[str, Drawing] = {
    d.name: d
    for d in (
        Drawing("frontier", "cost against capability, intervals on both axes", _frontier),
        Drawing("energy", "joules of one request, p5 to p95", _bill("energy_wh")),
        Drawing("carbon", "operational CO2e of one request", _bill("co2e_operational_g")),
        Drawing("water", "water of one request", _bill("water_l")),
        Drawing("money", "money of one request", _bill("cost_usd")),
        Drawing("request", "prefill and decode of one request beside the roofline", _request),
        Drawing("idealized", "measured, idealized and roofline time of each point", _idealized),
        Drawing("prefill", "prefill time over the prompt, fit and roofline", _phase("prefill")),
        Drawing("decode", "decode step over the context, fit and roofline", _phase("decode")),
        Drawing("joules-per-token", "joules a token in prefill and decode", _joules),
        Drawing("ladder", "energy up to each boundary beside published figures", _ladder),
        Drawing("variance", "which inputs the width of each bill comes from", _variance),
        Drawing("regions-carbon", "CO2e of one request by region",
                _regions("co2e_operational_g", "co2e_g")),
        Drawing("regions-water", "water of one request by region", _regions("water_l", "water_l")),
        Drawing("region-hours", "CO2e of one request by region and hour of day", _region_hours),
        Drawing("routing", "quality against one bill: models, mixes, routers, oracle", _routing),
        Drawing("ratios", "bills of configurations as paired ratios to the first", _ratios),
    )
}  # fmt: skip
