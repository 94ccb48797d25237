"""Tables as the store holds them: runs, cells, windows, summaries, findings, bills, scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
from sqlalchemy import Engine, Integer, bindparam, func, select, text

from observatory.answers.names import FACTS, labels
from observatory.capability.known import beside, rows_beside
from observatory.catalog.named import meant
from observatory.store import reader, schema


def runs(engine: Engine) -> pd.DataFrame:
    """Every run, newest first, with how many cells ended how."""
    r, c, w = schema.run, schema.cell, schema.window
    counts = (
        select(
            c.c.run_id,
            func.count().label("cells"),
            func.sum((c.c.status == "ok").cast(Integer)).label("cells_ok"),
            func.sum((c.c.status.notin_(["ok", "planned"])).cast(Integer)).label("cells_failed"),
        )
        .group_by(c.c.run_id)
        .subquery()
    )
    windows = (
        select(c.c.run_id, func.count().label("windows"))
        .join(w, w.c.cell_id == c.c.id)
        .group_by(c.c.run_id)
        .subquery()
    )
    query = (
        select(
            r.c.id, r.c.started_utc, r.c.ended_utc, r.c.status, r.c.profile, counts.c.cells,
            counts.c.cells_ok, counts.c.cells_failed, windows.c.windows, r.c.sensor,
            r.c.sensor_reason, r.c.sampler_cpu_share, r.c.code_version, r.c.command, r.c.seed,
            r.c.plan_hash, r.c.environment_key,
        )
        .join(counts, counts.c.run_id == r.c.id, isouter=True)
        .join(windows, windows.c.run_id == r.c.id, isouter=True)
        .order_by(r.c.started_utc.desc())
    )  # fmt: skip
    return reader.frame(engine, query)


def cells(engine: Engine, run_id: str | None = None) -> pd.DataFrame:
    """Cells of a run (or all) with their status and error."""
    return reader.cells(engine, run_id)


def windows(engine: Engine, run_id: str | None = None) -> pd.DataFrame:
    """Raw windows: for one run on a page, for all in an export."""
    return reader.windows(engine, run_id)


def summary(
    engine: Engine,
    model: str | None = None,
    phase: str | None = None,
    keys: Sequence[str] | None = None,
) -> pd.DataFrame:
    """`v_summary`, filtered."""
    query = text(
        "SELECT * FROM v_summary ORDER BY model, configuration_key, phase, batch, prompt_tokens, "
        "context_tokens, output_tokens"
    )
    if keys is not None:
        query = text(
            "SELECT * FROM v_summary WHERE configuration_key IN :keys ORDER BY model, "
            "configuration_key, phase, batch, prompt_tokens, context_tokens, output_tokens"
        ).bindparams(bindparam("keys", list(keys), expanding=True))
    rows = pd.read_sql_query(query, engine)
    if model is not None:
        rows = rows[rows["model"].isin(meant(model, rows["model"]))]
    return rows if phase is None else rows[rows["phase"] == phase]


def findings(engine: Engine, first: int | None = None) -> pd.DataFrame:
    """What is wrong with which row, why, and what to do; all, or the `first` so many."""
    query = "SELECT * FROM v_findings ORDER BY rule, subject_id"
    if first is None:
        return pd.read_sql_query(text(query), engine)
    return pd.read_sql_query(text(f"{query} LIMIT :first").bindparams(first=first), engine)


def findings_by_rule(engine: Engine) -> pd.DataFrame:
    """Rule and severity -> `n` rows that broke it, with the sentence and remedy of the first."""
    f = schema.finding
    counted = (
        select(f.c.rule, f.c.severity, func.count().label("n"), func.min(f.c.id).label("first"))
        .group_by(f.c.rule, f.c.severity)
        .subquery()
    )
    query = (
        select(counted.c.rule, counted.c.severity, counted.c.n, f.c.sentence, f.c.remedy)
        .join(f, f.c.id == counted.c.first)
        .order_by(counted.c.rule, counted.c.severity)
    )
    return reader.frame(engine, query)


def configurations(
    engine: Engine, keys: Sequence[str] | None = None, model: str | None = None
) -> pd.DataFrame:
    """What was measured on which machine: one row for each configuration × machine, by model.

    Of all, of the configurations `keys`, or of one model, by its name.

    Columns: the configuration's facts, `configuration` (in words), `cells`, `cells_ok`,
    `cells_failed`, `runs`, `first_utc`, `last_utc`, `points`, `windows`, `excluded`, `processes`.
    """
    r, c, s = schema.run, schema.cell, schema.summary
    k, m = schema.configuration, schema.model
    chosen = select(k.c.key).join(m, k.c.model_key == m.c.key)
    if keys is not None:
        chosen = chosen.where(k.c.key.in_(list(keys)))
    if model is not None:
        chosen = chosen.where(m.c.name == model)
    by = (c.c.configuration_key, r.c.environment_key)
    asked = (
        select(
            *by,
            func.count().label("cells"),
            func.sum((c.c.status == "ok").cast(Integer)).label("cells_ok"),
            func.sum((c.c.status.notin_(["ok", "planned"])).cast(Integer)).label("cells_failed"),
            func.count(r.c.id.distinct()).label("runs"),
            func.min(r.c.started_utc).label("first_utc"),
            func.max(r.c.started_utc).label("last_utc"),
        )
        .join(r, c.c.run_id == r.c.id)
        .where(c.c.configuration_key.in_(chosen))
        .group_by(*by)
        .subquery()
    )
    got = (
        select(
            s.c.configuration_key,
            s.c.environment_key,
            func.count().label("points"),
            func.sum(s.c.n_windows).label("windows"),
            func.sum(s.c.n_excluded).label("excluded"),
            func.max(s.c.n_processes).label("processes"),
        )
        .where(s.c.configuration_key.in_(chosen))
        .group_by(s.c.configuration_key, s.c.environment_key)
        .subquery()
    )
    same = (got.c.configuration_key == asked.c.configuration_key) & (
        got.c.environment_key == asked.c.environment_key
    )
    facts = [column for column in k.c if column.key not in ("key", "model_key")]
    query = (
        select(
            m.c.name.label("model"), asked, got.c.points, got.c.windows, got.c.excluded,
            got.c.processes, m.c.parameters, m.c.active_parameters, *facts,
        )
        .select_from(asked)
        .join(k, asked.c.configuration_key == k.c.key)
        .join(m, k.c.model_key == m.c.key)
        .join(got, same, isouter=True)
        .order_by(m.c.name, asked.c.configuration_key, asked.c.environment_key)
    )  # fmt: skip
    rows = reader.frame(engine, query)
    rows.insert(1, "configuration", labels({name: rows[name].tolist() for name in FACTS}))
    return rows


def footprint_table(engine: Engine) -> pd.DataFrame:
    """`v_footprint`: the estimates kept in the store."""
    return pd.read_sql_query(
        text("SELECT * FROM v_footprint ORDER BY model, prompt_tokens, output_tokens, batch, "
             "zone, boundary, edition, bill"), engine,
    )  # fmt: skip


def capability_of(engine: Engine, model: str) -> pd.DataFrame:
    """Scores of one measured model, stored or shipped, under whatever name; of the variants of its
    architecture where it has none of its own. Columns as of `v_capability`."""
    names = ("lane", "benchmark", "metric", "score", "unit", "stderr", "ci_low", "ci_high", "shots",
             "precision", "harness", "source", "licence", "date")  # fmt: skip
    rows = rows_beside(engine, model)
    made = [{"model": row["model_name"]} | {name: row[name] for name in names} for row in rows]
    return pd.DataFrame(made, columns=["model", *names])


def capability_table(engine: Engine) -> pd.DataFrame:
    """`v_capability`: every score with its lane."""
    return pd.read_sql_query(
        text("SELECT * FROM v_capability ORDER BY model, lane, source"), engine
    )


def capabilities(
    engine: Engine, costs: Iterable[tuple[str, str | None]]
) -> dict[tuple[str, str | None], str]:
    """(model, number format) -> its score in words, with its lane, of those that have one."""
    return {cost: match.words() for cost, match in beside(engine, costs).items()}
