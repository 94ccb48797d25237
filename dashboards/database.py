"""The database behind the pages: opened read-only, asked through `answers`, cached on its version.

Pages import this module and never SQL. Two versions are told apart: what was *derived* (summaries,
fits, bills) stays as it is while a run writes windows, so that pages on it stay warm; lists of
runs, cells and windows follow every commit. Cached values are shared between sessions; a frame is
handed out as a copy that copies its columns only where somebody writes.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from observatory import answers, tradeoffs
from observatory.answers import Estimate
from observatory.capability.lanes import axis_of
from observatory.capability.names import architecture, model_name
from observatory.errors import ObservatoryError
from observatory.figures.naming import KEY_CHARACTERS
from observatory.footprint import Footprint, Scenario
from observatory.footprint.comparison import Change
from observatory.footprint.ladder import Rung
from observatory.importers.items import Tables
from observatory.pairs import frame_of, paired_points
from observatory.records import Workload
from observatory.store.database import (
    DEFAULT_DATABASE,
    change_counter,
    data_version,
    derived_version,
    open_read_only,
    parse_url,
    shown,
)
from observatory.tradeoffs import MOST_POINTS, Limits, Tradeoff, routing_use
from observatory.tradeoffs.routing_use import Measured, ModelUse

VARIABLE = "OBSERVATORY_DB"
VERSION_S = 2.0  #: for how long a version of the data is believed
#: answers that follow every commit; the others follow what was derived
ON_FACTS = ("runs", "cells", "windows", "findings", "findings_by_rule", "configurations", "sources",
            "reported_models")  # fmt: skip


# Modules and their tables never die: a collection that looks at them again each time some tens of
# thousands of rows were read costs as much as the reading.
gc.freeze()
gc.set_threshold(50_000, 20, 50)


class Database:
    """A store as pages see it. Build with `connect`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._version, self._derived = _versions(url)

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

    def table(self, name: str, *arguments: Any, **options: Any) -> pd.DataFrame:
        """The table that `answers.<name>` gives."""
        version = self._version if name in ON_FACTS else self._derived
        made = _table(self._url, version, name, arguments, tuple(sorted(options.items())))
        return made.copy(deep=False)

    def whole(self, name: str, *arguments: Any, **options: Any) -> Callable[[], pd.DataFrame]:
        """What gives that table when somebody asks for its file; it is not kept."""
        return lambda: getattr(answers, name)(_engine(self._url), *arguments, **options)

    def fits(self) -> int:
        """How many fits there are."""
        return int(_ask(self._url, self._derived, "fit_count", ()))

    def configurations(self) -> dict[str, str]:
        """Key -> `model · configuration`, of those with a fit."""
        return _configurations(self._url, self._derived)

    def overview(self) -> dict[str, Any]:
        """Counts of runs, windows, failures."""
        return _overview(self._url, self._version)

    def covered_request(self) -> tuple[int, int]:
        """A request (p, o) that most fits cover."""
        made: tuple[int, int] = _ask(self._url, self._derived, "covered_request", ())
        return made

    def requests(self, workload: Workload) -> pd.DataFrame:
        """Time and joules of a request on every configuration, fastest first, not yet billed."""
        return _requests(self._url, self._derived, workload).copy(deep=False)

    def details(self, workload: Workload, keys: tuple[str, ...]) -> pd.DataFrame:
        """Rows of `requests` beside their roofline, score and reasons; of these configurations."""
        return _details(self._url, self._derived, workload, keys).copy(deep=False)

    def all_details(self, workload: Workload) -> Callable[[], pd.DataFrame]:
        """What gives `details` of every configuration when somebody asks for the file."""
        return lambda: _rows(answers.energy_inputs(_engine(self._url), workload))

    def estimate(
        self, workload: Workload, scenario: Scenario, keys: tuple[str, ...]
    ) -> list[Estimate]:
        """What a request costs on these configurations, fastest first; empty without a fit."""
        if not keys:
            return []
        made: list[Estimate] = _estimate(self._url, self._derived, workload, scenario, keys)
        return made

    def compare(self, workload: Workload, scenario: Scenario, a: str, b: str) -> Change:
        """Moving one request from configuration `a` to `b`."""
        made: Change = _ask(self._url, self._derived, "compare", (workload, scenario, a, b))
        return made

    def pairs(self, base: str, others: tuple[str, ...]) -> pd.DataFrame:
        """Paired ratios of what runs measured of `others` beside `base`; `key` says of which."""
        return _pairs(self._url, self._version, base, others).copy(deep=False)

    def detail(
        self, workload: Workload, scenario: Scenario, key: str
    ) -> tuple[Footprint, tuple[Rung, ...]]:
        """Bills with variance shares, and the ladder of boundaries."""
        made: tuple[Footprint, tuple[Rung, ...]] = _ask(
            self._url, self._derived, "bill_in_detail", (workload, scenario, key)
        )
        return made

    def lanes(self, imported: bool = False) -> dict[str, int]:
        """Axis of scores -> how many of the models (or their variants) that were measured here, or
        that others reported, have one."""
        return _lanes(self._url, self._version if imported else self._derived, imported)

    def imported_frontier(
        self, cost: str, lane: str, scenario: Scenario, limits: Limits
    ) -> Tradeoff:
        """The same of what others reported, a group for each source, task and device."""
        return _imported_frontier(self._url, self._version, cost, lane, scenario, limits)

    def frontier(
        self, cost: str, lane: str, workload: Workload, scenario: Scenario, limits: Limits
    ) -> Tradeoff:
        """Cost beside capability, of MOST_POINTS points a group. Raises InputError where nothing
        can be compared."""
        return _frontier(self._url, self._derived, cost, lane, workload, scenario, limits)

    def served(self) -> dict[str, tuple[str, Measured]]:
        """`configuration/machine` -> (words, which), of configurations that can serve a router."""
        return _served(self._url, self._derived)

    def uses(
        self, table: Tables, models: Sequence[str], covers: str, served: dict[str, Measured]
    ) -> list[ModelUse]:
        """What a call of each model uses, by the table of items or by measured configurations."""
        return routing_use.uses(table, models, covers, measured=served, engine=_engine(self._url))


