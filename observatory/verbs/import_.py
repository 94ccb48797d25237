"""`observatory import`: results of other tools, with where they come from and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.verbs import numbers, options
from observatory.verbs.tables import print_table, shortened, told

if TYPE_CHECKING:
    from observatory.importing import ImportReport

MAX_FILES = 10_000
PUBLISHED = "published"  #: a source that is no reader: folders that `observatory publish` wrote
MAX_MESSAGE_CHARS = 8192  #: of an error, with a path in it
SHOWN = 20  #: files that a person is shown each by itself; more are added up by source


@click.command(name="import")
@click.argument("paths", nargs=-1, metavar="[SOURCE] [PATH]...")
@click.option("--aliases", type=click.Path(path_type=Path), metavar="CSV",
              help="Your own names of models: a CSV with the columns alias,name.")  # fmt: skip
@click.option("--licence", metavar="TEXT", help="Licence to store where the format brings none.")
@click.option("--layer-scale", type=numbers.POSITIVE, metavar="N",
              help="Multiplies times of helm-logs that profiled 1/N of the layers.")  # fmt: skip
@click.option("--scores", is_flag=True, help="Store the shipped capability scores too.")
@click.option("--list", "list_", is_flag=True, help="List the sources that can be read, and stop.")
@options.database
@options.as_json
def command(
    paths: tuple[str, ...],
    aliases: Path | None,
    licence: str | None,
    layer_scale: float | None,
    scores: bool,
    list_: bool,
    db: str,
    json_: bool,
) -> int:
    """Store what other tools measured. SOURCE is a name of --list; without it files are sniffed.

    A PATH may be a folder: files that no reader knows are then passed over and counted. Importing
    the same file again adds nothing. Exit code 1 when rows were rejected, 2 when a file could not
    be read: of that file nothing is stored.

    `import published [FOLDER]...` loads what `observatory publish` wrote; without a FOLDER the sets
    in results/published and the openly licensed rows that ship with this package.
    """
    from observatory.importers.registry import READERS

    if paths[:1] == (PUBLISHED,):
        from observatory.verbs.published import import_published

        import_published([Path(p) for p in paths[1:]], db, json_)
        return 0
    if list_:
        _list(READERS, json_)
        return 0
    source, files = _split(paths, READERS)
    if not files and not scores:
        raise InputError("nothing to import: name a file, or see `observatory import --help`")
    table = _aliases(aliases)
    reports: list[ImportReport] = []
    errors: list[str] = []
    skipped: list[str] = []
    for path, explicit in _walk(files):
        _one(path, explicit, source, db, table, licence, layer_scale, reports, errors, skipped)
    if skipped and not reports and not errors and not scores:
        some = "no file is of a form that a reader knows: `observatory import --list` has them"
        raise InputError(f"{', '.join(map(str, files))}: of {len(skipped):,} {some}")
    added = _scores(db) if scores else None
    if json_:
        options.print_json({
            "files": [r.to_json() for r in reports], "errors": errors,
            "skipped": skipped, "shipped_scores_new": added,
        })  # fmt: skip
    else:
        _print(reports, skipped, added)
    for error in errors:
        click.echo(f"error: {error}", err=True)
    if errors:
        return 2
    return 1 if any(r.rejected for r in reports) else 0


def _list(readers: dict[str, tuple[str, str]], json_: bool) -> None:
    readers = {**readers, PUBLISHED: ("", "a folder that `observatory publish` wrote")}
    if json_:
        options.print_json({name: text for name, (_, text) in readers.items()})
        return
    print_table("", ["source", "reads"], [[name, text] for name, (_, text) in readers.items()])


def _split(paths: Sequence[str], known: dict[str, Any]) -> tuple[str | None, list[Path]]:
    """A first word that is a source and no file names the source."""
    if paths and paths[0] in known and not Path(paths[0]).exists():
        return paths[0], [Path(p) for p in paths[1:]]
    return None, [Path(p) for p in paths]


def _aliases(path: Path | None) -> Any:
    from observatory.capability.names import user_aliases

    return None if path is None else user_aliases(path)


def _walk(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """(file, whether it was named itself) in a fixed order; links in folders are not followed."""
    for path in paths:
        if not path.is_dir():
            yield path, True
            continue
        inside = sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink())
        if not inside or len(inside) > MAX_FILES:
            raise InputError(f"{path}: holds {len(inside)} files; between 1 and {MAX_FILES} please")
        yield from ((p, False) for p in inside)


def _one(
    path: Path,
    explicit: bool,
    source: str | None,
    db: str,
    aliases: Any,
    licence: str | None,
    layer_scale: float | None,
    reports: list[ImportReport],
    errors: list[str],
    skipped: list[str],
) -> None:
    from observatory.importers import registry
    from observatory.importers.reading import shown
    from observatory.importing import import_file

    if not explicit and source is None and registry.sniff(path) is None:
        skipped.append(str(path))
        return
    try:
        reports.append(import_file(db, path, source, aliases, licence, layer_scale))
    except InputError as error:
        errors.append(shown(str(error), MAX_MESSAGE_CHARS))


def _scores(db: str) -> int:
    from observatory.importing import import_scores

    return import_scores(db)


def _by_source(reports: Sequence[ImportReport]) -> list[list[ImportReport]]:
    groups: dict[str, list[ImportReport]] = {}
    for report in reports:
        groups.setdefault(report.source, []).append(report)
    return list(groups.values())


def _counts(r: ImportReport) -> tuple[int, ...]:
    return r.read, r.stored, r.rejected, r.values_new, r.scores_new, sum(r.flagged.values())


def _print(reports: Sequence[ImportReport], skipped: Sequence[str], added: int | None) -> None:
    from observatory.importers.reading import shown

    groups = [[r] for r in reports] if len(reports) <= SHOWN else _by_source(reports)
    rows = [
        [
            shortened(Path(group[0].path).name, 40) if len(group) == 1 else f"{len(group)} files",
            group[0].source,
            *(f"{sum(counts):,}" for counts in zip(*map(_counts, group), strict=True)),
        ]
        for group in groups
    ]
    if rows:
        print_table(
            "",
            ["file", "source", "#read", "#stored", "#rejected", "#new values", "#scores",
             "#flagged"],
            rows,
        )  # fmt: skip
    for report in reports:
        file = shown(Path(report.path).name)
        for row, reason in report.rejections:
            where = file if reason.startswith(f"{row} ") else f"{file} row {shortened(row, 60)}"
            click.echo(told(where, reason))
        if report.rejected > len(report.rejections):
            click.echo(f"… and {report.rejected - len(report.rejections)} more rejected rows")
    for tool, notice in sorted(
        {(r.tool, r.notes["notice"]) for r in reports if "notice" in r.notes}
    ):
        click.echo(told(tool, notice))
    flags = {rule: n for r in reports for rule, n in r.flagged.items()}
    if flags:
        click.echo(told("flagged", f"{', '.join(sorted(flags))}; `observatory audit` says why"))
    if skipped:
        click.echo(f"{len(skipped)} files passed over: no reader knows them")
    if added is not None:
        click.echo(f"{added:,} shipped capability scores added")
