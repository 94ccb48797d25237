"""MLPerf power trace: `spl.txt`, wall power once a second, with idle before and after the run.

`mlperf_log_detail*.txt` beside it marks where the run begins and ends; the mean of the samples
between the marks is the published figure. Both clocks must agree: a window without samples is
refused. The medians before the run stand as `power_idle_w`.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

from observatory.errors import InputError
from observatory.importers.facts import Common
from observatory.importers.files import head, lines, text
from observatory.importers.mlperf import NOTICE
from observatory.importers.reading import Reading, Row, name_of, words
from observatory.records import Reported
from observatory.statistics import median

TOOL = "MLPerf power trace"
STAMP = "%m-%d-%Y %H:%M:%S.%f"
_MARK = r'"key": "power_{}", "value": "([^"]+)"'
_LOGGED = r'"key": "{}", "value": "?([^",]+)'
#: version, system with its software in capitals, model, scenario
_FOLDER = re.compile(
    r"^(v\d+_\d+)_(.+_[A-Z]+)_([a-z][A-Za-z0-9_.-]*)_(Offline|Server|SingleStream|MultiStream)$"
)
MAX_SAMPLES = 2_000_000


@dataclass(frozen=True, slots=True)
class Trace:
    """Time stamps (local, without a zone) and watts of every sample."""

    at: tuple[datetime.datetime, ...]
    watts: tuple[float, ...]

    def between(self, begin: datetime.datetime, end: datetime.datetime) -> list[float]:
        """Watts of the samples from begin to end, both included."""
        return [w for t, w in zip(self.at, self.watts, strict=True) if begin <= t <= end]


def sniff(path: Path) -> bool:
    """Lines `Time,…,Watts,…`."""
    start = head(path)
    return start.startswith("Time,") and ",Watts," in start[:80]


def read(path: Path) -> Reading:
    """One run. Raises InputError where trace or marks are unreadable or do not meet."""
    trace = read_trace(path)
    log = _log(path)
    begin, end = (_mark(log, which, path) for which in ("begin", "end"))
    watts = trace.between(begin, end)
    if not watts or end <= begin:
        raise InputError(f"{path}: no sample between power_begin {begin} and power_end {end}")
    row = Row("0", _facts(path, trace, watts, begin, end, log))
    return Reading(TOOL, [row], _version(path), None, None, {"notice": NOTICE})


def read_trace(path: Path) -> Trace:
    """Every sample of a trace. Raises InputError for lines that are no samples or go back."""
    at: list[datetime.datetime] = []
    watts: list[float] = []
    for number, line in enumerate(lines(path), 1):
        cells = line.strip().split(",")
        if cells == [""]:
            continue
        try:
            if cells[0] != "Time" or cells[2] != "Watts" or len(watts) >= MAX_SAMPLES:
                raise ValueError
            at.append(datetime.datetime.strptime(cells[1], STAMP))
            watts.append(float(cells[3]))
        except (ValueError, IndexError):
            raise InputError(f"{path}: line {number} is no power sample") from None
        if not 0 <= watts[-1] < 1e9 or (len(at) > 1 and at[-1] < at[-2]):
            raise InputError(f"{path}: line {number}: power or time out of order")
    return Trace(tuple(at), tuple(watts))


def _log(path: Path) -> str:
    found = sorted(path.parent.glob("mlperf_log_detail*.txt"))
    if not found:
        raise InputError(f"{path}: no mlperf_log_detail*.txt beside it says when the run began")
    return text(found[0])


def _mark(log: str, which: str, path: Path) -> datetime.datetime:
    found = re.search(_MARK.format(which), log)
    try:
        return datetime.datetime.strptime(found[1] if found else "", STAMP)
    except ValueError:
        raise InputError(f"{path}: its log has no readable power_{which}") from None


def _logged(log: str, key: str) -> float | None:
    found = re.search(_LOGGED.format(re.escape(key)), log)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None


def _version(path: Path) -> str | None:
    found = _FOLDER.match(path.resolve().parent.name)
    return found[1].replace("_", ".") if found else None


def _facts(
    path: Path,
    trace: Trace,
    watts: list[float],
    begin: datetime.datetime,
    end: datetime.datetime,
    log: str,
) -> tuple[Reported, ...]:
    found = _FOLDER.match(path.resolve().parent.name)
    system = words({"system": found[2]}, "system") if found else None
    mean, seconds = sum(watts) / len(watts), (end - begin).total_seconds()
    tokens = _logged(log, "result_completed_tokens_per_second") or _logged(
        log, "result_tokens_per_second"
    )
    idle = [w for t, w in zip(trace.at, trace.watts, strict=True) if t < begin]
    common = Common(
        row="0",
        model_name=name_of({"folder": found[3] if found else path.resolve().parent.name}, "folder"),
        phase="serving",
        device_kind=system,
        boundary="wall",
        method="wall_meter",
        n=len(watts),
        extra={"notice": NOTICE, "scenario": found[4] if found else None, "seconds": seconds},
    )
    return common.facts({
        "power_w": (mean, "second"),
        "energy_run_j": (mean * seconds, "run"),
        "tokens_per_s": (tokens, "second"),
        "energy_per_token_j": (mean / tokens if tokens else None, "token"),
        "power_idle_w": (median(idle) if idle else None, "second"),
    })  # fmt: skip
