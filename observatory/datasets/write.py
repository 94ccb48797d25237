"""Publishing a set: facts of chosen runs as files, and what follows from them beside.

The same database and runs give the same bytes: rows are sorted by their natural keys, nothing is
dated but by its measurement, and the plot is drawn without a library that numbers its parts.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine, null, select

from observatory import answers
from observatory.datasets import plot, readme
from observatory.datasets.read import PUBLISHED, SUMS, add_facts, facts_of
from observatory.datasets.scrub import private_names, require_clean, scrub
from observatory.datasets.tables import CELL_NAME, FACTS, SHOWN, columns_of, to_text
from observatory.derive import derive
from observatory.errors import InputError
from observatory.exports.tables import to_csv
from observatory.records import RunStatus
from observatory.store import reader, schema
from observatory.store.database import open_database, open_read_only

ENDED = (RunStatus.DONE.value, RunStatus.FAILED.value)


def publish(
    database: str | Path,
    out: Path | None = None,
    runs: Sequence[str] = (),
    replace: bool = False,
    names: tuple[str, ...] | None = None,
) -> tuple[Path, dict[str, bytes]]:
    """Write a set; its folder, and its files by name.

    Without `runs` those of the database that ended (one that was interrupted is published where it
    is named, and the set says so); without `out` the folder
    `results/published/<device>-<date>`. `names` are what must not be published beside paths (this
    host's and user's by default). Raises InputError where there is nothing to publish, where runs
    that nobody named are of several machines, where the folder exists (unless `replace`), or where
    a private name would remain.
    """
    private = private_names() if names is None else names
    engine = open_read_only(database)
    try:
        facts = collect(engine, runs)
    finally:
        engine.dispose()
    for machine in facts["environment.json"]:
        machine["kernel"] = plain_kernel(machine["kernel"])
    files = files_of({name: scrub(rows, private) for name, rows in facts.items()})
    require_clean(files, private)
    folder = PUBLISHED / name_of(facts) if out is None else out
    _write(folder, files, replace)
    return folder, files


def collect(engine: Engine, runs: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Rows of each file of facts, of these runs (or of all that ended)."""
    with engine.connect() as connection:
        chosen = _runs(connection, runs)
        ids = [row["id"] for row in chosen]
        cells = _rows(connection, schema.cell, "run_id", ids, ("run_id", "position", "plan_key"))
        keys = sorted({row["configuration_key"] for row in cells})
        stacks = _rows(connection, schema.configuration, "key", keys, ("key",))
        models = sorted({row["model_key"] for row in stacks})
        machines = sorted({row["environment_key"] for row in chosen})
        return {
            "environment.json": _rows(connection, schema.environment, "key", machines, ("key",)),
            "models.json": _rows(connection, schema.model, "key", models, ("name", "key")),
            "configurations.csv": stacks,
            "runs.json": chosen,
            "peaks.csv": _rows(
                connection, schema.peak, "run_id", ids, ("run_id", "device", "quantity", "dtype")
            ),
            "cells.csv": cells,
            "windows.csv": _windows(connection, ids),
        }


def _runs(connection: Connection, asked: Sequence[str]) -> list[dict[str, Any]]:
    r = schema.run
    rows = [dict(row) for row in connection.execute(select(r)).mappings()]
    rows.sort(key=lambda row: (row["started_utc"], row["id"]))
    known = {row["id"] for row in rows}
    unknown = [run for run in asked if run not in known]
    if unknown:
        raise InputError(f"--run {unknown[0]}: no such run; see `observatory show runs`")
    kept = [row for row in rows if (row["id"] in asked if asked else row["status"] in ENDED)]
    open_ = [row["id"] for row in kept if row["status"] == RunStatus.RUNNING]
    if open_:
        raise InputError(f"run {open_[0]} has not ended: `run-benchmark --resume` goes on with it")
    if not kept:
        raise InputError("no run has ended in this database: there is nothing to publish")
    machines = {row["environment_key"] for row in kept}
    if len(machines) > 1 and not asked:
        raise InputError(
            f"the runs are of {len(machines)} machines (or states of one): choose with --run"
        )
    return kept


def _rows(
    connection: Connection, table: Any, column: str, values: list[str], order: tuple[str, ...]
) -> list[dict[str, Any]]:
    query = select(table).where(table.c[column].in_(values))
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return sorted(rows, key=lambda row: tuple(row[name] for name in order))


