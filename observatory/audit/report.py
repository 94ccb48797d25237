"""An audit to be read: findings with the row they are about, of a store or of files not stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Engine

from observatory.audit.bounds import StoreBounds
from observatory.audit.cells import audit_cells
from observatory.audit.marking import mark_excluded
from observatory.audit.reported import audit_reported, table_of
from observatory.audit.rule import EXCLUDE, INFO
from observatory.audit.windows import audit_windows
from observatory.ceilings import Ceilings
from observatory.importers import registry
from observatory.records import Finding, Reported, Workload
from observatory.store import reader


@dataclass(frozen=True, slots=True)
class Line:
    """One finding, and the row it is about in words."""

    rule: str
    version: int
    severity: str
    subject: str
    row: str
    value: float | None
    bound: float | None
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What was audited and what was found."""

    rows: Mapping[str, int]  #: subject -> rows judged
    lines: tuple[Line, ...]

    @property
    def clean(self) -> bool:
        """Nothing was found; what is only said (`info`) is no fault."""
        return all(line.severity == INFO for line in self.lines)

    def counts(self) -> dict[tuple[str, str], int]:
        """(rule, severity) -> findings, in order of appearance."""
        counted: dict[tuple[str, str], int] = {}
        for line in self.lines:
            key = (line.rule, line.severity)
            counted[key] = counted.get(key, 0) + 1
        return counted


def _line(finding: Finding, row: str) -> Line:
    return Line(
        finding.rule, finding.rule_version, finding.severity, finding.subject, row, finding.value,
        finding.bound, finding.sentence, finding.remedy,
    )  # fmt: skip


def audit_store(engine: Engine) -> Audit:
    """The facts of a store under today's rules; nothing is written."""
    with engine.connect() as connection:
        windows = reader.windows(connection)
        reported = reader.reported(connection, violations=True)
        found = audit_windows(windows, StoreBounds(connection, Ceilings(connection)))
    cells = audit_cells(mark_excluded(windows, found))
    others = audit_reported(reported)
    by_window = _rows_by(windows, "id", {f.subject_id for f in found})
    by_cell = _rows_by(windows, "cell_id", {f.subject_id for f in cells})
    by_value = _rows_by(reported, "id", {f.subject_id for f in others})
    return Audit(
        {"window": len(windows), "cell": windows["cell_id"].nunique(), "reported": len(reported)},
        (
            *(_line(f, _window_row(by_window[f.subject_id])) for f in found),
            *(_line(f, _cell_row(by_cell[f.subject_id])) for f in cells),
            *(_line(f, _reported_row(by_value[f.subject_id])) for f in others),
        ),
    )


def audit_files(paths: Sequence[Path], source: str | None = None) -> Audit:
    """Files as their importers read them; nothing is stored.

    A row that its importer refuses is a finding too. Raises InputError where no reader knows a
    file, or where it cannot be read.
    """
    tables: list[pd.DataFrame] = []
    lines: list[Line] = []
    for path in paths:
        _, reading = registry.read(path, source)
        kept: list[Reported] = []
        for row in reading.rows:
            kept.extend(row.reported)
            if row.rejected is not None:
                lines.append(_refused(f"{path.name}:{row.id}", row.rejected))
        if kept:
            tables.append(table_of(kept, str(path)).assign(source_name=path.name))
    if not tables:
        return Audit({"reported": 0}, tuple(lines))
    table = pd.concat(tables, ignore_index=True).assign(id=lambda t: t.index + 1)
    found = audit_reported(table)
    by_value = _rows_by(table, "id", {f.subject_id for f in found})
    lines += [_line(f, _reported_row(by_value[f.subject_id])) for f in found]
    return Audit({"reported": len(table)}, tuple(lines))


def _refused(row: str, reason: str) -> Line:
    return Line(
        "row_refused", 1, EXCLUDE, "reported", row, None, None,
        f"The importer cannot use this row: {reason}.", "Mend the row at its source.",
    )  # fmt: skip


def _rows_by(table: pd.DataFrame, key: str, wanted: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Rows of a table by number, of those that are wanted."""
    rows = table[table[key].isin(list(wanted))].drop_duplicates(key)
    return {
        int(row[key]): {str(k): None if v is None or v is pd.NA or v != v else v
                        for k, v in row.items() if not isinstance(v, (list, dict))}
        for row in rows.to_dict("records")
    }  # fmt: skip


def _cell_row(row: Mapping[str, Any]) -> str:
    sizes = {
        name: _whole(row[name])
        for name in ("prompt_tokens", "output_tokens", "context_tokens", "batch")
    }
    workload = Workload(
        sizes["prompt_tokens"], sizes["output_tokens"], sizes["batch"] or 1,
        sizes["context_tokens"],
    )  # fmt: skip
    return f"{row['run_id']} {row['phase']} {workload.label()}"


def _window_row(row: Mapping[str, Any]) -> str:
    return f"{_cell_row(row)} process {row['process_index']} window {row['window_index']}"


def _reported_row(row: Mapping[str, Any]) -> str:
    return f"{row['source_name']}:{row['row']} {row['model_name']} {row['quantity']}"


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
