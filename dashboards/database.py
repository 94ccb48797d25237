"""The database behind the pages: opened read-only, asked through `answers`, cached on its version.

Pages import this module and never SQL. A cached answer is used again until a window, a summary, a
fit, an estimate or a run was added.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from observatory import answers, tradeoffs
from observatory.answers import Estimate
from observatory.capability.lanes import axis_of
from observatory.capability.names import architecture, model_name
from observatory.errors import ObservatoryError
from observatory.footprint import Footprint, Scenario
from observatory.footprint.comparison import Change
from observatory.footprint.ladder import Rung
from observatory.importers.items import Tables
from observatory.pairs import frame_of, paired_points
from observatory.records import Workload
from observatory.store.database import (
    DEFAULT_DATABASE,
    data_version,
    open_read_only,
    parse_url,
    shown,
)
from observatory.tradeoffs import Limits, Tradeoff, routing_use
from observatory.tradeoffs.routing_use import Measured, ModelUse

VARIABLE = "OBSERVATORY_DB"
VERSION_S = 2.0  #: for how long a version of the data is believed


class Database:
    """A store as pages see it. Build with `connect`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._version = _version(url)

    @property
    def name(self) -> str:
        """Folder and file, or the URL without its password; not the whole path of the host."""
        if "://" in self._url:
            return shown(self._url)
        return "/".join(Path(self._url).parts[-2:])

    @property
    def empty(self) -> bool:
        """Whether no fit stands in it yet, so that nothing can be estimated."""
        return not self.configurations()

    def table(self, name: str, *arguments: Any) -> pd.DataFrame:
        """The table that `answers.<name>` gives."""
        return _table(self._url, self._version, name, arguments)

    def configurations(self) -> dict[str, str]:
        """Key -> `model · configuration`, of those with a fit."""
        return _configurations(self._url, self._version)

    def overview(self) -> dict[str, Any]:
        """Counts of runs, windows, failures."""
        return _overview(self._url, self._version)

    def covered_request(self) -> tuple[int, int]:
        """A request (p, o) that every fit covers."""
        return _covered(self._url, self._version)

    def requests(self, workload: Workload) -> pd.DataFrame:
        """Time and joules of a request on every configuration, fastest first, not yet billed."""
        return _requests(self._url, self._version, workload)

    def estimate(
        self, workload: Workload, scenario: Scenario, keys: tuple[str, ...]
    ) -> list[Estimate]:
        """What a request costs on these configurations, fastest first; empty without a fit."""
        if not keys:
            return []
        made: list[Estimate] = _estimate(self._url, self._version, workload, scenario, keys)
        return made

    def compare(self, workload: Workload, scenario: Scenario, a: str, b: str) -> Change:
        """Moving one request from configuration `a` to `b`."""
        made: Change = _ask(self._url, self._version, "compare", (workload, scenario, a, b))
        return made

    def pairs(self, base: str, others: tuple[str, ...]) -> pd.DataFrame:
        """Paired ratios of what runs measured of `others` beside `base`; `key` says of which."""
        return _pairs(self._url, self._version, base, others)

    def detail(
        self, workload: Workload, scenario: Scenario, key: str
    ) -> tuple[Footprint, tuple[Rung, ...]]:
        """Bills with variance shares, and the ladder of boundaries."""
        made: tuple[Footprint, tuple[Rung, ...]] = _ask(
            self._url, self._version, "bill_in_detail", (workload, scenario, key)
        )
        return made

    def lanes(self) -> dict[str, int]:
        """Axis of scores -> how many of the measured models (or their variants) have one."""
        made: dict[str, int] = _lanes(self._url, self._version)
        return made

    def frontier(
        self, cost: str, lane: str, workload: Workload, scenario: Scenario, limits: Limits
    ) -> Tradeoff:
        """Cost beside capability. Raises InputError where nothing can be compared."""
        return _frontier(self._url, self._version, cost, lane, workload, scenario, limits)

    def served(self) -> dict[str, tuple[str, Measured]]:
        """`configuration/machine` -> (words, which), of configurations that can serve a router."""
        return _served(self._url, self._version)

    def uses(
        self, table: Tables, models: Sequence[str], covers: str, served: dict[str, Measured]
    ) -> list[ModelUse]:
        """What a call of each model uses, by the table of items or by measured configurations."""
        return routing_use.uses(table, models, covers, measured=served, engine=_engine(self._url))


