"""Which configurations a request leaves the measured range of, for verbs that rest on estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observatory.verbs import options

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from observatory.records import Workload


def outside(
    engine: Engine, request: Workload | None, model: str | None = None
) -> list[dict[str, str]]:
    """`model`, `configuration` and `reason` of each; none for a request that every fit covers
    (None). Raises InputError where nothing was measured."""
    if request is None:
        return []
    from observatory import answers

    rows = answers.request_table(engine, request, model)
    left = rows[rows["extrapolated"].astype(bool)]
    columns = ("model", "configuration", "extrapolation")
    return [
        {"model": str(name), "configuration": str(stack), "reason": str(reason)}
        for name, stack, reason in zip(*(left[column] for column in columns), strict=True)
    ]


def warn(found: list[dict[str, str]]) -> None:
    """One line of standard error for each."""
    options.warn_outside((f"{f['model']} on {f['configuration']}", f["reason"]) for f in found)
