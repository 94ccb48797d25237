"""One generated sentence that answers first, from estimates of one request: who, what, how sure.

Terminal and dashboard print the same sentence. It never claims more than the intervals allow: a
faster or cheaper configuration is named as such only where its interval ends before the next one's
begins; otherwise the two are said to be level.
"""

from __future__ import annotations

from collections.abc import Sequence

from observatory.answers import Estimate
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
    if first.runtime_high_s is None or second.runtime_low_s is None:
        return f"; {name} takes {ratio:.2f} times as long (no interval)"
    if first.runtime_high_s < second.runtime_low_s:
        return f", and {name} {ratio:.2f} times as long"
    return f", level with {name} (ratio {ratio:.2f}, intervals overlap)"


def _joules(e: Estimate) -> str:
    if e.energy_j is None:
        return f"Its energy is unknown: {e.energy_reason}"
    said = "costs" if e.energy_provenance == "measured" else f"costs an {e.energy_provenance}"
    amount = f"It {said} {show(e.energy_j, 'energy_j')} ({e.energy_boundary} boundary)"
    there = [f for f in e.footprints if f.co2e_g.value is not None and f.zone is not None]
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
    return f"{amount}: {'for example ' if example else ''}{'; '.join(billed)}"


def _worth(e: Estimate) -> str:
    if e.weights == "random_weights":
        scored = f"trained, it scores {e.capability}" if e.capability else "no score is known here"
        return f"Its weights are random: runtime is real, the text is not; {scored}"
    if e.capability is not None:
        return f"Its capability: {e.capability}"
    return "No capability score is known for it"
