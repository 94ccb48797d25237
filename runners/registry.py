"""Backends and sensors by name. A new one is one new file and one line in its table.

Code outside this package can add its own without touching it: the environment variables
`OBSERVATORY_BACKENDS` and `OBSERVATORY_SENSORS` hold `name=module:Class` entries, separated by
commas. Nothing is imported before it is used.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any, cast

from observatory.errors import InputError, UnknownNameError
from runners.backends.base import BACKENDS, Backend
from runners.sensors.base import SENSORS, Sensor

#: Importable packages that a backend cannot do without, and how to get them.
NEEDS: dict[str, tuple[tuple[str, ...], str]] = {
    "transformers": (("torch", "transformers"), "pip install 'inference-observatory[torch]'"),
}


def _table(own: dict[str, str], variable: str) -> dict[str, str]:
    extra = os.environ.get(variable, "")
    entries = [entry.partition("=") for entry in extra.split(",") if entry.strip()]
    for name, _, target in entries:
        if not name.strip() or ":" not in target:
            raise InputError(f"{variable}={extra!r}: expected name=module:Class")
    return own | {name.strip(): target.strip() for name, _, target in entries}


def backend_names() -> list[str]:
    """Every backend that can be asked for."""
    return list(_table(BACKENDS, "OBSERVATORY_BACKENDS"))


def _load(kind: str, table: dict[str, str], name: str) -> Any:
    if name not in table:
        raise UnknownNameError(kind, name, list(table), f"use one of {', '.join(table)}")
    module, _, attribute = table[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{kind} {name!r} cannot be loaded: {error}") from error


def make_backend(name: str) -> Backend:
    """A new backend, not yet loaded. Raises UnknownNameError, InputError."""
    return cast(Backend, _load("backend", _table(BACKENDS, "OBSERVATORY_BACKENDS"), name)())


def make_sensor(name: str) -> Sensor:
    """A new sensor, not yet open. Raises UnknownNameError, InputError."""
    return cast(Sensor, _load("sensor", _table(SENSORS, "OBSERVATORY_SENSORS"), name)())


def require_backend(name: str) -> None:
    """Raise InputError when the backend is unknown or what it needs is not installed."""
    if name not in backend_names():
        raise UnknownNameError("backend", name, backend_names())
    packages, remedy = NEEDS.get(name, ((), ""))
    missing = [p for p in packages if importlib.util.find_spec(p) is None]
    if missing:
        raise InputError(f"backend {name!r} needs {' and '.join(missing)}: {remedy}")
