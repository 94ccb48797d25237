"""Cost beside capability: frontiers, rankings and break-even over the store."""

from observatory.capability.known import capability_rows
from observatory.tradeoffs.frontier import MOST_POINTS, Tradeoff, frontier
from observatory.tradeoffs.limits import Limits
from observatory.tradeoffs.ranking import rankings

__all__ = ["MOST_POINTS", "Limits", "Tradeoff", "capability_rows", "frontier", "rankings"]
