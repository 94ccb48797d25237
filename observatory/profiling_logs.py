"""Profiling logs of others, in a file or in the store: their points, ready to be fitted.

The points of one file, one launch and one layer scale are one log. A log says nothing of its
device, so two files never mix, however alike their launches.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sqlalchemy import Connection, select

from observatory.importers.helm_logs import DTYPES, TOOL, parse, shape_name
from observatory.runtime.observations import Observation
from observatory.store import reader, schema

_LOG = ["source_key", "model_name", "device_count", "dtype", "batch", "layer_scale"]


@dataclass(frozen=True)
class ProfilingLog:
    """One configuration of one log; `source_key` is empty where it was not imported.

    `name` is the file's, without its ending; `layer_scale` multiplied the times of a model that
    was profiled with `profiled_layers` of its layers.
    """

    source_key: str
    file: str
    name: str
    model: str
    devices: int
    dtype: str | None
    batch: int
    layer_scale: float
    profiled_layers: int | None
    observations: tuple[Observation, ...]

    @property
    def words(self) -> str:
        """What ran it, as far as a log tells."""
        devices = f"{self.devices} device{'s' if self.devices > 1 else ''}"
        scale = f", {self.profiled_layers} layers × {self.layer_scale:g}"
        return (
            f"{self.file}: {devices}, {self.dtype or 'unknown dtype'}"
            f"{'' if self.layer_scale == 1 else scale}"
        )


def read_logs(
    path: Path, layer_scale: float = 1.0
) -> tuple[list[ProfilingLog], tuple[tuple[int, str], ...]]:
    """Logs of a file, and the lines that cannot be used. Raises InputError as `parse` does."""
    parsed = parse(path, layer_scale)
    found = []
    for launch in parsed.launches:
        batch = launch.whole("micro_batch_size") or 1
        points = tuple(
            Observation(p.prompt_tokens, p.output_tokens, batch, p.runtime_s, "e2e", p.std_s)
            for p in launch.points.values()
        )
        if points:
            found.append(
                ProfilingLog(
                    "", path.name, path.stem, shape_name(launch, layer_scale), launch.devices,
                    DTYPES.get(launch.arguments.get("params_dtype", "")), batch, layer_scale,
                    launch.whole("num_layers"), points,
                )
            )  # fmt: skip
    return found, parsed.broken


def stored_logs(connection: Connection) -> list[ProfilingLog]:
    """Every log in the store, rows left out that the audit excludes; by file, then by launch."""
    s = schema.source
    keys = connection.execute(select(s.c.key).where(s.c.tool == TOOL)).scalars().all()
    if not keys:
        return []
    rows = reader.reported(connection, keys)
    rows = rows[(rows["quantity"] == "runtime_s") & rows["value"].notna()]
    rows = rows.assign(layer_scale=[float(e.get("layer_scale", 1.0)) for e in rows["extra"]])
    found = [_log(group) for _, group in rows.groupby(_LOG, dropna=False, sort=False)]
    return sorted(found, key=lambda log: (log.file, log.model, log.devices, log.source_key))


def _log(group: pd.DataFrame) -> ProfilingLog:
    first = group.iloc[0]
    batch = int(first["batch"])
    columns = ("prompt_tokens", "output_tokens", "value", "std")
    points = tuple(
        Observation(int(p), int(o), batch, float(s), "e2e", None if pd.isna(spread) else spread)
        for p, o, s, spread in zip(*(group[name] for name in columns), strict=True)
    )
    file = str(first["extra"].get("file") or first["source_name"])
    layers = first["extra"].get("profiled_layers")
    return ProfilingLog(
        str(first["source_key"]), file, Path(file).stem, str(first["model_name"]),
        int(first["device_count"]), first["dtype"] or None, batch, float(first["layer_scale"]),
        None if layers is None else int(layers), points,
    )  # fmt: skip
