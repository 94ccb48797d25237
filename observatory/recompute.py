"""Bill kept estimates again under another edition of the factors, or on configurations that have
come since; nothing kept is changed.

The energy comes from the fits as they stand now, the scenario from the kept row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, func, select

from observatory import answers
from observatory.errors import InputError
from observatory.footprint import FactorTable, Scenario
from observatory.footprint.scenario import scenario_from
from observatory.ingest import keep_bills, store_estimates, store_factors
from observatory.records import Workload
from observatory.store import schema


@dataclass(frozen=True, slots=True)
class Recomputed:
    """How many requests were billed again, bills added, and bills of other editions that stay."""

    requests: int
    added: int
    kept: int


def recompute(engine: Engine, table: FactorTable) -> Recomputed:
    """Add estimates under the edition of `table` for every request and scenario kept so far.

    Running it twice adds nothing the second time. Raises InputError where nothing is kept.
    """
    kept = _kept(engine)
    if not kept:
        raise InputError("the database keeps no estimate yet: run `run-benchmark` first")
    store_factors(engine, table)
    before = _count(engine, table.edition)
    requests = 0
    for (workload, scenario), configurations in kept.items():
        found = [
            e for e in answers.estimate(engine, workload, scenario, factors=table)
            if (e.configuration_key, e.environment_key) in configurations
        ]  # fmt: skip
        store_estimates(engine, found, scenario)
        requests += len(found)
    after = _count(engine, table.edition)
    return Recomputed(requests, after - before, _count(engine) - after)


def bill_all(engine: Engine) -> int:
    """Keep the bills of one request that every fit covers on every configuration, in each scenario
    that the store keeps bills of; where it keeps none, in the example zones. Returns how many are
    new."""
    scenarios = {scenario.key: scenario for _, scenario in _kept(engine)}
    if not scenarios:
        return keep_bills(engine)
    return sum(keep_bills(engine, scenario) for scenario in scenarios.values())


def _kept(engine: Engine) -> dict[tuple[Workload, Scenario], set[tuple[str, str]]]:
    """(request, scenario) -> the configurations and machines it was billed for."""
    e = schema.estimate
    query = select(
        e.c.configuration_key, e.c.environment_key, e.c.prompt_tokens, e.c.output_tokens,
        e.c.batch, e.c.scenario,
    ).where(e.c.bill == "energy_wh").order_by(e.c.id)  # fmt: skip
    out: dict[tuple[Workload, Scenario], set[tuple[str, str]]] = {}
    with engine.connect() as connection:
        for row in connection.execute(query).mappings():
            workload = Workload.request(row["prompt_tokens"], row["output_tokens"], row["batch"])
            values: dict[str, Any] = row["scenario"]
            key = workload, scenario_from(values, "a kept estimate")
            out.setdefault(key, set()).add((row["configuration_key"], row["environment_key"]))
    return out


def _count(engine: Engine, edition: str | None = None) -> int:
    query = select(func.count()).select_from(schema.estimate)
    if edition is not None:
        query = query.where(schema.estimate.c.edition == edition)
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())
