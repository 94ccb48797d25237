"""The tables of `observatory route`: bills of each policy, and what each saves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from observatory.units import show, show_interval, significant
from observatory.verbs import billing
from observatory.verbs.tables import legend, print_table

if TYPE_CHECKING:
    from observatory.footprint.result import Bill
    from observatory.tradeoffs.routing_bills import RoutingBills, Saving

BILLS = {"energy_wh": "energy", "co2e_operational_g": "carbon", "water_l": "water",
         "cost_usd": "money"}  # fmt: skip


def print_bills(billed: Sequence[RoutingBills]) -> None:
    """For each scenario the bills an item, then the share saved in each bill."""
    for made in billed:
        marks, where = legend([p.name for p in made.policies])
        place = f"{made.zone or 'stated numbers'}{' (example)' if made.example else ''}"
        print_table(
            f"Bills per item in {place}",
            ["", "#quality", *(f"#{name}" for name in BILLS.values())],
            [[mark, _share(p.quality), *(_amount(p.bills[q], q) for q in BILLS)]
             for mark, p in zip(marks, made.policies, strict=True)],
            where,
        )  # fmt: skip
        print_table(
            f"Saved against {made.reference}, in {place}",
            ["", *(f"#{name}" for name in BILLS.values())],
            [[mark, *(_saved(p.saved[q]) for q in BILLS)]
             for mark, p in zip(marks, made.policies, strict=True)],
        )  # fmt: skip
        billing.print_lines(_notes(made))


def _amount(bill: Bill, quantity: str) -> str:
    unit = billing.unit_of(quantity)
    if bill.value is None:
        return show(None, unit)
    least = "≥ " if bill.lower_bound else ""
    if bill.low is None or bill.high is None or bill.high - bill.low <= 1e-9 * bill.value:
        return least + show(bill.value, unit, 2)
    return least + show_interval(bill.low, bill.value, bill.high, unit, 2)


def _share(bill: Bill) -> str:
    if bill.value is None or bill.low is None or bill.high is None:
        return "–"
    text = f"{100 * bill.value:.1f}"
    return f"{text} [{100 * bill.low:.0f}–{100 * bill.high:.0f}] %"


def _saved(saving: Saving) -> str:
    if saving.value is None or saving.low is None or saving.high is None:
        return "–"
    if saving.high - saving.low < 1e-9:
        return f"{significant(100 * saving.value)} %"
    low, high = (significant(100 * end, 2) for end in (saving.low, saving.high))
    return f"{significant(100 * saving.value, 2)} [{low} – {high}] %"


def _notes(made: RoutingBills) -> list[str]:
    lines = [
        f"value [p5 – p95] of the factors, of repeatability and of drawing {made.items} items; "
        f"boundary {made.boundary}, edition {made.edition}, carbon {made.kind or '–'}, money "
        f"{made.cost_basis or '–'}"
    ]
    for quantity, name in BILLS.items():
        reasons = dict.fromkeys(
            p.bills[quantity].reason for p in made.policies if p.bills[quantity].reason
        )
        lines += [f"{name}: – because {reason}" for reason in reasons]
    if made.lower_bound:
        lines.append(f"≥ {made.lower_bound}; what is saved is a share of the rest")
    return [*lines, *made.notes]
