"""Says on every page with a scenario whether its request lies outside what was measured."""

from __future__ import annotations

import pandas as pd

from dashboards.theme import text

PREFIX = "outside the measured range: "  #: of a reason, which the line has said already


def outside(requests: pd.DataFrame) -> str | None:
    """A line of Markdown, of the configurations that the request leaves; None where it leaves none.

    `requests` has a row for each configuration, with `extrapolated` and `extrapolation`.
    """
    if requests.empty or not requests["extrapolated"].any():
        return None
    left = requests[requests["extrapolated"]]
    reasons = list(dict.fromkeys(left["extrapolation"].dropna()))
    more = f"; and {len(reasons) - 1} other ranges" if len(reasons) > 1 else ""
    first = reasons[0].removeprefix(PREFIX) if reasons else "see the table of configurations"
    every = "every configuration" if len(left) == len(requests) else (
        f"{len(left)} of {len(requests)} configurations"
    )  # fmt: skip
    return f"**Outside the measured range** of {every}: {text(first)}{more}."
