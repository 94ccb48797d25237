"""How NVIDIA's power sensors behave: update period and averaging window by architecture and driver.

No inference results: rows describe a sensor, and no cost is taken from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from observatory.importers.facts import MS, Common
from observatory.importers.reading import (
    Reading,
    Row,
    csv_rows,
    each,
    extras,
    header,
    name_of,
    number,
    words,
)

TOOL, LICENCE = "NVML sensor survey", "MIT"
COLUMNS = ("architecture", "driver", "nvidia_smi_field", "kind", "update_period_ms")


def sniff(path: Path) -> bool:
    """A CSV with these columns."""
    return set(COLUMNS) <= set(header(path))


def read(path: Path) -> Reading:
    """One row a sensor. Raises InputError where the file is unreadable."""
    rows = each(csv_rows(path, COLUMNS), _row)
    return Reading(TOOL, rows, None, LICENCE, "https://arxiv.org/abs/2312.02741")


def _row(key: str, raw: Any) -> Row:
    field = name_of(raw, "nvidia_smi_field")
    common = Common(
        row=key,
        model_name=f"sensor {field}",
        phase="sensor",
        work_unit="sample",
        device_kind=name_of(raw, "architecture"),
        backend=f"driver {words(raw, 'driver') or '?'}",
        extra=extras(raw, ("kind", "fraction_of_time_sampled")),
    )
    period = number(raw, "update_period_ms", MS)
    window = number(raw, "averaging_window_ms", MS)
    reason = None if period is not None else f"the source says {words(raw, 'kind') or 'unknown'}"
    made = [common.fact("update_period_s", period, "sample", reason=reason)]
    if window is not None:
        made.append(common.fact("averaging_window_s", window, "sample"))
    return Row(key, tuple(made))
