"""`observatory dashboard`: the pages in a browser. Streamlit runs as a process of its own."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path

import click

from observatory.errors import InputError
from observatory.verbs import numbers, options

LOCAL = ("127.0.0.1", "localhost", "::1")
INSTALL = "pip install 'inference-observatory[dashboard]'"


@click.command(name="dashboard")
@click.option(
    "--port",
    type=numbers.Whole(1, 65535),
    default=8501,
    show_default=True,
    help="Port to listen on.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Everyone who reaches it can read the database.",
)
@click.option("--browser", is_flag=True, help="Open a browser, too.")
@click.option("--published", is_flag=True, help="First load the published sets and shipped rows.")
@options.database
def command(port: int, host: str, browser: bool, published: bool, db: str) -> None:
    """Look at the database in a browser, until Ctrl-C. The database is opened read-only.

    No telemetry and no request to any other host, by the server or by the pages.
    """
    script = app_path()
    if published:
        _load_published(db)
    check_database(db)
    check_port(host, port)
    if host not in LOCAL:
        click.echo(f"note: everyone who reaches {host}:{port} can read this database", err=True)
    os.environ["OBSERVATORY_DB"] = absolute(db)
    command_line = streamlit_command(script, host, port, browser)
    # the process becomes Streamlit, so that signals and the exit code are Streamlit's
    os.execv(command_line[0], command_line)  # noqa: S606


def _load_published(db: str) -> None:
    """Fill the database with what is shipped; one that cannot be written is shown as it is."""
    from observatory.errors import ObservatoryError
    from observatory.verbs.published import import_published

    try:
        import_published([], db)
    except ObservatoryError as error:
        click.echo(f"note: the published sets were not loaded: {error}", err=True)


def app_path() -> Path:
    """`dashboards/app.py`, found without importing it. Raises InputError where it is not."""
    for package in ("streamlit", "plotly"):
        if importlib.util.find_spec(package) is None:
            raise InputError(f"the dashboard needs {package}, which is not installed: {INSTALL}")
    found = importlib.util.find_spec("dashboards")
    places = [] if found is None else list(found.submodule_search_locations or [])
    for place in places:
        script = Path(place) / "app.py"
        if script.is_file():
            return script
    raise InputError("the package dashboards is not installed: pip install inference-observatory")


def streamlit_command(script: Path, host: str, port: int, browser: bool = False) -> list[str]:
    """The command that serves `script`: no telemetry, no file watcher, local unless asked."""
    return [
        sys.executable, "-m", "streamlit", "run", str(script),
        "--server.address", host,
        "--server.port", str(port),
        "--server.headless", "false" if browser else "true",
        "--server.fileWatcherType", "none",
        "--browser.gatherUsageStats", "false",
        "--runner.magicEnabled", "false",
        "--client.toolbarMode", "minimal",
        "--client.showErrorDetails", "type",
    ]  # fmt: skip


def absolute(database: str) -> str:
    """A path that does not depend on the working directory; a URL as it is."""
    return database if "://" in database else str(Path(database).expanduser().resolve())


def check_database(database: str) -> None:
    """Raises DatabaseError for what is there and cannot be read. An absent file is no error: the
    page then says how to fill it."""
    from observatory.store.database import open_read_only

    if "://" not in database and not Path(database).expanduser().exists():
        click.echo(f"note: no database at {database} yet; the page says how to fill it", err=True)
        return
    open_read_only(database).dispose()


def check_port(host: str, port: int) -> None:
    """Raises InputError where `host`:`port` cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"cannot listen on {host}:{port} ({error.strerror}): give another --port or --host"
            ) from None
