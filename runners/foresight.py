"""What a part of a campaign will take, phase by phase, between a least and a most.

Calibrated on the one timeline of real hardware that is committed (an H100, `results/published`);
a test holds every phase against it. A cell that scatters more than its like may still take longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from observatory.records import Phase
from runners import expect
from runners.expect import TICK_S, Speed
from runners.memory import refusal
from runners.models import ResolvedModel
from runners.plan import Plan, Point, Target
from runners.profiles import Profile, profile_named
from runners.protocol import anchor_window_s, iterations_for

#: The machine's peaks and the sensor's tick, once a run.
PROBING_S = {"quick": 5.0, "standard": 8.0, "publishable": 12.0}
PHASES = ("probing", "loading", "idle", "anchors", "warming", "heating", "windows")


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds, at least and at most."""

    low_s: float = 0.0
    high_s: float = 0.0

    def __add__(self, other: Span) -> Span:
        return Span(self.low_s + other.low_s, self.high_s + other.high_s)

    @property
    def middle_s(self) -> float:
        """Between the two."""
        return (self.low_s + self.high_s) / 2

    @property
    def sentence(self) -> str:
        """Such as `4.6 to 7.1 min`."""
        low, high = f"{self.low_s / 60:.1f}", f"{self.high_s / 60:.1f}"
        return f"about {low} min" if low == high else f"{low} to {high} min"


#: A pass took so many times what `runners.expect` says: prefill; decode of at most `FEW` sequences,
#: which as a captured graph costs no launches; and of more, where attention over a static cache is
#: slow. A process was ready after 0.8 to 1.2 times, the peaks and the tick after 0.5 to 0.8 times.
PREFILL_OFF, FEW_OFF, MANY_OFF, FEW = Span(0.75, 3.4), Span(0.22, 1.1), Span(0.22, 3.7), 16
LOAD_OFF, PROBING_OFF = Span(0.8, 1.25), Span(0.4, 1.0)
#: Windows in which a device gets warm, in the first process of a target and in each later one.
HEATING_WINDOWS = (Span(1, 2), Span(0, 1))
#: Between two windows, and until the passes of the warm-up begin; filling a cache is one prefill
#: that took up to so many times its FLOPs' time.
GAP_S, PREPARE_S, FILLING_OFF = 0.2, Span(0.2, 2.7), Span(0.0, 1.5)
#: Passes that the host's launches bound scatter: the warm-up's fastest says how many fill a window.
SCATTER = 1.45


def part_span(
    plan: Plan, models: Mapping[str, ResolvedModel], speed: Speed, room: int | None
) -> Span:
    """All phases of a part together; beyond its budget no more than the least is measured."""
    whole = sum(part_phases(plan, models, speed, room).values(), Span())
    if plan.budget_s is None:
        return whole
    return Span(whole.low_s, max(whole.low_s, min(whole.high_s, plan.budget_s)))


def part_phases(
    plan: Plan, models: Mapping[str, ResolvedModel], speed: Speed, room: int | None
) -> dict[str, Span]:
    """Seconds of each of `PHASES` where `room` bytes are free; what would be refused takes none."""
    found = dict.fromkeys(PHASES, Span())
    for target in plan.targets:
        for name, span in _target_phases(plan, target, models[target.model], speed, room):
            found[name] += span
    if found["loading"].high_s:
        found["probing"] = _times(PROBING_S[plan.profile], PROBING_OFF)
    return found


def _target_phases(
    plan: Plan, target: Target, model: ResolvedModel, speed: Speed, room: int | None
) -> Iterator[tuple[str, Span]]:
    architecture, profile = model.architecture, profile_named(plan.profile)
    if refusal(architecture, target, None, room) is not None:
        # nothing is loaded; the baseline before any load was measured by then
        empty = sum(profile.idle_s for point in target.points if point.name == "idle empty")
        yield "idle", Span(empty, empty)
        return
    repeats = plan.processes
    yield "loading", _times(repeats * expect.load_s(architecture, target), LOAD_OFF)
    window = _window_s(target, profile)
    if profile.waits_for_heat and target.device != "cpu":
        for index in range(repeats):
            heating = HEATING_WINDOWS[min(index, 1)]
            low_s, high_s = _filled_s(window.low_s, 0.0), _filled_s(window.high_s, 0.0)
            yield "heating", Span(heating.low_s * low_s, heating.high_s * high_s)
    for point in target.points:
        if refusal(architecture, target, point, room) is not None:
            continue
        if point.phase == Phase.IDLE:
            yield "idle", Span(profile.idle_s, profile.idle_s)
            continue
        warming, windows = point_span(model, target, point, speed, profile)
        if point.phase == Phase.ANCHOR:
            yield "anchors", _repeated(warming + windows, repeats)
        else:
            yield "warming", _repeated(warming, repeats)
            yield "windows", _repeated(windows, repeats)


def point_span(
    model: ResolvedModel, target: Target, point: Point, speed: Speed, profile: Profile
) -> tuple[Span, Span]:
    """Seconds of a point in one process: until its first window, and of its windows."""
    each_s = expect.pass_s(model.architecture, target, point, speed)
    passes = _times(each_s, pass_off(point))
    filling = _times(_filling_s(model, point, speed), FILLING_OFF)
    warming = Span(
        PREPARE_S.low_s + filling.low_s + expect.warming_s(passes.low_s, profile),
        PREPARE_S.high_s + filling.high_s + expect.warming_s(passes.high_s, profile),
    )
    length, most = _window_s(target, profile, point), float(profile.min_windows)
    launched = target.device != "cpu" and point.phase in (Phase.ANCHOR, Phase.PREFILL)
    if launched and each_s <= model.architecture.layers * speed.layer_s:
        most *= SCATTER
        if point.phase == Phase.PREFILL and profile.half_width_rel is not None:
            most = profile.max_windows  # the interval may stay too wide
    least_s = _filled_s(length.low_s, passes.low_s)
    most_s = max(_filled_s(length.high_s, each_s) for each_s in (passes.low_s, passes.high_s))
    return warming, Span(profile.min_windows * least_s, most * most_s)


def _filling_s(model: ResolvedModel, point: Point, speed: Speed) -> float:
    """Seconds that the cache takes which a decode point finds, by its FLOPs."""
    work = point.workload
    if point.phase != Phase.DECODE or not work.context_tokens:
        return 0.0
    flops = float(model.architecture.prefill_flops(work.context_tokens, work.batch))
    return flops / speed.flops_per_s


def pass_off(point: Point) -> Span:
    """How far a pass may lie from what `runners.expect` says."""
    if point.phase != Phase.DECODE:
        return PREFILL_OFF
    return FEW_OFF if point.workload.batch <= FEW else MANY_OFF


def _window_s(target: Target, profile: Profile, point: Point | None = None) -> Span:
    """Length of a window. On a CPU nobody knows beforehand whether joules will be counted."""

    def length_s(tick_s: float | None) -> float:
        if point is not None and point.phase == Phase.ANCHOR:
            return anchor_window_s(profile, tick_s)
        return profile.window_target_s(tick_s)

    return Span(length_s(None if target.device == "cpu" else TICK_S), length_s(TICK_S))


def _filled_s(length_s: float, each_s: float) -> float:
    """A window of whole iterations and the gap behind it."""
    each_s = max(each_s, 1e-3)
    return iterations_for(length_s, [each_s]) * each_s + GAP_S


def _times(seconds: float, off: Span) -> Span:
    return Span(seconds * off.low_s, seconds * off.high_s)


def _repeated(span: Span, times: int) -> Span:
    return Span(times * span.low_s, times * span.high_s)
