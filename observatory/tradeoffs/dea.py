"""Data envelopment analysis over the store, or over a table: several costs against scores.

Costs must be absolute impacts of a request. A ratio such as PUE or a carbon intensity does not
scale with the request and hides the energy it multiplies, so columns of such names are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine

from observatory.decision.dea import RULES, CrossEfficiency, cross_efficiency
from observatory.errors import InputError
from observatory.footprint import Scenario
from observatory.importers.reading import RowError, csv_rows, name_of, needed
from observatory.records import Workload
from observatory.tradeoffs.candidates import ASSUMED_REL
from observatory.tradeoffs.frontier import Group, Tradeoff, frontier

MOST_UNITS = 300  #: a linear program a unit, each with a constraint a unit
_RATIO = re.compile(r"(^|[^a-z])(pue|wue|ewif|intensity)([^a-z]|$)", re.IGNORECASE)
Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Analysis:
    """One group of units under every rule asked for. `collinear`: inputs that are one another's
    multiples, so that the analysis sees only one of them. `at_least`: inputs that are lower bounds,
    for what `lower_bound` says."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    results: tuple[CrossEfficiency, ...]
    collinear: tuple[str, ...]
    at_least: tuple[str, ...] = ()
    lower_bound: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Nested plain values, each result with its ranking."""
        made = [asdict(r) | {"ranking": list(r.ranking)} for r in self.results]
        return asdict(self) | {"results": made}


def analyse(
    name: str,
    units: Sequence[str],
    inputs: Mapping[str, Sequence[float]],
    outputs: Mapping[str, Sequence[float]],
    rules: Sequence[str] = RULES,
    self_included: bool = True,
    allow_ratios: bool = False,
) -> Analysis:
    """Cross-efficiency of one group. Raises InputError for a ratio as input, too many units, or
    numbers that DEA cannot take."""
    ratios = [column for column in inputs if _RATIO.search(column)]
    if ratios and not allow_ratios:
        raise InputError(
            f"{ratios[0]!r} is a ratio that does not scale with the request, no impact: give J, g, "
            "L or $ as inputs, or say --allow-ratios to reproduce a published table"
        )
    if len(units) > MOST_UNITS:
        raise InputError(f"{len(units)} units: DEA takes up to {MOST_UNITS}, choose fewer")
    x, y = (np.column_stack([*columns.values()]) for columns in (inputs, outputs))
    found = tuple(cross_efficiency(units, x, y, rule, self_included) for rule in rules)
    return Analysis(name, tuple(inputs), tuple(outputs), found, _collinear(inputs))


def _collinear(inputs: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    columns = list(inputs.items())
    return tuple(
        f"{b} = {a} × constant"
        for i, (a, first) in enumerate(columns)
        for b, second in columns[i + 1 :]
        if np.ptp(np.asarray(second, float) / np.asarray(first, float))
        <= 1e-9 * abs(second[0] / first[0])
    )


def of_table(path: Path, inputs: Sequence[str], outputs: Sequence[str], **options: Any) -> Analysis:
    """A CSV with a column `name` (or `model`) and the columns named. Raises InputError."""
    units, columns = [], {c: list[float]() for c in (*inputs, *outputs)}
    for line, row in csv_rows(path, (*inputs, *outputs)):
        try:
            units.append(name_of(row, "name" if "name" in row else "model"))
            for column, values in columns.items():
                values.append(needed(row, column))
        except RowError as error:
            raise InputError(f"{path}: line {line}: {error}") from None
    if not units:
        raise InputError(f"{path}: no rows")
    return analyse(
        path.name, units, {c: columns[c] for c in inputs}, {c: columns[c] for c in outputs},
        **options,
    )  # fmt: skip


def of_store(
    engine: Engine,
    costs: Sequence[str],
    lane: str,
    workload: Workload | None = None,
    scenario: Scenario | None = None,
    imported: bool = False,
    error_rel: float = ASSUMED_REL,
    **options: Any,
) -> list[Analysis]:
    """Models of the store: several costs of a request against their score in a lane.

    One analysis a group of comparable rows, as for the frontier; a unit lacking one of the costs
    is left out. Raises InputError where no group has two units.
    """
    asked = [
        frontier(engine, cost, lane, workload, scenario, imported, error_rel=error_rel)
        for cost in dict.fromkeys(costs)
    ]
    made = [
        _bounded(analyse(
            name, [_unit(key) for key in rows[0]],
            {t.cost: [r[k] for k in rows[0]] for t, r in zip(asked, rows, strict=True)},
            {lane: _scores(asked[0], rows[0])}, **options,
        ), asked)
        for name, rows in _groups(asked) if len(rows[0]) > 1
    ]  # fmt: skip
    if not made:
        raise InputError(f"fewer than two models have {', '.join(costs)} and a score in {lane}")
    return made


def _bounded(made: Analysis, asked: Sequence[Tradeoff]) -> Analysis:
    """The analysis with what the energy in its inputs leaves out."""
    groups = {t.cost: _same(t.groups, made.name) for t in asked}
    said = {cost: g.lower_bound for cost, g in groups.items() if g is not None and g.lower_bound}
    return replace(made, at_least=tuple(said), lower_bound=next(iter(said.values()), None))


def _groups(asked: Sequence[Tradeoff]) -> list[tuple[str, list[dict[Key, float]]]]:
    """(name, costs by unit for each cost asked), only of units that have every cost.

    A cost that no zone moves has one group, which stands beside every group of another cost.
    """
    widest = max(asked, key=lambda t: (len(t.groups), t.cost != "runtime_s"))
    found = []
    for group in widest.groups:
        rows = [_costs(_same(t.groups, group.name)) for t in asked]
        shared = [k for k in rows[0] if all(k in r for r in rows)]
        found.append((group.name, [{k: r[k] for k in shared} for r in rows]))
    return found


def _same(groups: Sequence[Group], name: str) -> Group | None:
    """The group of that name (bills of imported rows add a zone to it), or the only one."""
    if len(groups) == 1:
        return groups[0]
    return next((g for g in groups if f"{name}, ".startswith(f"{g.name}, ")), None)


def _costs(group: Group | None) -> dict[Key, float]:
    return {} if group is None else {
        (p.model, p.configuration, p.lane, p.of_variant or ""): p.cost for p in group.points
    }  # fmt: skip


def _scores(asked: Tradeoff, units: Mapping[Key, float]) -> list[float]:
    known = {(p.model, p.configuration, p.lane, p.of_variant or ""): p.score
             for g in asked.groups for p in g.points}  # fmt: skip
    return [known[k] for k in units]


def _unit(key: Key) -> str:
    model, configuration, _, variant = key
    return f"{variant or model} ({configuration})"