def connect() -> Database:
    """The database named by OBSERVATORY_DB. Raises DatabaseError, InputError."""
    url = os.environ.get(VARIABLE) or str(DEFAULT_DATABASE)
    path = parse_url(url)
    if path.get_backend_name() == "sqlite":
        url = str(Path(str(path.database)).resolve())
    return Database(url)


@st.cache_resource(show_spinner=False, max_entries=8)
def _engine(url: str) -> Any:
    return open_read_only(url)


@st.cache_data(show_spinner=False, ttl=VERSION_S, max_entries=8)
def _version(url: str) -> str:
    path = parse_url(url)
    if path.get_backend_name() == "sqlite" and not Path(str(path.database)).exists():
        _engine.clear()  # the file was taken away: say so, do not go on with an open handle
    return data_version(_engine(url))


@st.cache_data(show_spinner=False, max_entries=64)
def _table(url: str, version: str, name: str, arguments: tuple[Any, ...]) -> pd.DataFrame:
    del version  # part of the key
    question = getattr(answers, name)
    made: pd.DataFrame = question(_engine(url), *arguments)
    return made


@st.cache_data(show_spinner=False, max_entries=8)
def _configurations(url: str, version: str) -> dict[str, str]:
    rows = _table(url, version, "fits", ())[["configuration_key", "model", "configuration"]]
    return {
        str(row["configuration_key"]): f"{row['model']} · {row['configuration']}"
        for row in rows.to_dict("records")
    }


@st.cache_data(show_spinner=False, max_entries=8)
def _served(url: str, version: str) -> dict[str, tuple[str, Measured]]:
    rows = _table(url, version, "fits", ()).to_dict("records")
    return {
        f"{row['configuration_key']}/{row['environment_key']}": (
            f"{row['model']} · {row['configuration']}",
            Measured(str(row["configuration_key"]), str(row["environment_key"])),
        )
        for row in rows
    }


@st.cache_data(show_spinner=False, max_entries=32)
def _pairs(url: str, version: str, base: str, others: tuple[str, ...]) -> pd.DataFrame:
    del version
    found = [frame_of(paired_points(_engine(url), base, key)).assign(key=key) for key in others]
    return pd.concat([rows for rows in found if not rows.empty] or found[:1], ignore_index=True)


@st.cache_data(show_spinner=False, max_entries=8)
def _overview(url: str, version: str) -> dict[str, Any]:
    del version
    return answers.overview(_engine(url))


@st.cache_data(show_spinner=False, max_entries=8)
def _covered(url: str, version: str) -> tuple[int, int]:
    del version
    return answers.covered_request(_engine(url))


@st.cache_resource(show_spinner=False, max_entries=64)
def _ask(url: str, version: str, name: str, arguments: tuple[Any, ...]) -> Any:
    """An answer that is immutable, so that it is shared and not copied."""
    del version
    return getattr(answers, name)(_engine(url), *arguments)


@st.cache_data(show_spinner=False, max_entries=8)
def _lanes(url: str, version: str) -> dict[str, int]:
    measured = {architecture(model_name(m)) for m in _table(url, version, "fits", ())["model"]}
    found: dict[str, set[str]] = {}
    for row in tradeoffs.capability_rows(_engine(url)):
        shape = architecture(model_name(str(row["model_name"])))
        if shape in measured:
            found.setdefault(axis_of(str(row["lane"])), set()).add(shape)
    return {axis: len(found[axis]) for axis in sorted(found)}


@st.cache_resource(show_spinner=False, max_entries=64)
def _frontier(url: str, version: str, *arguments: Any) -> Tradeoff:
    del version
    cost, lane, workload, scenario, limits = arguments
    return tradeoffs.frontier(_engine(url), cost, lane, workload, scenario, limits=limits)


@st.cache_data(show_spinner=False, max_entries=16)
def _requests(url: str, version: str, workload: Workload) -> pd.DataFrame:
    if not _configurations(url, version):
        return pd.DataFrame()
    bare = sorted(
        (e for e, _ in answers.energy_inputs(_engine(url), workload)),
        key=lambda e: (e.runtime_s, e.model, e.configuration_key),
    )
    return pd.DataFrame([row for e in bare for row in e.rows()])


@st.cache_resource(show_spinner=False, max_entries=64)
def _estimate(
    url: str, version: str, workload: Workload, scenario: Scenario, keys: tuple[str, ...]
) -> list[Estimate]:
    """Estimates are immutable, so they are shared and not copied."""
    del version
    return answers.estimate(_engine(url), workload, scenario, keys=keys)


__all__ = ["Database", "ObservatoryError", "connect"]
