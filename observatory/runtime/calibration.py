"""Calibration: what the plain roofline lacks, learned from measured rows of one device and stack.

Three recipes, all with non-negative parameters and every model given one vote:

* `single-stream` (requests of one client; METHOD §4): launch floors `L(c0 + c1[n>1])` per phase;
  prefill = 4-norm of its floor and `roofline/(e n^-g)` at the tile-rounded prompt; a decode step =
  the larger of its floor and `roofline/e`. Fitted on ln(time).
* `server` (decode steps of a batching server): `c0 + L(c1 + c2[n>1]) + B c3 + roofline/e +
  all-reduce/e_link`, linear, fitted by non-negative relative least squares.
* power of a device: `a + b MFU + c MBU`, the same way; energy = devices × power × time.

A parameter that the rows do not reach keeps its prior and is listed as `unidentified`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from observatory.errors import InputError, UnknownNameError
from observatory.records import content_hash
from observatory.runtime.calibration_rows import Columns, Floats

VERSION = 1
_NORM = 4
# Where unidentified parameters stay: orders of magnitude of the public A100 logs (METHOD §2.2).
_PRIOR = {
    "prefill_floor_s": 8e-4,
    "prefill_floor_parallel_s": 1e-4,
    "prefill_efficiency": 0.5,
    "parallel_loss": 0.1,
    "decode_floor_s": 8e-4,
    "decode_floor_parallel_s": 1e-4,
    "decode_efficiency": 0.8,
}
_RIDGE = 0.001  # keeps what rows do not tell at its prior, and moves nothing else
Parameters = Mapping[str, float]


@dataclass(frozen=True)
class Fitted:
    """Parameters of one recipe and those of them that the rows could not tell."""

    parameters: dict[str, float]
    unidentified: tuple[str, ...] = ()


def _single_stream_time(q: Parameters, rows: Columns) -> Floats:
    floor = rows.layers * (q["prefill_floor_s"] + q["prefill_floor_parallel_s"] * rows.multi)
    efficiency = q["prefill_efficiency"] * rows.devices ** -q["parallel_loss"]
    prefill = (floor**_NORM + (rows.prefill_s / efficiency) ** _NORM) ** (1 / _NORM)
    launch = rows.layers * (q["decode_floor_s"] + q["decode_floor_parallel_s"] * rows.multi)
    step = np.maximum(launch, rows.step_s / q["decode_efficiency"])
    read = np.where(rows.prefill_s > 0, prefill, 0.0)
    return np.asarray(read + rows.steps * step, dtype=float)


def _fit_single_stream(rows: Columns) -> Fitted:
    """Least squares on ln(time) over ln(parameters), with a weak pull to the prior."""
    from scipy.optimize import least_squares

    names = list(_PRIOR)
    prior = np.log([_PRIOR[name] for name in names])
    target, weight = np.log(rows.time_s), rows.weight
    ridge = _RIDGE * np.sqrt(len(np.unique(rows.group)))

    def residuals(x: Floats) -> Floats:
        q = dict(zip(names, np.exp(x), strict=True))
        data = weight * (np.log(_single_stream_time(q, rows)) - target)
        return np.concatenate([data, ridge * (x - prior)])

    # Efficiencies and the parallel exponent stay below 1, and no floor is near a second.
    solution = least_squares(
        residuals,
        prior,
        bounds=(prior - 12, np.zeros(len(names))),
        ftol=1e-12,
        xtol=1e-12,
        gtol=1e-12,
    )
    moved = np.linalg.norm(solution.jac[: len(rows)], axis=0)
    values = {name: float(v) for name, v in zip(names, np.exp(solution.x), strict=True)}
    # Where the rows pull hardly more than the prior does, they have not told the parameter.
    lost = tuple(n for n, slope in zip(names, moved, strict=True) if slope < 10 * ridge)
    return Fitted(values, lost)


_SERVER = ("step_s", "layer_s", "layer_parallel_s", "sequence_s", "roofline", "link")


def _server_matrix(rows: Columns) -> Floats:
    one = np.ones(len(rows))
    parallel = rows.layers * rows.multi
    parts = [one, rows.layers, parallel, rows.batch, rows.step_s, rows.step_sent_s]
    return np.stack(parts, axis=1)


def _nonnegative(
    matrix: Floats, target: Floats, weight: Floats, above: Floats | None = None
) -> Floats:
    """Non-negative relative least squares: minimise Σ w²((y' - Ax)/y)², y' = y or `above`."""
    from scipy.optimize import nnls

    scaled = matrix / target[:, None] * weight[:, None]
    size = np.linalg.norm(scaled, axis=0)
    size[size == 0] = 1
    wanted = weight if above is None else weight * above / target
    solution, _ = nnls(scaled / size, wanted)
    return np.asarray(solution / size, dtype=float)


def _fit_server(rows: Columns) -> Fitted:
    if (rows.steps != 1).any() or (rows.prefill_s > 0).any():
        raise InputError("the server recipe learns from decode steps, not whole requests")
    matrix = _server_matrix(rows)
    # No step beats its roofline: its coefficient is 1 and whatever it takes beyond.
    above = rows.time_s - rows.step_s
    solved = _nonnegative(matrix, rows.time_s, rows.weight, above)
    solved[_SERVER.index("roofline")] += 1
    lost = tuple(n for n, column in zip(_SERVER, matrix.T, strict=True) if not column.any())
    return Fitted(dict(zip(_SERVER, map(float, solved), strict=True)), lost)


def _server_time(q: Parameters, rows: Columns) -> Floats:
    solved = np.array([q[name] for name in _SERVER])
    return np.asarray(_server_matrix(rows) @ solved, dtype=float)


def server_parts(q: Parameters, rows: Columns) -> dict[str, Floats]:
    """A server step's seconds by cause: launches, per-sequence work, roofline, all-reduce."""
    shares = _server_matrix(rows) * np.array([q[name] for name in _SERVER])
    return {
        "launch": shares[:, :3].sum(axis=1),
        "scheduling": shares[:, 3],
        "roofline": shares[:, 4],
        "communication": shares[:, 5],
    }


@dataclass(frozen=True)
class Recipe:
    """How a time model is fitted and evaluated."""

    fit: Callable[[Columns], Fitted]
    time: Callable[[Parameters, Columns], Floats]


RECIPES = {
    "single-stream": Recipe(_fit_single_stream, _single_stream_time),
    "server": Recipe(_fit_server, _server_time),
}


def recipe(name: str) -> Recipe:
    """A recipe by name. Raises UnknownNameError."""
    if name not in RECIPES:
        raise UnknownNameError("calibration recipe", name, list(RECIPES), ", ".join(RECIPES))
    return RECIPES[name]


# ---------------------------------------------------------------------------------- power
_POWER = ("power_base_w", "power_compute_w", "power_memory_w")


def _use(rows: Columns, time_s: Floats) -> Floats:
    """Columns 1, MFU, MBU of rows that take `time_s`."""
    compute = rows.prefill_compute_s + rows.steps * rows.step_compute_s
    memory = rows.prefill_memory_s + rows.steps * rows.step_memory_s
    return np.stack([np.ones(len(rows)), compute / time_s, memory / time_s], axis=1)


def fit_power(rows: Columns) -> Fitted:
    """Power of one device against its utilisation. Raises InputError without measured power."""
    known = np.isfinite(rows.power_w)
    if not known.any():
        raise InputError("no row has a measured power: energy cannot be calibrated")
    kept = rows.take(known)
    solved = _nonnegative(_use(kept, kept.time_s), kept.power_w, kept.weight)
    return Fitted(dict(zip(_POWER, map(float, solved), strict=True)))


def power_w(q: Parameters, rows: Columns, time_s: Floats, limit_w: float | None) -> Floats:
    """Watts of one device while rows take `time_s`, never above the power limit."""
    watts = _use(rows, time_s) @ np.array([q[name] for name in _POWER])
    return np.asarray(np.minimum(watts, np.inf if limit_w is None else limit_w), dtype=float)


def energy_j(q: Parameters, rows: Columns, time_s: Floats, limit_w: float | None) -> Floats:
    """Joules of all devices over `time_s`."""
    return power_w(q, rows, time_s, limit_w) * rows.devices * time_s


# ---------------------------------------------------------------------------------- the record
@dataclass(frozen=True)
class Calibration:
    """A fitted recipe on one device, with its leave-one-model-out errors.

    spread: per model, the 90th percentile of |ln(predicted/measured)| while it was held out, of
    time and (where power was measured) of energy: what intervals are made of.
    """

    device: str
    recipe: str
    parameters: dict[str, float]
    unidentified: tuple[str, ...]
    rows: int
    error: dict[str, float]
    spread: dict[str, float]
    energy_error: dict[str, float]
    energy_spread: dict[str, float]
    source: str
    assumptions: tuple[str, ...] = ()
    version: int = VERSION

    @property
    def id(self) -> str:
        """Content hash: equal parameters, errors and sources give the equal id."""
        return f"cal-{content_hash(self.as_dict(), 12)}"

    @property
    def mean_error(self) -> float:
        """Mean over models of the held-out mean absolute relative error of time."""
        return float(np.mean(list(self.error.values())))

    @property
    def has_power(self) -> bool:
        """Whether energy was calibrated too."""
        return set(_POWER) <= set(self.parameters)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """The inverse of `as_dict`. Raises InputError on missing or unknown fields."""
        unknown = set(values) - set(cls.__dataclass_fields__)
        missing = set(cls.__dataclass_fields__) - set(values) - {"assumptions", "version"}
        if unknown or missing:
            raise InputError(
                f"calibration record: unknown {unknown or '-'}, missing {missing or '-'}"
            )
        listed = {key: tuple(values.get(key, ())) for key in ("unidentified", "assumptions")}
        return cls(**{**values, **listed})

    def time_s(self, rows: Columns) -> Floats:
        """Predicted seconds of rows."""
        return recipe(self.recipe).time(self.parameters, rows)

    def energy_j(self, rows: Columns, limit_w: float | None) -> Floats:
        """Predicted joules of rows. Raises InputError where power was not calibrated."""
        if not self.has_power:
            raise InputError(f"calibration {self.id} of {self.device} has no power model")
        return energy_j(self.parameters, rows, self.time_s(rows), limit_w)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
