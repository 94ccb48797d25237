"""Audit: physical and protocol invariants as rules, each with a code, a sentence and a remedy.

A rule looks at one row (a mapping of column to value, missing as None) and returns the value and
the bound it broke, or None. A row in violation is kept, marked, and left out of summaries where the
severity says `exclude` (METHOD §3.9, §8). Verdicts are derived: a better rule changes no fact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from observatory.records import Finding

Row = Mapping[str, Any]
Breach = tuple[float, float]  #: (value found, bound broken)

#: `avoid` leaves a row out where the same point has better ones; `warn` only shows it
EXCLUDE, AVOID, WARN, INFO = "exclude", "avoid", "warn", "info"
LENGTH_TOLERANCE = 0.98  #: a window may fall this far short of its target by the clock's grain
CPU_SHARE_FLOOR = 0.95  #: METHOD §3.14
TEMPERATURE_DRIFT_C = 10.0  #: METHOD §3.9


@dataclass(frozen=True, slots=True)
class Rule:
    """One invariant. `sentence` is filled with {value} and {bound}."""

    code: str
    subject: str
    severity: str
    sentence: str
    remedy: str
    check: Callable[[Row], Breach | None]
    version: int = 1

    def apply(self, row: Row) -> Finding | None:
        """The finding on this row, or None where the rule holds."""
        breach = self.check(row)
        if breach is None:
            return None
        value, bound = breach
        return Finding(
            subject=self.subject,
            subject_id=int(row["id"]),
            rule=self.code,
            rule_version=self.version,
            severity=self.severity,
            sentence=self.sentence.format(value=value, bound=bound),
            remedy=self.remedy,
            value=value,
            bound=bound,
        )


def _too_short(row: Row) -> Breach | None:
    target = row.get("window_target_s")
    if target is None or row["duration_s"] >= target * LENGTH_TOLERANCE:
        return None
    return row["duration_s"], target


def _failed(row: Row) -> Breach | None:
    failed = row.get("failed_iterations") or 0
    return (float(failed), 0.0) if failed > 0 else None


def _not_positive(row: Row) -> Breach | None:
    parts = [row.get(c) for c in ("energy_device_j", "energy_cpu_j", "energy_dram_j")]
    low = [p for p in parts if p is not None and p <= 0]
    return (min(low), 0.0) if low else None


def _tokens(row: Row) -> Breach | None:
    expected = expected_tokens(row)
    if expected is None or row.get("tokens") is None or row["tokens"] == expected:
        return None
    return float(row["tokens"]), float(expected)


def expected_tokens(row: Row) -> int | None:
    """Work units that a window's iterations must have done, from its workload; None if unknown."""
    batch, output = row.get("batch"), row.get("output_tokens")
    prompt, phase = row.get("prompt_tokens"), row["phase"]
    if batch is None:
        return None
    if phase == "prefill" and prompt is not None:
        each = prompt
    elif phase == "decode" and output is not None:
        each = output
    elif phase == "e2e" and prompt is not None and output is not None:
        each = prompt + output
    else:
        return None
    return int(each * batch * row["iterations"])


def _contended(row: Row) -> Breach | None:
    share = row.get("cpu_share")
    return (share, CPU_SHARE_FLOOR) if share is not None and share < CPU_SHARE_FLOOR else None


def _throttled(row: Row) -> Breach | None:
    return (1.0, 0.0) if row.get("throttle_reasons") else None


def _drift(row: Row) -> Breach | None:
    start, end = row.get("temperature_start_c"), row.get("temperature_end_c")
    if start is None or end is None or abs(end - start) <= TEMPERATURE_DRIFT_C:
        return None
    return abs(end - start), TEMPERATURE_DRIFT_C


def _flagged(*flags: str) -> Callable[[Row], Breach | None]:
    def check(row: Row) -> Breach | None:
        return (1.0, 0.0) if set(flags) & set(row.get("flags") or ()) else None

    return check


WINDOW_RULES: tuple[Rule, ...] = (
    Rule(
        "window_too_short", "window", EXCLUDE,
        "The window lasted {value:.3g} s; its profile asks for {bound:.3g} s.",
        "Measure again with more iterations a window.", _too_short,
    ),
    Rule(
        "failed_iterations", "window", EXCLUDE,
        "{value:.0f} iterations of the window failed.",
        "Read the cell's error and measure again.", _failed,
    ),
    Rule(
        "energy_not_positive", "window", EXCLUDE,
        "The window's energy is {value:.3g} J; work cannot cost nothing.",
        "The sensor failed: check the driver, or store NULL with the reason.", _not_positive,
    ),
    Rule(
        "token_count_mismatch", "window", EXCLUDE,
        "The window counts {value:.0f} tokens; its workload makes {bound:.0f}.",
        "Count tokens from the workload, not from stream chunks.", _tokens,
    ),
    Rule(
        "foreign_process", "window", EXCLUDE,
        "Another process used the device during the window.",
        "Free the device and measure again.", _flagged("foreign_process"),
    ),
    Rule(
        "cpu_contended", "window", AVOID,
        "The process got {value:.0%} of its CPU time; a neighbour was busy (floor {bound:.0%}).",
        "Stop other work on this machine and measure again.", _contended,
    ),
    Rule(
        "throttled", "window", WARN,
        "The device slowed itself down during the window.",
        "Check cooling and the power limit; compare throttle_reasons.", _throttled,
    ),
    Rule(
        "temperature_drift", "window", WARN,
        "The temperature moved by {value:.1f} °C inside the window (bound {bound:.0f} °C).",
        "Warm up longer before measuring.", _drift,
    ),
    Rule(
        "sensor_disagreement", "window", WARN,
        "Counter and power integral differ by more than 5 %.",
        "Look at both columns; the counter is what is used.", _flagged("sensor_disagreement"),
    ),
)  # fmt: skip


def audit_windows(rows: Iterable[Row]) -> list[Finding]:
    """Findings on window rows (columns of `window`, and phase and workload of their cell)."""
    return [
        finding for row in rows for rule in WINDOW_RULES if (finding := rule.apply(row)) is not None
    ]
