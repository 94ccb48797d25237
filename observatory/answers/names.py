"""A configuration in words."""

from __future__ import annotations

from typing import Any


def label(row: dict[str, Any]) -> str:
    """A configuration in a few words: device, number format, threads, kernel, what else differs."""
    parts = [str(row["device_kind"])]
    if (row.get("device_count") or 1) > 1:
        parts[0] = f"{row['device_count']:.0f}× {parts[0]}"
    parts.append(str(row["dtype"]))
    if row.get("threads") is not None:
        parts.append(f"{row['threads']:.0f} thread{'s' if row['threads'] != 1 else ''}")
    parts.append(str(row["attention"]))
    usual = {"kv_cache": "dynamic", "compile_mode": "eager", "quantization": "none",
             "technique": "plain"}  # fmt: skip
    parts += [str(row[name]) for name, plain in usual.items() if row.get(name) not in (plain, None)]
    return ", ".join(parts)
