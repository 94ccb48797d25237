"""`observatory bundle`: one zip with everything that a paper's artifact needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from observatory.errors import InputError
from observatory.records import Workload
from observatory.verbs import billing, options

COSTS = ("runtime_s", "energy_j", "co2e_g", "co2e_total_g", "water_l", "cost_usd")
NOT_SAID = ("out", "db", "prompt", "output", "batch", "images", "factor_files")


@click.command(name="bundle")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.zip")
@click.option("--images/--no-images", default=True, show_default=True,
              help="SVG and PDF of the figures, where Chrome or Chromium is at hand.")  # fmt: skip
@click.option("--lane", metavar="LANE", help="Lane of the scores of the frontier.")
@click.option("--cost", type=click.Choice(COSTS), default="energy_j", show_default=True,
              help="Cost of the frontier.")  # fmt: skip
@options.workload
@billing.zone
@billing.choices
@billing.registry
@options.database
def command(
    out: Path, images: bool, lane: str | None, cost: str, prompt: int | None,
    output: int | None, batch: int, db: str, factor_files: tuple[Path, ...], edition: str | None,
    **choices: Any,
) -> None:  # fmt: skip
    """Tables, SQL dump, figures, factors with licences, checksums, citation and commands.

    The same database and choices give the same bytes. Look before publishing: the commands that
    measured stand in it as they were typed.
    """
    from observatory import answers
    from observatory.exports.bundle import Wanted, bundle
    from observatory.exports.questions import Ask
    from observatory.footprint import Scenario
    from observatory.store.database import open_read_only

    engine = open_read_only(db)
    usual = answers.covered_request(engine)
    asked = Workload.request(prompt or usual[0], output or usual[1], batch)
    table = billing.table_of(factor_files, edition)
    inputs = _inputs(factor_files)
    flags = [
        *_given(click.get_current_context()),
        *(part for name in inputs for part in ("--factors", name)),
    ]
    ask = Ask(asked, Scenario(**choices), table, cost=cost, lane=lane)
    content = bundle(engine, Wanted(ask, tuple(flags), images, inputs))
    try:
        out.write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from None
    click.echo(f"{out}: {len(content):,} bytes", err=True)


def _inputs(paths: Sequence[Path]) -> dict[str, bytes]:
    """The reader's own factor files by their name in the bundle."""
    out: dict[str, bytes] = {}
    for i, path in enumerate(paths):
        name = f"inputs/{path.name}"
        out[f"inputs/{i}-{path.name}" if name in out else name] = path.read_bytes()
    return out


def _given(ctx: click.Context) -> list[str]:
    """The options that were given on the command line, as flag and value."""
    flags: list[str] = []
    for option in ctx.command.params:
        name = option.name or ""
        source = ctx.get_parameter_source(name)
        if name in NOT_SAID or source is not ParameterSource.COMMANDLINE:
            continue
        flags += [option.opts[0], str(ctx.params[name])]
    return flags
