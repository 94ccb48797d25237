"""Which optional terms a fit has: forward selection, each term on evidence alone (METHOD 2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from observatory.runtime import terms as optional
from observatory.runtime.observations import Rows
from observatory.runtime.recipes import Recipe, Solution
from observatory.runtime.terms import Evidence, Experts, Terms

SPARE_ROWS = 2  # a saturated design fits anything: no evidence in that


def choose_terms(
    solve: Recipe,
    rows: Rows,
    kind: str | None,
    experts: Experts | None,
    wishes: Mapping[str, bool | None],
) -> tuple[Solution, tuple[Evidence, ...]]:
    """Solve with the terms that earn their place, tried in the order of their usual size.

    `wishes` forces `batch` or `context` on (True) or off (False); None leaves it to the evidence.
    """
    terms = Terms()
    solution = solve(rows, terms, kind)
    trials = [("batch", replace(terms, batch=True))]
    if experts is not None:
        trials.append(("experts", replace(terms, experts=experts)))
    trials.append(("context", replace(terms, context=True)))
    evidence: list[Evidence] = []
    for name, only in trials:
        wider = Terms(
            batch=terms.batch or only.batch,
            context=terms.context or only.context,
            experts=terms.experts or only.experts,
        )
        trial, verdict = _try_term(name, solve, rows, kind, solution, wider, wishes.get(name))
        evidence.append(verdict)
        if trial is not None:
            terms, solution = wider, trial
    return solution, tuple(evidence)


def _try_term(
    name: str,
    solve: Recipe,
    rows: Rows,
    kind: str | None,
    without: Solution,
    wider: Terms,
    wish: bool | None,
) -> tuple[Solution | None, Evidence]:
    """The solution with the term, or None where it is off, and the verdict with its reason."""
    sizes = {
        "batch": (optional.batch_sizes(rows), 2, "batch sizes"),
        "experts": (optional.batch_sizes(rows), 3, "batch sizes"),
        "context": (optional.slope_contexts(rows), 2, "contexts with a decode slope"),
    }
    have, need, what = sizes[name]
    if wish is False:
        return None, Evidence(name, False, None, None, "switched off by the caller")
    if have < need:
        return None, Evidence(name, False, None, None, f"{have} {what}, {need} needed")
    trial = solve(rows, wider, kind)
    if wish is None and len(rows) - len(trial.names) < SPARE_ROWS:
        spare = f"{len(rows)} points for {len(trial.names)} parameters leave no room for evidence"
        return None, Evidence(name, False, None, None, spare)
    change = optional.delta_bic(_rss(rows, without), _rss(rows, trial), len(rows))
    value, growth = _size(name, rows, trial)
    if wish is True:
        return trial, Evidence(name, True, change, growth, "switched on by the caller")
    if value <= 0:
        verdict = f"coefficient {value:.3g} is not positive"
    elif change >= optional.DELTA_BIC_BAR:
        verdict = f"ΔBIC {change:.1f}, below {optional.DELTA_BIC_BAR:g} needed"
    elif growth < optional.GROWTH_BAR:
        verdict = f"adds {growth:.2%} to a step, {optional.GROWTH_BAR:.0%} needed"
    else:
        reason = f"ΔBIC {change:.1f}, adds {growth:.1%} to a step"
        return trial, Evidence(name, True, change, growth, reason)
    return None, Evidence(name, False, change, growth, verdict)


def _size(name: str, rows: Rows, trial: Solution) -> tuple[float, float]:
    """A term's coefficient, and what it adds at most to the rest of a step, as a share of it."""
    low, high = np.full(1, rows.batch.min()), np.full(1, rows.batch.max())
    step = trial.step
    rest = float(step.total_s(np.ones(1), np.zeros(1), high)[0])
    if name == "context":
        value = step.per_context_token_s or 0.0
        added = value * float(high[0]) * optional.largest_context(rows)
    elif name == "batch":
        value = step.per_sequence_s or 0.0
        added = value * float(high[0] - low[0])
        rest -= added
    else:
        value = step.experts_s or 0.0
        assert step.experts is not None  # the trial was made with them
        added = value * float(
            step.experts.touched_share(high)[0] - step.experts.touched_share(low)[0]
        )
        rest -= added
    if added <= 0:
        return value, 0.0
    return value, added / rest if rest > 0 else 1.0


def _rss(rows: Rows, solution: Solution) -> float:
    """Sum of squared relative residuals."""
    return float(np.sum((solution.predict(rows) / rows.runtime_s - 1) ** 2))
