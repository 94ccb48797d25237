"""Which optional terms a fit has: forward selection (METHOD 2.3).

The context term is on where there is evidence for it, and off otherwise: attention may hide in the
shadow of launches. A step that works on more sequences cannot take less time, and grows unless it
is all launches: the terms of the batch are on *(ours)* unless there is evidence against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from observatory.runtime import terms as optional
from observatory.runtime.observations import BoolArray, Rows
from observatory.runtime.recipes import STEP_NAMES, Recipe, Solution
from observatory.runtime.terms import Evidence, Experts, Terms

SPARE_ROWS = 2  # a saturated design fits anything: no evidence in that
BATCH_BAR = 0.2  # by how much a law may miss the steps of a batch size that it was fitted to (ours)
PHYSICAL = ("batch", "experts")  # terms that are on unless the points speak against them


def choose_terms(
    solve: Recipe,
    rows: Rows,
    kind: str | None,
    experts: Experts | None,
    wishes: Mapping[str, bool | None],
) -> tuple[Solution, tuple[Evidence, ...]]:
    """Solve with the terms that keep their place, tried in the order of their usual size.

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
    value, growth = _size(name, rows, trial)
    change = optional.delta_bic(_rss(rows, without), _rss(rows, trial), len(rows))
    if wish is True:
        return trial, Evidence(name, True, change, growth, "switched on by the caller")
    known = change if spare_rows(rows, trial) >= SPARE_ROWS else None
    accepted, reason = _verdict(name, value, known, growth, _few(rows, trial))
    return trial if accepted else None, Evidence(name, accepted, known, growth, reason)


def _verdict(
    name: str, value: float, change: float | None, growth: float, few: str
) -> tuple[bool, str]:
    """Whether a term is on, and why. `change` is its ΔBIC, None where points are too few for one;
    `few` says how few."""
    physical = name in PHYSICAL
    if change is None and not physical:
        return False, f"{few} leave no room for evidence"
    if value <= 0:
        return False, f"coefficient {value:.3g} is not positive"
    if growth < optional.GROWTH_BAR:
        return False, f"adds {growth:.2%} to a step, {optional.GROWTH_BAR:.0%} needed"
    if change is None:
        return True, f"adds {growth:.1%} to a step; kept by physics: {few} cannot speak against it"
    if change < optional.DELTA_BIC_BAR:
        return True, f"ΔBIC {change:.1f}, adds {growth:.1%} to a step"
    if physical and change < 0:
        return True, f"adds {growth:.1%} to a step; kept by physics: ΔBIC {change:.1f} is for it"
    needed = 0.0 if physical else optional.DELTA_BIC_BAR
    return False, f"ΔBIC {change:.1f}, below {needed:g} needed"


def spare_rows(rows: Rows, solution: Solution) -> int:
    """Rows that could speak for or against a term of the step: those with decode steps, less the
    parameters that they alone tell. What a prefill repeated says of its own knot is no such."""
    decoding = rows.steps > 0
    of_curve = len(set(solution.names) - set(STEP_NAMES))
    alone = len(np.unique(rows.prompt_total[rows.prefill & ~decoding]))
    return int(decoding.sum()) - (len(solution.names) - min(alone, of_curve))


def missed_batches(rows: Rows, solution: Solution) -> str | None:
    """What a law in the batch misses by more than `BATCH_BAR`, in words; None where it holds.

    Judged is the median over the rows of each batch size that has decode steps: a row may scatter.
    """
    off = np.abs(solution.predict(rows) / rows.runtime_s - 1)
    decoding = rows.steps > 0
    sizes = np.unique(rows.batch[decoding])
    missed = [float(np.median(off[decoding & (rows.batch == size)])) for size in sizes]
    if len(sizes) < 2 or max(missed) <= BATCH_BAR:
        return None
    worst = int(np.argmax(missed))
    return f"one law of the batch misses batch {sizes[worst]:.0f} by {missed[worst]:.0%}"


def of_smallest_batch(rows: Rows) -> BoolArray:
    """Rows that tell the steps of the smallest batch size with any, prefills of all batches."""
    decoding = rows.steps > 0
    return np.asarray(~decoding | (rows.batch == rows.batch[decoding].min()))


def _few(rows: Rows, solution: Solution) -> str:
    spare = max(0, spare_rows(rows, solution))
    return f"{int((rows.steps > 0).sum())} points with decode steps, {spare} to spare,"


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
