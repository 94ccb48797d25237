"""Opening a store: URL or path, migrated on the way in, read-only on request.

SQLite runs in WAL mode with foreign keys on. A store written by a newer version of this package is
refused, and so is a file that is no store: in one line, with nothing changed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Executable, create_engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from observatory.errors import DatabaseError

DEFAULT_DATABASE = Path("results") / "observatory.db"
_MAGIC = b"SQLite format 3\x00"
#: How long a locked SQLite file is waited for when it is opened, and by a reader: somebody waits.
OPENING_MS = 5_000
#: By a writer that has begun: the windows of a run must not be lost to another's long import.
WRITING_MS = 30_000


def parse_url(database: str | Path) -> URL:
    """A SQLAlchemy URL from a path (`results/observatory.db`) or URL (`postgresql://…`).

    Raises DatabaseError for a URL that names no known database.
    """
    given = str(database)
    if "://" not in given:
        return URL.create("sqlite", database=str(Path(given).expanduser()))
    try:
        url = make_url(given)
    except ArgumentError:
        raise DatabaseError(
            "the database URL cannot be read: give a path or scheme://user@host/name"
        ) from None
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise DatabaseError(
            f"database scheme {url.drivername!r} is not supported: use a SQLite path or postgresql://"
        )
    return url


def shown(database: str | Path) -> str:
    """The database as it may be printed: a path, or a URL with its password hidden."""
    url = parse_url(database)
    return str(url.database) if _is_sqlite(url) else url.render_as_string(hide_password=True)


def open_database(database: str | Path) -> Engine:
    """Open for writing: created where absent, migrated where old.

    Raises DatabaseError for an unwritable path, a file that is not SQLite, a database of another
    program, and a schema newer than this package.
    """
    url = parse_url(database)
    if _is_sqlite(url):
        _check_file(url)
        _check_writable(Path(str(url.database)))
    before = _engine(url, read_only=True)  # a refused file must not even change its journal mode
    if not _is_sqlite(url) or Path(str(url.database)).exists():
        with _readable_errors(url), before.connect() as connection:
            _refuse_foreign(connection, url)
        before.dispose()
    engine = _engine(url)
    if _is_sqlite(url):
        _check_free(engine, url)
    with _readable_errors(url), engine.begin() as connection:
        _migrate(connection)
    return engine


def open_read_only(database: str | Path) -> Engine:
    """Open without the right to write. Raises DatabaseError where it is absent, not ours or old.

    SQLite is opened with `mode=ro`; on PostgreSQL every transaction is read-only.
    """
    url = parse_url(database)
    if _is_sqlite(url):
        path = Path(str(url.database))
        if not path.exists():
            raise DatabaseError(f"no database at {path}: run `run-benchmark` first, or give --db")
        _check_file(url)
        engine = _engine(url, read_only=True)
    else:
        engine = _engine(url, read_only=True)
    with _readable_errors(url), engine.connect() as connection:
        _refuse_foreign(connection, url)
        current = _revision(connection)
        if current != _head():
            raise DatabaseError(
                f"{shown(database)} has schema {current or 'none'}, this version reads {_head()}: "
                "open it once with a command that writes (such as `observatory derive`)"
            )
    return engine


def data_version(engine: Engine) -> str:
    """A token that changes whenever facts or derived rows changed; cheap enough for every page."""
    from sqlalchemy import func, select

    from observatory.store import schema

    r, c = schema.run.c, schema.cell.c
    facts = (  # windows are only ever added: no need to count a million of them
        select(func.max(schema.window.c.id)),
        select(func.count(), func.max(r.ended_utc), func.max(r.started_utc)),
        select(func.max(c.id)),
    )
    with engine.connect() as connection:
        known = [str(tuple(connection.execute(query).one())) for query in facts]
    return "-".join([*known, derived_version(engine)])


def derived_version(engine: Engine) -> str:
    """A token that changes whenever what is derived from facts changed: summaries, fits, bills, and
    imported rows and scores beside them. A window that a run just wrote changes nothing here.

    Row numbers of a table that is made again can come out equal, so contents are added up too.
    """
    from sqlalchemy import func, select

    from observatory.store import schema

    s, f = schema.summary.c, schema.fit.c
    queries: list[Executable] = [
        select(func.count(), func.max(table.c.id))
        for table in (schema.estimate, schema.reported, schema.capability)
    ]
    queries.append(select(func.count(), func.max(s.id), func.sum(s.n_windows),
                          func.sum(s.runtime_s), func.sum(s.energy_j)))  # fmt: skip
    queries.append(select(func.count(), func.max(f.id), func.sum(f.mape), func.sum(f.n_points)))
    with engine.connect() as connection:
        return "-".join(str(tuple(connection.execute(query).one())) for query in queries)


def change_counter(engine: Engine) -> Callable[[], str | None]:
    """A function that tells, at next to no cost, whether anybody committed since it last said so.

    Equal answers mean an unchanged database; None means that the database cannot tell (PostgreSQL).
    On SQLite it holds one connection, without a transaction.
    """
    if engine.dialect.name != "sqlite":
        return lambda: None
    connection, lock = engine.connect(), threading.Lock()

    def count() -> str:
        with lock:
            said = connection.exec_driver_sql("PRAGMA data_version").scalar()
            connection.rollback()
        return str(said)

    return count


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _engine(url: URL, read_only: bool = False) -> Engine:
    try:
        if _is_sqlite(url):
            return _sqlite_engine(url, read_only)
        options = {"options": "-c default_transaction_read_only=on"} if read_only else {}
        return create_engine(url, connect_args=options, pool_pre_ping=True)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise DatabaseError(
            f"no driver for {url.get_backend_name()} ({error}): "
            "pip install 'inference-observatory[postgresql]'"
        ) from None


def _sqlite_engine(url: URL, read_only: bool) -> Engine:
    if read_only:
        path = Path(str(url.database)).resolve()
        uri = URL.create(
            "sqlite", database=f"file:{path}", query={"mode": "ro", "uri": "true"}
        )  # fmt: skip
        engine = create_engine(uri)

        @event.listens_for(engine, "do_connect")
        def _unmoved(_dialect: Any, _record: object, arguments: list[Any], _options: Any) -> None:
            if _is_still(path):
                arguments[0] += "&immutable=1"
    else:
        engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={OPENING_MS if read_only else WRITING_MS}")
        cursor.execute("PRAGMA foreign_keys=ON")
        if read_only:
            cursor.execute("PRAGMA query_only=ON")
        else:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    return engine


def _is_still(path: Path) -> bool:
    """Whether nobody can be writing: the folder is closed to us and no journal is in it.

    To read a database in WAL mode SQLite makes files beside it, which a folder without the right to
    write (a share, a read-only disk, an image) refuses; `immutable=1` reads without them.
    """
    journal = path.with_name(f"{path.name}-wal")
    return not os.access(path.parent, os.W_OK) and not journal.exists()


def _check_file(url: URL) -> None:
    path = Path(str(url.database))
    if path.is_dir():
        raise DatabaseError(f"{path} is a folder: give a file name for the database")
    if path.exists() and path.stat().st_size > 0:
        with path.open("rb") as stream:
            head = stream.read(len(_MAGIC))
        if head != _MAGIC:
            raise DatabaseError(f"{path} is not a SQLite database: give another --db")


def _check_free(engine: Engine, url: URL) -> None:
    """Raise DatabaseError where another program is writing and does not end soon."""
    with _readable_errors(url), engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={OPENING_MS}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.rollback()
        connection.exec_driver_sql(f"PRAGMA busy_timeout={WRITING_MS}")


def _check_writable(path: Path) -> None:
    if path.exists():
        if not os.access(path, os.W_OK):
            raise DatabaseError(f"{path} is not writable: change its permissions or give --db")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(f"cannot create {path.parent}: {error.strerror}") from None
    if not os.access(path.parent, os.W_OK):
        raise DatabaseError(f"{path.parent} is not writable: give --db another place")


@contextmanager
def _readable_errors(url: URL) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        where = url.render_as_string(hide_password=True)
        reason = " ".join(str(error.orig).split())
        if "locked" in reason:
            reason += ": another program is using it; wait for it, or end it"
        raise DatabaseError(f"cannot use the database {where}: {reason}") from None


def _config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _script() -> Any:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())


def _head() -> str:
    return str(_script().get_current_head())


def _revision(connection: Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def _refuse_foreign(connection: Connection, url: URL) -> None:
    name = url.render_as_string(hide_password=True)
    tables = set(inspect(connection).get_table_names())
    if tables and "alembic_version" not in tables:
        raise DatabaseError(f"{name} belongs to another program: give another --db")
    current = _revision(connection) if tables else None
    known = {script.revision for script in _script().walk_revisions()}
    if current is not None and current not in known:
        raise DatabaseError(
            f"{name} has schema {current}, newer than this version ({_head()}): "
            "upgrade inference-observatory, or give another --db"
        )


def _migrate(connection: Connection) -> None:
    from alembic import command

    from observatory.store.views import create_views, drop_views

    if _revision(connection) == _head():
        return
    drop_views(connection)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    create_views(connection)
