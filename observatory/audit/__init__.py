"""Audit: physical and protocol invariants as rules, each with a code, a sentence and a remedy."""

from observatory.audit.cells import CELL_RULES, audit_cells
from observatory.audit.rule import AVOID, EXCLUDE, INFO, WARN, Rule
from observatory.audit.windows import WINDOW_RULES, audit_windows

__all__ = [
    "AVOID", "CELL_RULES", "EXCLUDE", "INFO", "WARN", "WINDOW_RULES", "Rule", "audit_cells",
    "audit_windows",
]  # fmt: skip
