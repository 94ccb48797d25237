"""Two costs, two rankings: do they put the same points in the same order?"""

from __future__ import annotations

from observatory.decision.ranks import RankAgreement, rank_agreement
from observatory.tradeoffs.frontier import Tradeoff


def rankings(a: Tradeoff, b: Tradeoff) -> list[tuple[str, RankAgreement]]:
    """For each group that both hold, how the two costs rank the same points."""
    other = {g.name: g for g in b.groups}
    found = []
    for group in a.groups:
        if group.name not in other:
            continue
        second = {(p.model, p.configuration, p.lane, p.source): p.cost
                  for p in other[group.name].points}  # fmt: skip
        keys = [(p.model, p.configuration, p.lane, p.source) for p in group.points]
        costs = {k: p.cost for k, p in zip(keys, group.points, strict=True) if k in second}
        if len(costs) > 1:
            agreed = rank_agreement([*costs.values()], [second[k] for k in costs])
            found.append((group.name, agreed))
    return found
