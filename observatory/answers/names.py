"""A configuration in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_USUAL = {
    "kv_cache": "dynamic", "compile_mode": "eager", "quantization": "none", "technique": "plain",
}  # fmt: skip
FACTS = ("device_kind", "device_count", "dtype", "threads", "attention", *_USUAL)


def label(row: Mapping[str, Any]) -> str:
    """A configuration in a few words: device, number format, threads, kernel, what else differs."""
    parts = [str(row["device_kind"])]
    if (row.get("device_count") or 1) > 1:
        parts[0] = f"{row['device_count']:.0f}× {parts[0]}"
    parts.append(str(row["dtype"]))
    if row.get("threads") is not None:
        parts.append(f"{row['threads']:.0f} thread{'s' if row['threads'] != 1 else ''}")
    parts.append(str(row["attention"]))
    parts += [
        str(row[name]) for name, plain in _USUAL.items() if row.get(name) not in (plain, None)
    ]
    return ", ".join(parts)


def labels(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """`label` of every row of a table given by columns; equal stacks are worded once."""
    known: dict[tuple[Any, ...], str] = {}
    found = []
    for facts in zip(*(columns[name] for name in FACTS), strict=True):
        if facts not in known:
            plain = [None if value != value else value for value in facts]  # NaN is missing
            known[facts] = label(dict(zip(FACTS, plain, strict=True)))
        found.append(known[facts])
    return found
