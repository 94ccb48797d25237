"""One generated sentence that answers first, from estimates of one request: who, what, how sure.

Terminal and dashboard print the same sentence. It never claims more than the errors allow: another
configuration is called slower only where it is so in 95 % of the draws, as `compare` has it.
Intervals that overlap do not make two configurations equal, and are not asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from observatory.answers import Estimate
from observatory.footprint import EnergyInput, Footprint
from observatory.footprint.comparison import probability
from observatory.footprint.energy import J_PER_WH
from observatory.footprint.uncertainty import DRAWS, Comparison, busy_draws, compare_draws
from observatory.units import largest, show, show_interval


def headline(found: Sequence[Estimate]) -> str:
    """The answer in words. Raises ValueError for no estimates."""
    if not found:
        raise ValueError("no estimates to speak of")
    ranked = sorted(found, key=lambda e: e.runtime_s)
    first = ranked[0]
    parts = [
        f"A request of {first.prompt_tokens} prompt and {first.output_tokens} output tokens"
        f"{f' in a batch of {first.batch}' if first.batch > 1 else ''} takes {_name(first, found)} "
        f"{show_interval(first.runtime_low_s, first.runtime_s, first.runtime_high_s, 'runtime_s')}"
        f" on {first.device}{_against(ranked)}"
    ]
    parts.append(_joules(first))
    parts.append(_left_out(first))
    parts.append(_worth(first))
    if first.extrapolated:
        parts.append("This lies outside the measured range")
    return ". ".join(p for p in parts if p) + "."


def _name(e: Estimate, found: Sequence[Estimate]) -> str:
    several = sum(other.model == e.model for other in found) > 1
    return f"{e.model} ({e.configuration})" if several else e.model


def _against(ranked: Sequence[Estimate]) -> str:
    if len(ranked) < 2:
        return ""
    first, second = ranked[0], ranked[1]
    ratio = second.runtime_s / first.runtime_s
    name = _name(second, ranked)
    if first.error_rel is None or second.error_rel is None:
        return f"; {name} takes {ratio:.2f} times as long (no interval)"
    compared = faster(first, second)
    slower = f"P(slower) {probability(compared.p_less)}"
    if compared.verdict == "A is lower":
        return f", and {name} {ratio:.2f} times as long ({slower})"
    return f", and {name} perhaps {ratio:.2f} times as long ({slower}, undecided)"


def faster(a: Estimate, b: Estimate) -> Comparison:
    """How the runtime of `a` stands to that of `b`, each with its own error."""
    timed = [
        EnergyInput(
            busy_s=e.runtime_s, busy_error_rel=e.error_rel,
            label=f"{e.configuration_key}/{e.environment_key}",
        )
        for e in (a, b)
    ]  # fmt: skip
    left, right = (
        np.broadcast_to(e.runtime_s * busy_draws(own), (DRAWS,))
        for e, own in zip((a, b), timed, strict=True)
    )
    return compare_draws(left, right)


def _joules(e: Estimate) -> str:
    if e.energy_j is None:
        return f"Its energy is unknown: {e.energy_reason}"
    said = "costs" if e.energy_provenance == "measured" else f"costs an {e.energy_provenance}"
    amount = f"It {said} {show(e.energy_j, 'energy_j')} at the boundary {e.energy_boundary}"
    made = [f for f in e.footprints if f.energy_wh.value is not None]
    if made and made[0].boundary != e.energy_boundary:
        amount += f", {_at_boundary(made[0])}"
    there = [f for f in made if f.co2e_g.value is not None and f.zone is not None]
    carbon = largest(f.co2e_g.value for f in there)
    water = largest(f.water_l.value for f in there)
    billed = [
        f"{show(f.co2e_g.value, 'co2e_g', like=carbon)} and "
        f"{show(f.water_l.value, 'water_l', like=water)} of water in {f.zone_name or f.zone}"
        for f in there
    ]
    example = any(f.example for f in e.footprints)
    if not billed:
        return amount
    least = "at least " if there[0].energy_wh.lower_bound else ""
    return f"{amount}: {'for example ' if example else ''}{least}{'; '.join(billed)}"


def _at_boundary(made: Footprint) -> str:
    """The energy that is billed, in joules as elsewhere and in the watt-hours of the bills."""
    wh = made.energy_wh.value or 0.0
    least = "at least " if made.energy_wh.lower_bound else ""
    both = f"{show(wh * J_PER_WH, 'energy_j')} ({show(wh, 'energy_wh')})"
    return f"{least}{both} at the boundary {made.boundary}"


def _left_out(e: Estimate) -> str:
    said = next((f.lower_bound for f in e.footprints if f.lower_bound), None)
    return said[0].upper() + said[1:] if said else ""


def _worth(e: Estimate) -> str:
    if e.weights == "random_weights":
        scored = f"trained, it scores {e.capability}" if e.capability else "no score is known here"
        return f"Its weights are random: runtime is real, the text is not; {scored}"
    if e.capability is not None:
        return f"Its capability: {e.capability}"
    return "No capability score is known for it"
