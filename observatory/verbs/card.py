"""`observatory card MODEL`: a snippet for a model's hub page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from observatory.errors import InputError
from observatory.records import Workload
from observatory.verbs import billing, options


@click.command(name="card")
@click.argument("model")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help="File to write.  [default: standard output]")  # fmt: skip
@options.workload
@billing.zone
@billing.choices
@billing.registry
@options.database
def command(
    model: str, out: Path | None, prompt: int | None, output: int | None, batch: int, db: str,
    factor_files: tuple[Path, ...], edition: str | None, **choices: Any,
) -> None:  # fmt: skip
    """The `co2_eq_emissions` block and a footprint table in Markdown, for a model card.

    The block needs a grid: give --zone. It is of one request, which its text says; the hub's own
    field is meant for training.
    """
    from observatory import answers
    from observatory.exports.card import snippet
    from observatory.footprint import Scenario
    from observatory.store.database import open_read_only

    engine = open_read_only(db)
    usual = answers.covered_request(engine)
    asked = Workload.request(prompt or usual[0], output or usual[1], batch)
    table = billing.table_of(factor_files, edition)
    text = snippet(answers.estimate(engine, asked, Scenario(**choices), model, table))
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from None
