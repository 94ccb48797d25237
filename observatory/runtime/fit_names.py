"""Names of a fit's parameters, by what was fitted.

The law of a runtime fits joules as well: inside, one set of names serves both, and they end in
`_s`. Where a fit of energy leaves, in files and answers, its parameters are joules and end in `_j`
(the covariance is in J²); `device_s`, the seconds that measuring took, stays. Both are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STAYS = "device_s"  #: seconds whatever was fitted
_PARTS = ("curve", "step")


def in_joules(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of an energy fit (`Fit.to_json`) with joules in its names."""
    return _renamed(record, "_s", "_j")


def in_seconds(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the names that `Fit` has; one that has them is the same."""
    return _renamed(record, "_j", "_s")


def _renamed(record: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    def name(key: str) -> str:
        return key.removesuffix(old) + new if key.endswith(old) and key != STAYS else key

    made = {name(key): value for key, value in record.items()}
    for part in _PARTS:
        if isinstance(made.get(part), Mapping):
            made[part] = {name(key): value for key, value in made[part].items()}
    if "parameter_names" in made:
        made["parameter_names"] = [name(key) for key in made["parameter_names"]]
    return made