class NoDatabase(Database):
    """What a page that needs none is asked with where there is no database."""

    def __init__(self) -> None:
        """Nothing is opened."""

    @property
    def name(self) -> str:
        return "no database"

    def covered_request(self) -> tuple[int, int]:
        return answers.DEFAULT_REQUEST

    def requests(self, workload: Workload) -> pd.DataFrame:
        return pd.DataFrame()

    def served(self) -> dict[str, tuple[str, Measured]]:
        return {}

    def uses(
        self, table: Tables, models: Sequence[str], covers: str, served: dict[str, Measured]
    ) -> list[ModelUse]:
        return routing_use.uses(table, models, covers)


def connect(needed: bool = True) -> Database:
    """The database named by OBSERVATORY_DB; where it is not `needed` and not there, NoDatabase.

    Raises DatabaseError, InputError.
    """
    try:
        return _connect()
    except ObservatoryError:
        if needed:
            raise
        return NoDatabase()


def _connect() -> Database:
    url = os.environ.get(VARIABLE) or str(DEFAULT_DATABASE)
    path = parse_url(url)
    if path.get_backend_name() == "sqlite":
        url = str(Path(str(path.database)).resolve())
    return Database(url)


@st.cache_resource(show_spinner=False, max_entries=8)
def _opened(url: str, file: tuple[int, int] | None) -> tuple[Any, Callable[[], str | None]]:
    """The engine, and what counts commits; another file under the same name is opened anew."""
    del file  # part of the key
    engine = open_read_only(url)
    return engine, change_counter(engine)


def _file(url: str) -> tuple[int, int] | None:
    """Which file a path names now; None for a server, or where there is none."""
    path = parse_url(url)
    if path.get_backend_name() != "sqlite":
        return None
    try:
        found = Path(str(path.database)).stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _engine(url: str) -> Any:
    file = _file(url)
    if file is None and parse_url(url).get_backend_name() == "sqlite":
        return open_read_only(url)  # the file was taken away: say so
    return _opened(url, file)[0]


@st.cache_data(show_spinner=False, ttl=VERSION_S, max_entries=8)
def _versions(url: str) -> tuple[str, str]:
    """(of everything, of what is derived), believed for VERSION_S."""
    _engine(url)
    file = _file(url)
    count = _opened(url, file)[1]()
    return _read_tokens(url, file) if count is None else _tokens(url, file, count)


@st.cache_data(show_spinner=False, max_entries=8)
def _tokens(url: str, file: tuple[int, int] | None, commits: str) -> tuple[str, str]:
    everything, derived = _read_tokens(url, file)
    return f"{commits}/{everything}", derived


def _read_tokens(url: str, file: tuple[int, int] | None) -> tuple[str, str]:
    engine = _opened(url, file)[0]
    return f"{file}/{data_version(engine)}", f"{file}/{derived_version(engine)}"


@st.cache_resource(show_spinner=False, max_entries=16)
def _table(
    url: str, version: str, name: str, arguments: tuple[Any, ...], options: tuple[Any, ...]
) -> pd.DataFrame:
    del version  # part of the key
    made: pd.DataFrame = getattr(answers, name)(_engine(url), *arguments, **dict(options))
    return made


@st.cache_resource(show_spinner=False, max_entries=2)
def _laws(url: str, version: str) -> answers.Laws:
    """Every fit, ready to be asked: read once for each state of the derived tables."""
    del version
    return answers.read_laws(_engine(url))


@st.cache_resource(show_spinner=False, max_entries=2)
def _scores(url: str, version: str) -> Sequence[Mapping[str, Any]]:
    """Every score, of the store and shipped."""
    del version
    return tradeoffs.capability_rows(_engine(url))


