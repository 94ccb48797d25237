"""A sweep as data: which configurations, which points, in which order, under which hash.

A `Plan` is everything that decides what is measured. It is stored with the run as plain JSON, so
that `--resume` needs nothing else, and its content hash names it: equal plans have equal hashes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from observatory.errors import InputError
from observatory.records import Phase, Workload, content_hash
from observatory.verbs.numbers import LARGEST_SIZE

#: (prompt, batch) of the small prefill that is measured first and last in every process (METHOD
#: §3.11), by kind of device. On a GPU 16 tokens time the host, not the device: on an H100 their
#: windows spread from 11 to 22 ms in a process in which decode steps stood still to 0.01 %.
ANCHORS = {"cpu": (16, 1), "cuda": (512, 16)}


@dataclass(frozen=True, slots=True)
class Point:
    """One phase of one workload and the role it plays: `fit`, `heldout`, `anchor`, `idle`."""

    phase: str
    workload: Workload
    role: str = "fit"
    name: str | None = None  #: stands in the plan key instead of the derived text

    @property
    def label(self) -> str:
        """Unique inside a target, such as `decode c=256 o=8 B=1 fit`."""
        return self.name or f"{self.phase} {self.workload.label()} {self.role}"

    @property
    def longest_context(self) -> int:
        """Tokens in the KV cache when the last step has been made."""
        work = self.workload
        before = (work.prompt_tokens or 0) + (work.context_tokens or 0)
        return before + (work.output_tokens or 0)


@dataclass(frozen=True, slots=True)
class Target:
    """One configuration to run, as asked for, and its points."""

    model: str
    revision: str
    backend: str
    device: str
    dtype: str
    attention: str
    compile_mode: str
    kv_cache: str
    threads: int | None
    points: tuple[Point, ...]
    candidates: tuple[Point, ...] = ()  #: what a planner may add to them; empty: a fixed grid

    @property
    def label(self) -> str:
        """Unique inside a plan, such as `SmolLM2-135M bfloat16 sdpa eager dynamic cpu t2`."""
        parts = [self.model, self.dtype, self.attention, self.compile_mode, self.kv_cache]
        threads = [f"t{self.threads}"] if self.threads is not None else []
        return " ".join([*parts, self.device, *threads])

    @property
    def max_context(self) -> int:
        """The longest context that any point reaches."""
        return max((p.longest_context for p in (*self.points, *self.candidates)), default=1)

    def plan_key(self, point: Point) -> str:
        """Identity of a cell inside a run."""
        return f"{self.label} / {point.label}"


def _check_budget(seconds: float | None) -> None:
    """Raises InputError where there is no time in it."""
    if seconds is not None and not 0 < seconds < math.inf:
        raise InputError(f"--budget {seconds:g}: give seconds above 0")


@dataclass(frozen=True, slots=True)
class Aim:
    """When a planner stops: an expected error of the targets that is small enough, a time spent on
    the candidates of one configuration in one process, whichever comes first; one at least."""

    target_error: float | None = None
    budget_s: float | None = None

    def __post_init__(self) -> None:
        if self.target_error is None and self.budget_s is None:
            raise InputError("a planner needs a target error or a budget")
        if self.target_error is not None and not 0 < self.target_error < 1:
            raise InputError(
                f"--target-error {self.target_error:g}: give a share between 0 and 1, such as 0.05"
            )
        _check_budget(self.budget_s)


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep. `processes` are fresh processes per target; `seed` shuffles and fills weights."""

    profile: str
    processes: int
    seed: int
    sensor: str
    timeout_s: float
    targets: tuple[Target, ...]
    budget_s: float | None = None
    aim: Aim | None = None  #: of the targets that have candidates

    def __post_init__(self) -> None:
        _check_budget(self.budget_s)
        keys = [t.plan_key(p) for t in self.targets for p in (*t.points, *t.candidates)]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise InputError(f"the plan asks twice for {twice[0]!r}: give each point once")
        if not keys:
            raise InputError("the plan has no points: give at least one model and one workload")

    @property
    def hash(self) -> str:
        """Content hash of everything in the plan."""
        return content_hash(self.to_mapping())

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON values; `Plan.from_mapping` gives an equal plan back."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Plan:
        """The plan that `to_mapping` wrote. Raises InputError when it is something else."""
        try:
            targets = tuple(_target(t) for t in mapping["targets"])
            aim = None if mapping.get("aim") is None else Aim(**mapping["aim"])
            return cls(**{**_own(cls, mapping), "targets": targets, "aim": aim})
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"the stored plan cannot be read ({error}): start anew") from error

    def target_order(self, process_index: int) -> list[Target]:
        """Targets in this round's order: shuffled by plan, seed and round, so that no model
        always runs on the warmer machine."""
        order = list(self.targets)
        self._shuffler("targets", process_index).shuffle(order)
        return order

    def point_order(
        self, target: Target, process_index: int, chosen: Sequence[Point] = ()
    ) -> list[Point]:
        """A target's points, and those `chosen` by a planner, in this process's order: the first
        anchor, the shuffled points, the last anchor. Idle points are left out: they are measured
        before the model works."""
        work = [p for p in (*target.points, *chosen) if p.role not in ("anchor", "idle")]
        anchors = [p for p in target.points if p.role == "anchor"]
        self._shuffler(target.label, process_index).shuffle(work)
        return [*anchors[:1], *work, *anchors[1:]]

    def _shuffler(self, what: str, process_index: int) -> random.Random:
        return random.Random(f"{self.hash}:{self.seed}:{process_index}:{what}")  # noqa: S311


def _own(cls: type, mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The fields in the mapping; those with a default may be missing (an older version's plan)."""
    return {f.name: mapping[f.name] for f in fields(cls) if f.name in mapping}


def _target(mapping: Mapping[str, Any]) -> Target:
    points = tuple(_point(p) for p in mapping["points"])
    candidates = tuple(_point(p) for p in mapping.get("candidates", ()))
    return Target(**{**_own(Target, mapping), "points": points, "candidates": candidates})


def _point(mapping: Mapping[str, Any]) -> Point:
    return Point(**{**_own(Point, mapping), "workload": Workload(**mapping["workload"])})


def idle_points(first: bool) -> list[Point]:
    """Idle baselines: resident after load, and for the first target also before any load."""
    nothing = Workload(None, None)
    points = [Point(Phase.IDLE, nothing, "idle", "idle resident")]
    return [Point(Phase.IDLE, nothing, "idle", "idle empty"), *points] if first else points


def anchor_points(device_kind: str) -> list[Point]:
    """The fixed small workload, once at the start and once at the end of a process: one that keeps
    a device of this kind (`cpu`, `cuda`) busy, so that a drift of the device shows."""
    work = Workload.prefill(*ANCHORS[device_kind])
    return [Point(Phase.ANCHOR, work, "anchor", f"anchor {when}") for when in ("start", "end")]


def check_size(name: str, value: int) -> int:
    """`value` if it is a possible size. Raises InputError naming the flag or key."""
    if not 1 <= value <= LARGEST_SIZE:
        raise InputError(f"{name} {value}: give a whole number from 1 to {LARGEST_SIZE}")
    return value
