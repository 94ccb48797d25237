"""Calibrations that come with the package, fitted on public measurements of four devices.

Made by `python -m tests.runtime.reference_rows`; a test refits them from the reference data.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path

from observatory.errors import InputError
from observatory.runtime.calibration import Calibration


@cache
def shipped() -> tuple[Calibration, ...]:
    """Every shipped calibration, in file order."""
    file = resources.files("observatory.catalog").joinpath("data/calibrations.json")
    return tuple(Calibration.from_dict(record) for record in json.loads(file.read_text("utf-8")))


def find(device: str, recipe: str | None = None) -> Calibration | None:
    """The shipped calibration of a device (and recipe); None where there is none."""
    for calibration in shipped():
        if calibration.device == device and recipe in (None, calibration.recipe):
            return calibration
    return None


def from_file(path: Path) -> list[Calibration]:
    """Calibrations of a JSON file, one record or a list. Raises InputError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the calibration {path}: {error}") from error
    records = found if isinstance(found, list) else [found]
    if not all(isinstance(record, dict) for record in records):
        raise InputError(f"{path} holds no calibration records")
    return [Calibration.from_dict(record) for record in records]
