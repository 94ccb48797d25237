"""What a footprint is: bills with intervals, and everything needed to read them rightly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from observatory.footprint.energy import EnergyInput
from observatory.units import show, show_interval

#: billed quantities, in the order of tables
QUANTITIES = (
    "energy_wh",
    "co2e_operational_g",
    "co2e_embodied_g",
    "co2e_total_g",
    "water_on_site_l",
    "water_off_site_l",
    "water_l",
    "water_withdrawal_l",
    "water_scarcity_l",
)
#: cost basis -> quantity, in the order in which the headline is chosen
COST_NAMES = {
    "own": "cost_own_usd",
    "cloud": "cost_cloud_usd",
    "api": "cost_api_usd",
    "electricity": "cost_electricity_usd",
}
UNITS_OF = {"energy_wh": "Wh", "co2e": "gCO2e", "water": "L", "cost": "USD"}


@dataclass(frozen=True, slots=True)
class Bill:
    """One amount: the value at the median of every input, p5, p95 and p50; or a reason.

    `lower_bound`: it rests on joules that leave out a part of what the boundary holds.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    p50: float | None = None
    reason: str | None = None
    lower_bound: bool = False

    @property
    def mid(self) -> float | None:
        """The value; beside `low` and `high`."""
        return self.value

    def scaled(self, factor: float) -> Bill:
        """The same bill for `factor` times the work."""
        if self.value is None or self.low is None or self.high is None or self.p50 is None:
            return self
        low, high, p50 = (factor * x for x in (self.low, self.high, self.p50))
        return replace(self, value=factor * self.value, low=low, high=high, p50=p50)

    def shown(self, quantity: str, like: float | None = None) -> str:
        """`value [p5–p95] unit`, the value alone where it is exact, `≥` before a lower bound; a
        dash where it is missing. `quantity` and `like` as in `units.show`."""
        if self.value is None or self.low is None or self.high is None:
            return show(self.value, quantity, like=like)
        text = show_interval(*self.bounds, quantity, like=like)
        return f"≥ {text}" if self.lower_bound else text

    @property
    def bounds(self) -> tuple[float | None, float | None, float | None]:
        """(p5, value, p95); the value alone where it is exact."""
        if self.value is None or self.low is None or self.high is None:
            return None, self.value, None
        exact = self.high - self.low <= 1e-9 * abs(self.value)
        return (None, self.value, None) if exact else (self.low, self.value, self.high)


@dataclass(frozen=True, slots=True)
class Choice:
    """What one bill would be under another choice: a number of its own, not part of an interval."""

    choice: str  #: `boundary`, `hydro rule` or `kind`
    option: str
    quantity: str
    value: float