@st.cache_resource(show_spinner=False, max_entries=2)
def _words(url: str, version: str) -> dict[tuple[str, str | None], str]:
    """The score in words beside each model and number format that has a fit."""
    rows = _laws(url, version).runtime.rows
    pairs = zip(rows["model"], rows["precision"], strict=True) if len(rows) else ()
    return answers.capabilities(_engine(url), pairs)


@st.cache_resource(show_spinner=False, max_entries=2)
def _configurations(url: str, version: str) -> dict[str, str]:
    rows = _laws(url, version).runtime.rows
    names = (rows["model"] + " · " + rows["configuration"]).tolist() if len(rows) else []
    found = dict(zip(rows["configuration_key"].tolist(), names, strict=True))
    same = Counter(found.values())  # stacks that words cannot tell apart are told by their keys
    return {k: n if same[n] == 1 else f"{n} · {k[:KEY_CHARACTERS]}" for k, n in found.items()}


@st.cache_resource(show_spinner=False, max_entries=2)
def _served(url: str, version: str) -> dict[str, tuple[str, Measured]]:
    known = _configurations(url, version)
    rows = _laws(url, version).runtime.rows
    pairs = zip(rows["configuration_key"].tolist(), rows["environment_key"].tolist(), strict=True)
    return {f"{key}/{machine}": (known[key], Measured(key, machine)) for key, machine in pairs}


@st.cache_data(show_spinner=False, max_entries=8)
def _overview(url: str, version: str) -> dict[str, Any]:
    del version
    return answers.overview(_engine(url))


@st.cache_resource(show_spinner=False, max_entries=64)
def _ask(url: str, version: str, name: str, arguments: tuple[Any, ...]) -> Any:
    """An answer that is immutable, so that it is shared and not copied."""
    del version
    return getattr(answers, name)(_engine(url), *arguments)


@st.cache_resource(show_spinner=False, max_entries=16)
def _pairs(url: str, version: str, base: str, others: tuple[str, ...]) -> pd.DataFrame:
    del version
    found = [frame_of(paired_points(_engine(url), base, key)).assign(key=key) for key in others]
    return pd.concat([rows for rows in found if not rows.empty] or found[:1], ignore_index=True)


@st.cache_resource(show_spinner=False, max_entries=4)
def _lanes(url: str, version: str, imported: bool) -> dict[str, int]:
    if imported:
        names = set(answers.reported_models(_engine(url))["model"])
    else:
        names = set(_laws(url, version).runtime.rows["model"])
    wanted = {architecture(model_name(str(m))) for m in names}
    found: dict[str, set[str]] = {}
    for row in _scores(url, version):
        shape = architecture(model_name(str(row["model_name"])))
        if shape in wanted:
            found.setdefault(axis_of(str(row["lane"])), set()).add(shape)
    return {axis: len(found[axis]) for axis in sorted(found)}


@st.cache_resource(show_spinner=False, max_entries=16)
def _imported_frontier(url: str, version: str, *arguments: Any) -> Tradeoff:
    cost, lane, scenario, limits = arguments
    return tradeoffs.frontier(
        _engine(url), cost, lane, scenario=scenario, imported=True, limits=limits, most=MOST_POINTS
    )


@st.cache_resource(show_spinner=False, max_entries=32)
def _frontier(url: str, version: str, *arguments: Any) -> Tradeoff:
    cost, lane, workload, scenario, limits = arguments
    requests = _requests(url, version, workload)
    return tradeoffs.frontier(
        _engine(url), cost, lane, workload, scenario, limits=limits, most=MOST_POINTS,
        requests=None if requests.empty else requests, known=_scores(url, version),
    )  # fmt: skip


@st.cache_resource(show_spinner=False, max_entries=4)
def _requests(url: str, version: str, workload: Workload) -> pd.DataFrame:
    laws = _laws(url, version)
    if not len(laws.runtime):
        return pd.DataFrame()
    return answers.request_table(_engine(url), workload, laws=laws)


@st.cache_resource(show_spinner=False, max_entries=16)
def _details(url: str, version: str, workload: Workload, keys: tuple[str, ...]) -> pd.DataFrame:
    known = _words(url, version)
    return _rows(answers.energy_inputs(_engine(url), workload, keys=keys, known=known))


def _rows(pairs: Sequence[tuple[Estimate, Any]]) -> pd.DataFrame:
    bare = sorted((e for e, _ in pairs), key=lambda e: (e.runtime_s, e.model, e.configuration_key))
    return pd.DataFrame([row for e in bare for row in e.rows()])


@st.cache_resource(show_spinner=False, max_entries=32)
def _estimate(
    url: str, version: str, workload: Workload, scenario: Scenario, keys: tuple[str, ...]
) -> list[Estimate]:
    """Estimates are immutable, so they are shared and not copied."""
    known = _words(url, version)
    return answers.estimate(_engine(url), workload, scenario, keys=keys, known=known)


__all__ = ["Database", "ObservatoryError", "connect"]
