"""The answer in one sentence: which configuration, at which cost, how sure, with which capability.

Pure: estimates in, Markdown out, every imported name escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboards.theme import text
from observatory.answers import Estimate
from observatory.footprint.comparison import Change
from observatory.units import show

#: bill -> quantity of `units`, in the order in which the sentence names them
BILLS = (("co2e_g", "co2e_g"), ("water_l", "water_l"), ("cost_usd", "cost_usd"))
WORDS = {"co2e_g": "", "water_l": " of water", "cost_usd": ""}


def cheapest(estimates: Sequence[Estimate]) -> Estimate:
    """The least joules where every configuration has them, else the least time."""
    if all(e.energy_j is not None for e in estimates):
        return min(estimates, key=lambda e: (e.energy_j or 0.0, e.runtime_s))
    return min(estimates, key=lambda e: e.runtime_s)


def answer(estimates: Sequence[Estimate]) -> str:
    """One sentence of Markdown about the cheapest of at least one estimate."""
    best = cheapest(estimates)
    head = f"**{text(best.model)}** on {text(best.configuration)} answers one request"
    if len(estimates) > 1:
        by_energy = all(e.energy_j is not None for e in estimates)
        least = "the least energy" if by_energy else "the least time"
        head = f"Of {len(estimates)} configurations, {head} with {least}:"
    else:
        head += " in"
    return f"{head} **{show(best.runtime_s, 'runtime_s')}**{_energy(best)}{_bills(best)}."


def doubts(estimates: Sequence[Estimate], change: Change | None = None) -> str:
    """What stands beside the claim: the runner-up, a faster one, extrapolation, capability.

    `change` is that of moving from the runner-up to the cheapest, on shared draws.
    """
    best = cheapest(estimates)
    said = []
    if change is not None:
        said.append(text(change.sentence))
    fastest = min(estimates, key=lambda e: e.runtime_s)
    if fastest.configuration_key != best.configuration_key:
        said.append(f"The fastest is {text(fastest.model)} on {text(fastest.configuration)}: "
                    f"{show(fastest.runtime_s, 'runtime_s')}.")  # fmt: skip
    if best.extrapolated:
        said.append(f"The request lies outside the measured range ({text(best.extrapolation)}).")
    if best.capability is None:
        said.append("What it can do is not known: the database holds no score of it.")
    else:
        said.append(f"Its capability: {text(best.capability)}.")
    return " ".join(said)


def runner_up(estimates: Sequence[Estimate]) -> Estimate | None:
    """The next cheapest with joules, where the cheapest was chosen by joules."""
    best = cheapest(estimates)
    others = [e for e in estimates if e.configuration_key != best.configuration_key]
    if not others or any(e.energy_j is None for e in estimates):
        return None
    return cheapest(others)


def _energy(e: Estimate) -> str:
    """The energy bill at the chosen boundary, or why there is none."""
    bills = [f.energy_wh for f in e.footprints]
    known = [b.value for b in bills if b.value is not None]
    if not known or len(known) < len(bills):
        reason = e.energy_reason or next((b.reason for b in bills if b.reason), None)
        return f" (energy unknown: {text(reason or 'not measured')})"
    low, high = min(known), max(known)
    shown = " to ".join(dict.fromkeys(show(wh, "energy_wh") for wh in (low, high)))
    boundary = e.footprints[0].boundary
    whole = "" if all(f.complete for f in e.footprints) else "at least "
    return f" and **{whole}{shown}** (boundary {boundary})"


def _bills(e: Estimate) -> str:
    """`, which is 1.2 mgCO2e and 20 mL of water in France`; the range over example zones."""
    parts = []
    for name, quantity in BILLS:
        values = [getattr(f, name).value for f in e.footprints]
        known = [v for v in values if v is not None]
        if not known or len(known) < len(values):
            continue
        shown = show(known[0], quantity)
        if len(known) > 1 and max(known) > min(known):
            low, high = (show(v, quantity) for v in (min(known), max(known)))
            shown = f"{low} to {high}"
        parts.append(f"{shown}{WORDS[name]}".replace("$", r"\$"))
    if not parts:
        return ""
    zones = [f.zone_name or "the stated numbers" for f in e.footprints]
    example = any(f.example for f in e.footprints)
    where = f"over the example zones {', '.join(zones)}" if example else f"in {zones[0]}"
    return f", which is {' and '.join(parts)} {text(where)}"


def evidence(best: Estimate, row: dict[str, Any] | None) -> str:
    """n, date, how the energy was seen and how far the fit can be trusted, in one line."""
    parts = []
    if row is not None:
        runs = f"{row['runs']:.0f} run{'s' if row['runs'] != 1 else ''}"
        parts.append(f"{row['windows']:.0f} windows from {row['processes']:.0f} processes in "
                     f"{runs}, last on {str(row['last_utc'])[:10]}")  # fmt: skip
    if best.energy_j is not None:
        parts.append(f"energy {best.energy_provenance} by {best.energy_method}, "
                     f"boundary {best.energy_boundary}")  # fmt: skip
    if best.error_rel is not None:
        parts.append(f"time ± {100 * best.error_rel:.2g} % ({best.error_basis})")
    if best.footprints:
        parts.append(f"factors {best.footprints[0].edition}")
    if best.weights == "random_weights":
        parts.append("random weights: time and energy are real, the text is not")
    return text(" · ".join(parts))
