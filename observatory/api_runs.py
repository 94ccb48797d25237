"""API runs of HELM: their idealized runtime beside ours, from what else the store holds.

Theirs is kept as published. Ours is read off the relative fit of an imported profiling log of that
name, else off imported published parameters, interpolated and not by their saw-tooth look-up. A run
gives mean tokens of a scenario, not its requests: both are read at the means, which is biased
wherever alpha bends (docs/idealized-runtime.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine

from observatory.errors import InputError
from observatory.importers import helm_fits, helm_runs
from observatory.profiling_logs import stored_logs
from observatory.runtime.curves import PrefillCurve
from observatory.runtime.fit import fit
from observatory.runtime.predict import helm_lookup
from observatory.store import reader, schema

COLUMNS = (
    "model", "scenario", "trial", "prompt_tokens", "output_tokens", "runtime_s", "theirs_s",
    "ours_s", "ours_basis", "lookup_s", "ours_over_theirs", "extrapolated", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class _Basis:
    """One way to an idealized runtime; times of (p, o) and whether they are outside the range."""

    words: str
    time_s: Callable[[float, float], tuple[float, bool]]
    lookup_s: Callable[[float, float], float]


def api_runs(engine: Engine) -> pd.DataFrame:
    """Every imported API run, once for each basis that its model has; columns `COLUMNS`.

    `ours_s` is None with a `reason` where no log and no table bears the model's name or the run
    says no tokens; `lookup_s` reads the same basis by the paper's look-up, to be held against
    `theirs_s`. Raises InputError where no API run was imported.
    """
    with engine.connect() as connection:
        rows = _reported(connection, helm_runs.TOOL)
        if rows.empty:
            raise InputError("no API runs in the database: `observatory import helm-runs FILE`")
        known = _bases(connection)
    made = [
        row
        for _, group in rows.groupby(["source_key", "row"], sort=False)
        for row in _run(group, known)
    ]
    return pd.DataFrame(made, columns=list(COLUMNS))


def _reported(connection: Connection, tool: str) -> pd.DataFrame:
    s = schema.source
    keys = connection.execute(s.select().with_only_columns(s.c.key).where(s.c.tool == tool))
    found = list(keys.scalars())
    return reader.reported(connection, found) if found else pd.DataFrame()


def _same(name: str) -> str:
    """`openai/davinci`, `openai_davinci` and `OpenAI-Davinci` are one name."""
    return re.sub(r"[^a-z0-9.]+", "-", name.casefold())


def _bases(connection: Connection) -> dict[str, list[_Basis]]:
    """Name -> fits of its logs; published parameters only where there is no log."""
    found: dict[str, list[_Basis]] = {}
    for log in stored_logs(connection):
        fitted = fit(log.observations)

        def told(p: float, o: float, fitted: Any = fitted) -> tuple[float, bool]:
            many = fitted.predict_many(p, o)
            return float(many.runtime_s), bool(many.extrapolated)

        def looked_up(p: float, o: float, fitted: Any = fitted) -> float:
            return float(fitted.predict_many(p, o, 1, "helm-lookup").runtime_s)

        basis = _Basis(f"relative fit of {log.words}", told, looked_up)
        found.setdefault(_same(log.name), []).append(basis)
    for name, basis in _published(connection):
        found.setdefault(_same(name), [])
        if not any(b.words.startswith("relative") for b in found[_same(name)]):
            found[_same(name)].append(basis)
    return found


def _published(connection: Connection) -> list[tuple[str, _Basis]]:
    rows = _reported(connection, helm_fits.TOOL)
    made: list[tuple[str, _Basis]] = []
    if rows.empty:
        return made
    for (_, name), group in rows.groupby(["source_key", "model_name"], sort=False):
        alphas = group[group["quantity"] == helm_fits.ALPHA].sort_values("prompt_tokens")
        steps = group[group["quantity"] == helm_fits.BETA]
        if alphas.empty or steps.empty:
            continue
        curve = PrefillCurve(
            "linear", tuple(map(float, alphas["prompt_tokens"])), tuple(map(float, alphas["value"]))
        )
        words = f"published parameters of {name} in {group['source_name'].iloc[0]}"
        made.append((str(name), _of_table(words, curve, float(steps["value"].iloc[0]))))
    return made


def _of_table(words: str, curve: PrefillCurve, step_s: float) -> _Basis:
    """Published parameters do not say how many output tokens were measured: p alone is judged."""

    def told(p: float, o: float) -> tuple[float, bool]:
        outside = not curve.tokens[0] <= p <= curve.tokens[-1]
        return float(curve(p)) + step_s * (o - 1), outside

    def looked_up(p: float, o: float) -> float:
        return float(helm_lookup(curve, np.asarray(p))) + step_s * (o - 1)

    return _Basis(words, told, looked_up)


def _run(group: pd.DataFrame, known: dict[str, list[_Basis]]) -> list[dict[str, Any]]:
    first = group.iloc[0]
    values = dict(zip(group["quantity"], group["value"], strict=True))
    model, extra = str(first["model_name"]), first["extra"]
    p, o = (None if pd.isna(first[n]) else float(first[n])
            for n in ("prompt_tokens", "output_tokens"))  # fmt: skip
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {
        "model": model, "scenario": extra.get("scenario"), "trial": extra.get("trial"),
        "prompt_tokens": p, "output_tokens": o, "runtime_s": values.get("runtime_s"),
        "theirs_s": values.get("idealized_runtime_s"),
    }  # fmt: skip
    bases = known.get(_same(model), [])
    if not bases:
        return [row | {"reason": f"no imported log or published table is named {model}"}]
    if p is None or o is None or p < 1 or o < 1:
        return [row | {"reason": f"mean tokens {p} and {o}: at least 1 of each are needed"}]
    return [row | _ours(basis, p, o, row["theirs_s"]) for basis in bases]


def _ours(basis: _Basis, p: float, o: float, theirs: float | None) -> dict[str, Any]:
    ours, outside = basis.time_s(p, o)
    return {
        "ours_s": ours, "ours_basis": basis.words, "lookup_s": basis.lookup_s(p, o),
        "ours_over_theirs": ours / theirs if theirs else None, "extrapolated": outside,
    }  # fmt: skip
