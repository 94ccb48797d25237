"""`observatory calibrate`: teach the roofline what a device and its stack add, from stored rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from observatory.errors import InputError
from observatory.verbs import options
from observatory.verbs.tables import percent, print_table

if TYPE_CHECKING:
    from observatory.calibrations import Gathered
    from observatory.runtime.calibration import Calibration

RECIPES = ("single-stream", "server")


@click.command(name="calibrate")
@click.option("--device", help="Device, as the catalogue or the driver names it.")
@click.option(
    "--recipe",
    type=click.Choice(RECIPES),
    default="single-stream",
    show_default=True,
    help="single-stream: runs measured here; server: reported steps of batching servers.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the record as JSON too, for `observatory capacity --calibration`.",
)
@click.option("--dry-run", is_flag=True, help="Fit and report; keep nothing.")
@click.option(
    "--list", "list_", is_flag=True, help="List shipped and stored calibrations and stop."
)
@options.database
@options.as_json
def command(
    device: str | None, recipe: str, output: Path | None, dry_run: bool, list_: bool, db: str,
    json_: bool,
) -> None:  # fmt: skip
    """Calibrate the roofline of DEVICE from the store's own rows, and keep it.

    Reports the error on each model while it was held out from the fit; at least two models are
    needed. The same rows give the same id.
    """
    if list_:
        _list(db, json_)
        return
    if device is None:
        raise InputError("--device is needed: which device's rows to learn from (or --list)")
    if "://" not in db and not Path(db).exists():
        raise InputError(f"no database at {db}: run `run-benchmark` first, or give --db")

    from observatory import calibrations
    from observatory.store.database import open_database, open_read_only

    engine = open_read_only(db) if dry_run else open_database(db)
    with engine.connect() as connection:
        gather = calibrations.own_rows if recipe == "single-stream" else calibrations.reported_rows
        found = gather(connection, device)
        made = calibrations.make(found, recipe)
    if not dry_run:
        with engine.begin() as connection:
            calibrations.store(connection, made)
    if output is not None:
        output.write_text(json.dumps(made.as_dict(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    if json_:
        options.print_json(made.as_dict() | {"id": made.id, "mean_error": made.mean_error,
                                             "skipped": dict(found.skipped)})  # fmt: skip
        return
    _print(made, found)


def _list(db: str, json_: bool) -> None:
    from observatory import calibrations
    from observatory.runtime.calibration_shipped import shipped
    from observatory.store.database import open_read_only

    known = [("shipped", c) for c in shipped()]
    if "://" in db or Path(db).exists():
        with open_read_only(db).connect() as connection:
            known += [("stored", c) for c in calibrations.stored(connection)]
    if json_:
        options.print_json([c.as_dict() | {"id": c.id, "where": where} for where, c in known])
        return
    print_table(
        "Calibrations (errors on models held out)",
        ["id", "device", "recipe", "#rows", "#models", "#time", "#energy", "where"],
        [[c.id, c.device, c.recipe, c.rows, len(c.error), percent(c.mean_error),
          percent(_mean(c.energy_error)), where] for where, c in known],
        sorted({f"{c.device} {c.recipe}: {c.source}" for _, c in known}),
    )  # fmt: skip


def _mean(errors: dict[str, float]) -> float | None:
    return sum(errors.values()) / len(errors) if errors else None


def _print(made: Calibration, found: Gathered) -> None:
    from observatory.runtime.calibration_errors import half_width

    width, flagged = half_width(list(made.spread.values()))
    notes = [
        f"held out: each model predicted from all others; mean {percent(made.mean_error)}",
        f"90 % interval of a new model: × or ÷ {2.718281828**width:.3g}"
        + (" (fewer than nine models: the widest seen)" if flagged else ""),
        *([f"not told by these rows, kept at the prior: {', '.join(made.unidentified)}"]
          if made.unidentified else []),
        *made.assumptions,
        *(f"left out: {n} rows, {reason}" for reason, n in found.skipped.items()),
        f"source: {made.source}",
    ]  # fmt: skip
    print_table(
        f"{made.id}: {made.recipe} on {made.device}, {made.rows} rows",
        ["model held out", "#error of time", "#error of energy"],
        [[name, percent(error), percent(made.energy_error.get(name))]
         for name, error in made.error.items()],
        notes,
    )  # fmt: skip
    print_table("Parameters", ["name", "#value"],
                [[name, f"{value:.4g}"] for name, value in made.parameters.items()])  # fmt: skip
