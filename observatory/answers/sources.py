"""What others reported: the files it came from, with licence and address, and which models."""

from __future__ import annotations

import pandas as pd
from sqlalchemy import Engine, distinct, func, select

from observatory.store import reader, schema


def sources(engine: Engine) -> pd.DataFrame:
    """Imported files, one a row: tool, licence, rows, models, devices, address."""
    s, r = schema.source, schema.reported
    counted = (
        select(
            r.c.source_key,
            func.count(distinct(r.c.model_name)).label("models"),
            func.count(distinct(r.c.device_kind)).label("devices"),
        )
        .group_by(r.c.source_key)
        .subquery()
    )
    query = (
        select(
            s.c.tool, s.c.licence, s.c.rows_stored, counted.c.models, counted.c.devices, s.c.url,
            s.c.name, s.c.tool_version, s.c.rows_rejected, s.c.retrieved_utc, s.c.imported_utc,
        )
        .join(counted, counted.c.source_key == s.c.key)
        .order_by(s.c.tool, s.c.name)
    )  # fmt: skip
    return reader.frame(engine, query)


def reported_models(engine: Engine) -> pd.DataFrame:
    """`model`: the names, as their sources write them, of the models that others measured."""
    query = select(schema.reported.c.model_name.label("model")).distinct().order_by("model")
    return reader.frame(engine, query)
