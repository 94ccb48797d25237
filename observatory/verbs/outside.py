"""Which configurations a request leaves the measured range of, for verbs that rest on estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observatory.records import Workload
from observatory.verbs import options

if TYPE_CHECKING:
    from sqlalchemy import Engine


def outside(
    engine: Engine, request: Workload | None, model: str | None = None
) -> list[dict[str, str]]:
    """`model`, `configuration` and `reason` of each; of the request that most fits cover where it
    is None. Raises InputError where nothing was measured and a request is given."""
    from observatory import answers

    if request is None:
        if not answers.fit_count(engine):
            return []
        request = Workload.request(*answers.covered_request(engine))
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
