"""`observatory audit`: what no machine could have measured, and what a protocol would not keep."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from observatory.errors import InputError
from observatory.units import significant
from observatory.verbs import options
from observatory.verbs.tables import print_table

if TYPE_CHECKING:
    from observatory.audit.report import Audit

SHOWN = 10  #: rows of one rule that a person is shown; `--json` has all


@click.command(name="audit")
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))
@click.option("--source", metavar="NAME", help="Reader of the files; without it each is looked at.")
@click.option(
    "--rules", is_flag=True, help="Print every rule as a Markdown page, and audit nothing."
)
@options.database
@options.as_json
def command(
    files: tuple[Path, ...],
    source: str | None,
    rules: bool,
    db: str,
    json_: bool,
) -> int:
    """Audit the database, or result FILEs without storing them.

    Exit code 0 when nothing is found, 1 when something is. Rows in violation stay where they are:
    they are marked, and left out of summaries where the severity is `exclude`.
    """
    from observatory.audit import page, report

    if rules:
        click.echo(page.markdown(), nl=False)
        return 0
    if source is not None and not files:
        raise InputError(f"--source {source} is for files: name one, or leave it out")
    if files:
        audit = report.audit_files(files, source)
    else:
        from observatory.store.database import open_read_only

        audit = report.audit_store(open_read_only(db))
    if json_:
        options.print_json({
            "audited": dict(audit.rows), "clean": audit.clean,
            "findings": [asdict(line) for line in audit.lines],
        })  # fmt: skip
    else:
        _print(audit)
    return 0 if audit.clean else 1


def _print(audit: Audit) -> None:
    judged = ", ".join(f"{n:,} {_plural(subject, n)}" for subject, n in audit.rows.items() if n)
    if not audit.lines:
        click.echo(f"nothing found in {judged or 'an empty database'}")
        return
    for (rule, severity), count in audit.counts().items():
        lines = [line for line in audit.lines if (line.rule, line.severity) == (rule, severity)]
        more = [f"… and {count - SHOWN} more: --json lists all"] if count > SHOWN else []
        click.echo(f"{rule} ({severity}, {count}): {lines[0].sentence}")
        print_table(
            "",
            ["row", "#value", "#bound"],
            [[line.row, _number(line.value), _number(line.bound)] for line in lines[:SHOWN]],
            [*more, lines[0].remedy],
        )
        click.echo()
    click.echo(f"{len(audit.lines)} findings in {judged or 'no row that could be read'}")


def _number(value: float | None) -> str | None:
    return None if value is None else significant(value, 4)


def _plural(subject: str, count: int) -> str:
    if subject == "reported":
        return "reported value" if count == 1 else "reported values"
    return subject if count == 1 else f"{subject}s"
