"""Cost beside capability: frontiers, rankings and break-even over the store."""

from observatory.tradeoffs.frontier import Limits, Tradeoff, capability_rows, frontier, rankings

__all__ = ["Limits", "Tradeoff", "capability_rows", "frontier", "rankings"]