@dataclass(frozen=True, slots=True)
class Footprint:
    """The bills of one request in one scenario. Units stand in the names.

    `co2e_g` is operational carbon, which every row has; embodied and total stand beside it.
    `complete` is False where energy inside the boundary was not measured: then it is a lower bound.
    """

    energy_wh: Bill
    co2e_operational_g: Bill
    co2e_embodied_g: Bill
    co2e_total_g: Bill
    water_on_site_l: Bill
    water_off_site_l: Bill
    water_l: Bill
    water_withdrawal_l: Bill
    water_scarcity_l: Bill
    cost_usd: Bill
    costs: Mapping[str, Bill]
    cost_basis: str | None
    boundary: str
    covers: tuple[str, ...]
    complete: bool
    zone: str | None
    zone_name: str | None
    edition: str
    kind: str | None
    provenance: str
    method: str
    hydro_rule: str
    factor_ids: tuple[str, ...]
    assumed: tuple[str, ...]
    notes: tuple[str, ...]
    scenario_key: str
    label: str = ""
    example: bool = False
    leaves_out: tuple[str, ...] = ()  #: parts of the boundary that were not measured
    draws: int = 0
    seed: int = 0
    variance_shares: Mapping[str, tuple[tuple[str, float], ...]] = field(default_factory=dict)
    layers: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    energy: EnergyInput | None = None  #: the request that was billed

    @property
    def co2e_g(self) -> Bill:
        """Operational carbon."""
        return self.co2e_operational_g

    @property
    def lower_bound(self) -> str | None:
        """What the energy leaves out, as every page and table says it; None where it is whole."""
        return lower_bound([self])

    def bills(self) -> dict[str, Bill]:
        """Quantity -> bill, cost last."""
        return {name: getattr(self, name) for name in (*QUANTITIES, "cost_usd")}

    def per(self, work: float) -> dict[str, Bill]:
        """Bills for another unit of work: `per(1000)` for 1000 requests, `per(1/o)` per output
        token, `per(1/accuracy)` per correct answer."""
        return {name: bill.scaled(work) for name, bill in self.bills().items()}

    def row(self) -> dict[str, Any]:
        """One flat row for a table: `x`, `x_low`, `x_high` a quantity, then what qualifies them."""
        out: dict[str, Any] = {"label": self.label or None}
        for name, bill in self.bills().items():
            out |= {name: bill.value, f"{name}_low": bill.low, f"{name}_high": bill.high}
        out["cost_reason"] = self.cost_usd.reason
        for name in ("cost_basis", "boundary", "complete", "zone", "kind", "edition", "method",
                     "provenance", "hydro_rule", "example", "scenario_key"):  # fmt: skip
            out[name] = getattr(self, name)
        out["covers"] = "+".join(self.covers)
        out["lower_bound"] = self.lower_bound
        out["assumed"] = ",".join(self.assumed) or None
        return out

    def to_json(self) -> dict[str, Any]:
        """Nested plain values: bills as objects, everything else by name."""
        out: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Bill):
                out[f.name] = bill_json(value)
            elif f.name == "costs":
                out[f.name] = {base: bill_json(bill) for base, bill in value.items()}
            elif f.name == "energy":
                out["request"] = None if value is None else asdict(value)
            elif f.name == "choices":
                out[f.name] = [asdict(choice) for choice in value]
            elif f.name == "variance_shares":
                out[f.name] = {k: [list(pair) for pair in v] for k, v in value.items()}
            else:
                out[f.name] = list(value) if isinstance(value, tuple) else value
        out["layers"] = {name: list(band) for name, band in self.layers.items()}
        return out


def bill_json(bill: Bill) -> dict[str, float | str | None]:
    """A bill as plain values; a missing one carries its reason."""
    if bill.value is None:
        return {"value": None, "reason": bill.reason}
    return {"value": bill.value, "p5": bill.low, "p50": bill.p50, "p95": bill.high,
            "lower_bound": bill.lower_bound}  # fmt: skip


def lower_bound(made: Iterable[Footprint]) -> str | None:
    """The sentence for bills that stand together; None where none of them is a lower bound."""
    known = [m for m in made if m.energy_wh.value is not None]
    return lower_bound_of((m.energy.device if m.energy else None, m.leaves_out) for m in known)


def lower_bound_of(parts: Iterable[tuple[str | None, tuple[str, ...]]]) -> str | None:
    """As `lower_bound`, of pairs of a device and what its energy leaves out.

    Devices whose energy covers different parts are told apart: a difference between them is not
    one of the models alone.
    """
    devices: dict[tuple[str, ...], dict[str, None]] = {}
    for device, left in parts:
        devices.setdefault(left, {})[device or "unnamed device"] = None
    if not any(devices):
        return None
    if len(devices) == 1:
        return f"lower bound: energy leaves out {', '.join(next(iter(devices)))}"
    said = "; ".join(
        f"{', '.join(left) or 'nothing'} ({', '.join(names)})" for left, names in devices.items()
    )
    return (
        f"lower bound: energy leaves out {said}: a difference between these contains the parts "
        "that only one has"
    )
