"""What a store already knows about a model that was not measured yet: the planner's prior."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Engine, select

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import Hardware, lookup
from observatory.catalog.weights import WeightFormat, weight_format
from observatory.ceilings import Ceilings
from observatory.errors import UnknownNameError
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

MOST = 64  #: fits that are read, the latest; more that agree would teach nothing


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


def configuration_prior(
    engine: Engine, configuration_key: str, environment_key: str, batch: int = 1
) -> Prior | None:
    """`planner_prior` of a stored configuration, from fits of its own backend and quantization.

    None without peaks of its device or where the catalogue does not know its architecture.
    """
    c = schema.configuration
    query = select(c.c.backend, c.c.quantization).where(c.c.key == configuration_key)
    with engine.connect() as connection:
        ceiling = Ceilings(connection).of(configuration_key, environment_key)
        backend, quantization = connection.execute(query).one()
    if ceiling is None:
        return None
    return planner_prior(
        engine, ceiling.architecture, ceiling.hardware, ceiling.dtype, ceiling.devices, batch,
        backend=str(backend), quantization=str(quantization),
    )  # fmt: skip


def stored_scales(
    connection: Connection,
    hardware: Hardware,
    dtype: str,
    backend: str | None = None,
    quantization: str = "none",
) -> list[SeenScale]:
    """How far from the roofline the latest fits of a device are, one for each configuration.

    Each is judged by the peaks of its own machine and thread count, as `Ceilings` finds them.
    """
    wanted = weight_format(dtype)
    c, f = schema.configuration, schema.fit
    kinds = [kind for kind in _distinct(connection, c.c.device_kind) if _is(kind, hardware)]
    dtypes = [name for name in _distinct(connection, c.c.dtype) if _format(name) == wanted]
    query = (
        select(f.c.configuration_key, f.c.environment_key, f.c.parameters)
        .join(c, f.c.configuration_key == c.c.key)
        .where(f.c.quantity == "runtime_s", f.c.recipe == DEFAULT_RECIPE)
        .where(c.c.quantization == quantization)
        .where(c.c.device_kind.in_(kinds), c.c.dtype.in_(dtypes))
        .order_by(f.c.id.desc())
        .limit(MOST)
    )
    if backend is not None:
        query = query.where(c.c.backend == backend)
    rows = connection.execute(query).mappings().all()
    ceilings = Ceilings(connection, {str(row["configuration_key"]) for row in rows})
    found: list[SeenScale] = []
    for row in rows:
        ceiling = ceilings.of(str(row["configuration_key"]), str(row["environment_key"]))
        if ceiling is None:
            continue
        scale = seen_scale(
            Fit.from_json(row["parameters"]), ceiling.architecture, ceiling.hardware,
            ceiling.dtype, ceiling.devices,
        )  # fmt: skip
        if scale is not None:
            found.append(scale)
    return found


def _distinct(connection: Connection, column: Column[str]) -> list[str]:
    return list(map(str, connection.execute(select(column).distinct()).scalars()))


def _is(kind: str, hardware: Hardware) -> bool:
    """Whether a device's name in the store, its own or its driver's, means this hardware."""
    if kind == hardware.name:
        return True
    try:
        return lookup(kind).name == hardware.name
    except UnknownNameError:
        return False


def _format(dtype: str) -> WeightFormat | None:
    try:
        return weight_format(dtype)
    except UnknownNameError:
        return None
