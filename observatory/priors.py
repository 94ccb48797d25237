"""What a store already knows about a model that was not measured yet: the planner's prior."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, select

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import Hardware
from observatory.catalog.weights import weight_format
from observatory.ceilings import Ceilings
from observatory.fitting import DEFAULT_RECIPE
from observatory.runtime.fit import Fit
from observatory.runtime.prior import (
    Prior,
    SeenScale,
    calibrated_prior,
    roofline_prior,
    seen_scale,
)
from observatory.store import schema


def planner_prior(
    engine: Engine | None,
    architecture: Architecture,
    hardware: Hardware,
    dtype: str,
    devices: int = 1,
    batch: int = 1,
    *,
    backend: str | None = None,
    quantization: str = "none",
) -> Prior:
    """The roofline of a model on a device, scaled by the fits that a store holds of that device.

    Fits count that share device, number format and quantization, and `backend` where it is given:
    other models, and earlier runs of this one. Without any (or with `engine` None) it is the plain
    roofline; `source` says which. Raises UnknownNameError for an unknown number format.
    """
    prior = roofline_prior(architecture, hardware, dtype, devices, batch)
    if engine is None:
        return prior
    with engine.connect() as connection:
        seen = stored_scales(connection, hardware, dtype, backend, quantization)
    return calibrated_prior(prior, seen, devices, float(architecture.active_matmul_parameters))


def stored_scales(
    connection: Connection,
    hardware: Hardware,
    dtype: str,
    backend: str | None = None,
    quantization: str = "none",
) -> list[SeenScale]:
    """How far from the roofline the stored fits of a device are, one for each configuration.

    Each is judged by the peaks of its own machine and thread count, as `Ceilings` finds them.
    """
    wanted = weight_format(dtype).name
    c, f = schema.configuration, schema.fit
    query = (
        select(f.c.configuration_key, f.c.environment_key, f.c.parameters, c.c.dtype)
        .join(c, f.c.configuration_key == c.c.key)
        .where(f.c.quantity == "runtime_s", f.c.recipe == DEFAULT_RECIPE)
        .where(c.c.quantization == quantization)
        .order_by(f.c.id)
    )
    if backend is not None:
        query = query.where(c.c.backend == backend)
    ceilings = Ceilings(connection)
    found: dict[tuple[str, str], SeenScale] = {}
    for row in connection.execute(query).mappings():
        key = str(row["configuration_key"]), str(row["environment_key"])
        ceiling = ceilings.of(*key)
        if ceiling is None or ceiling.hardware.name != hardware.name:
            continue
        if weight_format(ceiling.dtype).name != wanted:
            continue
        fitted = Fit.from_json(row["parameters"])
        scale = seen_scale(
            fitted, ceiling.architecture, ceiling.hardware, ceiling.dtype, ceiling.devices
        )
        if scale is not None:
            found[key] = scale
    return list(found.values())
