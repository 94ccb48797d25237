"""How long a plan will take, before anything is measured. Rough on purpose, and called rough.

A pass takes its FLOPs and bytes at a nominal share of nominal peaks, and a launch cost per layer
(METHOD §2.2: 0.73–0.88 ms a layer on A100, whatever the size). While a run lasts, what was measured
corrects what was expected.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from observatory.catalog import hardware
from observatory.catalog.architecture import Architecture
from observatory.errors import UnknownNameError
from observatory.records import Phase
from runners.devices import Chosen
from runners.memory import DTYPE_BYTES, refusal
from runners.plan import Plan, Point, Target
from runners.profiles import Profile, profile_named
from runners.protocol import anchor_window_s

#: (flag of /proc/cpuinfo, dense bf16 or fp32 FLOP/s of one core): orders of magnitude.
CPU_CORE_FLOPS = (
    ("amx_bf16", 1000e9), ("avx512_bf16", 400e9), ("avx512f", 80e9), ("avx2", 40e9),
)  # fmt: skip
CPU_CORE_BYTES_PER_S = 10e9
#: By kind of device: importing the libraries in a fresh process and building a small model, and
#: writing random weights (with an H100, 2.5 to 15 GB stood 15 to 20 s after the process began).
START_S = {"cpu": 6.0, "cuda": 15.0}
BUILD_BYTES_PER_S = {"cpu": 0.5e9, "cuda": 5e9}
HEATING_WINDOWS = 1  #: in each process, until an accelerator's temperature stands (METHOD §3.3)
#: Tick of the energy counter that windows are foreseen for: the slowest of NVIDIA's, METHOD §3.
TICK_S = 0.1
PLANNER_POINTS = 8  #: what a planner chose per batch size on small models, roughly


@dataclass(frozen=True, slots=True)
class Speed:
    """Reachable FLOP/s and B/s, and seconds of launch cost per layer and pass."""

    flops_per_s: float
    bytes_per_s: float
    layer_s: float


def nominal_speed(device: Chosen, threads: int, cpuinfo: Path = Path("/proc/cpuinfo")) -> Speed:
    """What a device may be expected to reach: from the catalogue for an accelerator it knows."""
    if device.accelerator is None:
        try:
            text = cpuinfo.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        core = next((rate for flag, rate in CPU_CORE_FLOPS if flag in text), 20e9)
        return Speed(0.5 * core * threads, CPU_CORE_BYTES_PER_S * threads, 0.3e-3)
    try:
        card = hardware.lookup(device.accelerator.name)
    except UnknownNameError:
        return Speed(40e12, 0.6e12, 0.8e-3)
    return Speed(0.4 * card.peak("bf16"), 0.6 * card.bandwidth_bytes_per_s, 0.8e-3)


def pass_s(architecture: Architecture, target: Target, point: Point, speed: Speed) -> float:
    """Expected seconds of one iteration of a point."""
    work, width = point.workload, DTYPE_BYTES[target.dtype]
    launch = architecture.layers * speed.layer_s
    seconds = 0.0
    if work.prompt_tokens is not None:
        flops = architecture.prefill_flops(work.prompt_tokens, work.batch)
        seconds += max(flops / speed.flops_per_s, launch)
    steps = (work.output_tokens or 1) - (1 if work.prompt_tokens is not None else 0)
    if steps > 0:
        context = work.context_tokens or work.prompt_tokens or 1
        moved = width / 2 * architecture.decode_bytes(context + steps / 2, work.batch)
        seconds += steps * max(moved / speed.bytes_per_s, launch)
    return seconds


def cell_s(
    architecture: Architecture, target: Target, point: Point, speed: Speed, profile: Profile,
    window_s: float,
) -> float:  # fmt: skip
    """Expected seconds of one point in one process: warm-up and the profile's least windows."""
    if point.phase == Phase.IDLE:
        return profile.idle_s
    if point.phase == Phase.ANCHOR:
        window_s = min(window_s, anchor_window_s(profile, TICK_S))
    return measuring_s(pass_s(architecture, target, point, speed), profile, window_s)


