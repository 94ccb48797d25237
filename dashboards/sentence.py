"""The answer in words, as Markdown with every imported name escaped, and what it rests on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dashboards.theme import text
from observatory.answers import Estimate
from observatory.headline import headline

_NEXT = re.compile(r"(?<=\.) (?=(?:It|Its|This) )")


def answer(estimates: Sequence[Estimate]) -> tuple[str, str]:
    """The headline that the terminal prints, as Markdown: its first sentence, and the rest."""
    first, *rest = _NEXT.split(headline(estimates))
    return text(first), text(" ".join(rest))


def first_of(estimates: Sequence[Estimate]) -> Estimate:
    """The one that the headline speaks of: the fastest."""
    return min(estimates, key=lambda e: e.runtime_s)


def runner_up(estimates: Sequence[Estimate]) -> Estimate | None:
    """The next one, where both have joules to compare."""
    first = first_of(estimates)
    others = [e for e in estimates if e.configuration_key != first.configuration_key]
    if not others or first.energy_j is None:
        return None
    second = first_of(others)
    return None if second.energy_j is None else second


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
    else:
        parts.append(f"no interval of its time, whose error is {best.error_basis}")
    if best.footprints:
        parts.append(f"factors {best.footprints[0].edition}")
    if best.weights == "random_weights":
        parts.append("random weights: the runtime is real, the text is not")
    return text(" · ".join(parts))
