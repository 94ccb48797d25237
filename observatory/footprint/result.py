"""What a footprint is: bills with intervals, and everything needed to read them rightly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from observatory.footprint.energy import EnergyInput

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
    """One amount: the value at the median of every input, p5, p95 and p50; or a reason."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    p50: float | None = None
    reason: str | None = None

    @property
    def mid(self) -> float | None:
        """The value; beside `low` and `high`."""
        return self.value

    def scaled(self, factor: float) -> Bill:
        """The same bill for `factor` times the work."""
        if self.value is None or self.low is None or self.high is None or self.p50 is None:
            return self
        low, high, p50 = (factor * x for x in (self.low, self.high, self.p50))
        return Bill(factor * self.value, low, high, p50)


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
    return {"value": bill.value, "p5": bill.low, "p50": bill.p50, "p95": bill.high}