def measuring_s(each: float, profile: Profile, window_s: float) -> float:
    """Seconds in one process for a point whose iteration takes `each` seconds."""
    return warming_s(each, profile) + profile.min_windows * max(window_s, each)


def warming_s(each: float, profile: Profile) -> float:
    """Seconds of the passes before the first window, where they agree at once."""
    rule = profile.warm_up
    warm = max(rule.min_passes, rule.stable_passes) * each
    return warm if rule.cap_s is None else max(each, min(warm, rule.cap_s))


def planner_s(
    plan: Plan, architecture: Architecture, target: Target, speed: Speed, window_s: float
) -> float:
    """Expected seconds in one process for the points that a planner will choose: a guess at how
    many it needs, spread evenly over the candidates, and no more than its budget."""
    if not target.candidates or plan.aim is None:
        return 0.0
    profile = profile_named(plan.profile)
    each = [
        cell_s(architecture, target, point, speed, profile, window_s) for point in target.candidates
    ]
    guess_s = sum(each) * planner_points(target) / len(each)
    return guess_s if plan.aim.budget_s is None else min(guess_s, plan.aim.budget_s)


def planner_points(target: Target) -> int:
    """How many points a planner is likely to choose; only a progress bar needs it."""
    batches = {point.workload.batch for point in target.candidates}
    return min(len(target.candidates), PLANNER_POINTS * len(batches))


def load_s(architecture: Architecture, target: Target) -> float:
    """Expected seconds until a fresh process has its model."""
    kind = target.device.partition(":")[0]
    return (
        START_S[kind]
        + architecture.parameters * DTYPE_BYTES[target.dtype] / (BUILD_BYTES_PER_S[kind])
    )


def heating_s(target: Target, profile: Profile, window_s: float) -> float:
    """Expected seconds in which a fresh process's device gets warm, where the profile waits."""
    waits = profile.waits_for_heat and target.device != "cpu"
    return HEATING_WINDOWS * window_s if waits else 0.0


def plan_s(
    plan: Plan, architectures: dict[str, Architecture], speed: Speed, room: int | None = None
) -> float:
    """Expected seconds of the whole plan where no joules are counted. What does not fit into `room`
    bytes will be refused, and takes none: of a model that does not, the first idle baseline."""
    profile = profile_named(plan.profile)
    window_s = profile.window_target_s(None)
    total = 0.0
    for target in plan.targets:
        model = architectures[target.model]
        if refusal(model, target, None, room) is not None:
            total += sum(profile.idle_s for point in target.points if point.name == "idle empty")
            continue
        for point in target.points:
            if refusal(model, target, point, room) is not None:
                continue
            repeats = 1 if point.phase == Phase.IDLE else plan.processes
            total += repeats * cell_s(model, target, point, speed, profile, window_s)
        total += plan.processes * planner_s(plan, model, target, speed, window_s)
        total += plan.processes * (load_s(model, target) + heating_s(target, profile, window_s))
    return total


class Pace:
    """Time left: what was expected of the rest, corrected by what the done part took."""

    def __init__(self, expected_s: float) -> None:
        self._expected_s, self._done_s = expected_s, 0.0
        self._began = time.monotonic()

    def expect(self, more_s: float) -> None:
        """The whole will take so much more (or less, below 0) than was expected."""
        self._expected_s = max(self._done_s, self._expected_s + more_s)

    def done(self, expected_s: float) -> None:
        """A part that was expected to take so long is over."""
        self._done_s += expected_s

    @property
    def left_s(self) -> float:
        """What was expected of the rest, as it was expected."""
        return max(0.0, self._expected_s - self._done_s)

    @property
    def elapsed_s(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began

    @property
    def remaining_s(self) -> float:
        """Expected seconds still to come."""
        return self.scaled(self.left_s)

    def scaled(self, expected_s: float) -> float:
        """What a part takes that was expected to take so long, by what the others took."""
        ratio = self.elapsed_s / self._done_s if self._done_s > 0 else 1.0
        return expected_s * ratio
