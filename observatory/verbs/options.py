"""Options that several verbs share, so that a flag has one name, one default and one help text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from observatory.verbs import numbers

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_DATABASE = "results/observatory.db"  #: as `observatory.store.database`, without its weight


def database(function: F) -> F:
    """`--db`: a SQLite path or a PostgreSQL URL."""
    return click.option(
        "--db", "db", default=DEFAULT_DATABASE, show_default=True, envvar="OBSERVATORY_DB",
        metavar="PATH|URL", help="Database: a SQLite file or postgresql://… (or OBSERVATORY_DB).",
    )(function)  # fmt: skip


def as_json(function: F) -> F:
    """`--json`: one JSON document on standard output, nothing else."""
    return click.option("--json", "json_", is_flag=True, help="Print JSON and nothing else.")(
        function
    )


def workload(function: F) -> F:
    """`--prompt`, `--output`, `--batch`: one request."""
    for option in (
        click.option(
            "--batch", type=numbers.SIZE, default=1, show_default=True, help="Requests at once."
        ),
        click.option("--output", type=numbers.SIZE, help="Output tokens of one request."),
        click.option("--prompt", type=numbers.SIZE, help="Prompt tokens of one request."),
    ):
        function = option(function)
    return function


def print_json(value: Any) -> None:
    """Print one JSON document; missing is null, and NaN is a bug."""
    click.echo(json.dumps(value, indent=2, allow_nan=False, default=str))


def warn_outside(told: Iterable[tuple[str, str | None]]) -> None:
    """Say on standard error which of (name, the range it leaves or None) are extrapolated."""
    for name, reason in dict.fromkeys(told):
        if reason is not None:
            click.echo(f"warning: {name}: {reason}", err=True)