def _windows(connection: Connection, runs: list[str]) -> list[dict[str, Any]]:
    """Sorted here and not by the database: SQLite and PostgreSQL collate texts differently."""
    w, c, r = schema.window, schema.cell, schema.run
    named = [c.c[name] for name in (*CELL_NAME, *SHOWN)]
    query = (
        select(*named, *w.c, c.c.position, r.c.started_utc.label("run_started"))
        .join(c, w.c.cell_id == c.c.id)
        .join(r, c.c.run_id == r.c.id)
        .where(c.c.run_id.in_(runs))
    )
    order = ("run_started", "run_id", "position", "plan_key", "process_index", "window_index")
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return sorted(rows, key=lambda row: tuple(row[name] for name in order))


def files_of(facts: Mapping[str, list[dict[str, Any]]]) -> dict[str, bytes]:
    """Every file of a set, from the rows of its facts. Derived tables are made of these files."""
    files = {name: to_text(name, columns_of(FACTS[name]), facts[name]) for name in FACTS}
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(Path(folder) / "set.db")
        try:
            with engine.begin() as connection:
                add_facts(connection, name_of(facts), facts_of(name_of(facts), files))
            derive(engine)
            files |= _derived(engine, facts)
        finally:
            engine.dispose()
    lines = [f"{hashlib.sha256(files[n]).hexdigest()}  {n}\n" for n in sorted(files)]
    return files | {SUMS: "".join(lines).encode()}


def _derived(engine: Engine, facts: Mapping[str, list[dict[str, Any]]]) -> dict[str, bytes]:
    summary, fits = answers.summary(engine), answers.fits(engine, None)
    findings = _findings(engine)
    tables = {
        "summary.csv": summary, "fits.csv": fits.drop(columns="id"), "findings.csv": findings,
    }  # fmt: skip
    made = {name: to_csv(table).encode() for name, table in tables.items()}
    made["plot.svg"] = plot.draw(summary, name_of(facts)).encode()
    made["README.md"] = readme.text(name_of(facts), facts, summary, fits, findings).encode()
    return made


def _findings(engine: Engine) -> pd.DataFrame:
    """Findings with the cell and the window that each is on, instead of row numbers."""
    f, w, c = schema.finding, schema.window, schema.cell
    what = (f.c.rule, f.c.severity, f.c.sentence, f.c.remedy, f.c.value, f.c.bound, f.c.subject)
    cell = (c.c.run_id, c.c.plan_key)
    on_window = (
        select(*what, *cell, w.c.process_index, w.c.window_index)
        .join(w, f.c.subject_id == w.c.id)
        .join(c, w.c.cell_id == c.c.id)
        .where(f.c.subject == "window")
    )
    on_cell = (
        select(*what, *cell, null().label("process_index"), null().label("window_index"))
        .join(c, f.c.subject_id == c.c.id)
        .where(f.c.subject == "cell")
    )
    rows = pd.concat([reader.frame(engine, on_window), reader.frame(engine, on_cell)])
    order = ["rule", "run_id", "plan_key", "process_index", "window_index"]
    return rows.sort_values(order, kind="stable", na_position="first")


def name_of(facts: Mapping[str, list[dict[str, Any]]]) -> str:
    """`<device>-<date>`: what was measured on, and the day on which it began."""
    devices = sorted({row["device_kind"] for row in facts["configurations.csv"]})
    day = min(row["started_utc"] for row in facts["runs.json"])[:10]
    slug = re.sub(r"[^a-z0-9]+", "-", "-".join(devices).casefold()).strip("-")
    return f"{slug or 'device'}-{day}"


def plain_kernel(release: str) -> str:
    """The kernel's version without its local suffix, which often names whose build it is."""
    found = re.match(r"\d+(\.\d+)*", release)
    return found[0] if found else release


def _write(folder: Path, files: Mapping[str, bytes], replace: bool) -> None:
    try:
        old = sorted(folder.iterdir()) if folder.exists() else []
        if old and not (replace and (folder / SUMS).is_file()):
            advice = "--replace writes it again" if (folder / SUMS).is_file() else "give another"
            raise InputError(f"{folder} is there and not empty: {advice}")
        folder.mkdir(parents=True, exist_ok=True)
        for path in old:
            path.unlink()
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}") from None
