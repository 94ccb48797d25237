"""`observatory publish`: measured runs as a folder of plain files that loads again anywhere."""

from __future__ import annotations

from pathlib import Path

import click

from observatory.verbs import options


@click.command(name="publish")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Folder to write.  [default: results/published/<device>-<date>]")  # fmt: skip
@click.option("--run", "runs", multiple=True, metavar="ID",
              help="Only this run. Repeatable.  [default: every run that ended]")  # fmt: skip
@click.option("--replace", is_flag=True, help="Write a published folder again.")
@options.database
@options.as_json
def command(out: Path | None, runs: tuple[str, ...], replace: bool, db: str, json_: bool) -> None:
    """Publish measurements: windows, summaries and fits as CSV, machine, commands, plot, checksums.

    The same database and runs give the same bytes. Host and user names and paths are left out.
    Load a set with `observatory import published FOLDER`.
    """
    from observatory.datasets.write import publish

    folder, files = publish(db, out, runs, replace)
    size = sum(len(content) for content in files.values())
    if json_:
        options.print_json({"folder": str(folder), "files": sorted(files), "bytes": size})
        return
    click.echo(f"{folder}: {len(files)} files, {size:,} bytes; its README.md says what is in it")
