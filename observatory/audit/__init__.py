"""Audit: physical and protocol invariants as rules, each with a code, a sentence and a remedy."""

from observatory.audit.cases import STATED
from observatory.audit.cells import CELL_RULES, audit_cells
from observatory.audit.reported import REPORTED_RULES, audit_reported
from observatory.audit.rule import AVOID, EXCLUDE, INFO, WARN, Rule
from observatory.audit.window_rules import WINDOW_RULES
from observatory.audit.windows import audit_windows

#: Every rule, by what it judges. A code may judge several subjects, with its own sentence for each.
RULES: dict[str, tuple[Rule, ...]] = {
    "window": WINDOW_RULES,
    "cell": CELL_RULES,
    "reported": REPORTED_RULES,
}

__all__ = [
    "AVOID", "CELL_RULES", "EXCLUDE", "INFO", "REPORTED_RULES", "RULES", "STATED", "WARN",
    "WINDOW_RULES", "Rule", "audit_cells", "audit_reported", "audit_windows",
]  # fmt: skip
