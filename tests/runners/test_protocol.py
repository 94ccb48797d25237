"""The protocol's rules as pure functions, and one cell measured against a scripted process."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.records import Energy, Phase, Window, Workload
from runners.plan import Point
from runners.profiles import PROFILES, WarmUp, profile_named
from runners.protocol import (
    Clock,
    Prepared,
    Protocol,
    Timed,
    enough,
    is_stable,
    iterations_for,
    share_of_cpu,
    warmed_up,
)
from runners.sensors.absent import AbsentMeter
from runners.sensors.base import Reading, SensorFacts

POINT = Point(Phase.PREFILL, Workload.prefill(8))


def window(seconds: float, joules: float | None = None) -> Window:
    energy = Energy(device_j=joules, provenance="measured") if joules else Energy(reason="none")
    return Window(0, 0, 1, seconds, "", 8, energy)


@pytest.mark.parametrize("passes", [1, 2])
def test_warm_up_makes_three_passes_at_least(passes: int) -> None:
    assert not warmed_up([1.0] * passes, 1e9, WarmUp())


def test_warm_up_ends_when_the_last_five_agree() -> None:
    assert not warmed_up([1.0] * 4, 4, WarmUp())
    assert warmed_up([9.0, *[1.0] * 5], 14, WarmUp())
    assert not warmed_up([1.0, 1.0, 1.2, 1.0, 1.0, 1.0], 6, WarmUp())


def test_warm_up_ends_after_twenty_passes_whatever_they_do() -> None:
    wild = [1.0, 2.0] * 10
    assert not warmed_up(wild[:19], 30, WarmUp()) and warmed_up(wild, 30, WarmUp())
    assert not is_stable(wild, WarmUp())


def test_the_cap_in_seconds_leaves_one_pass_at_least() -> None:
    rule = WarmUp(cap_s=0.25)
    assert not warmed_up([], 9, rule) and warmed_up([0.4], 0.4, rule)
    assert not warmed_up([0.05], 0.05, rule)


@given(st.floats(1e-6, 30), st.lists(st.floats(1e-6, 10), min_size=1, max_size=20))
def test_iterations_fill_the_window_at_the_fastest_pace(target: float, passes: list[float]) -> None:
    count = iterations_for(target, passes)
    fastest = min(passes[-5:])
    assert count == 1_000_000 or count * fastest >= target
    assert count == 1 or (count - 1) * fastest <= 1.05 * target * 1.000001


def test_window_length_follows_the_profile() -> None:
    quick, standard = PROFILES["quick"], PROFILES["standard"]
    assert quick.window_target_s(None) == 0.3
    assert quick.window_target_s(0.1) == pytest.approx(2.0)  # 20 ticks
    assert standard.window_target_s(0.05) == 10.0
    assert standard.window_target_s(0.2) == pytest.approx(20.0)  # 100 ticks
    assert PROFILES["publishable"].window_target_s(0.2) == pytest.approx(40.0)  # 200 ticks
    assert all(p.process_count("cpu") >= 2 for p in PROFILES.values())


def test_windows_stop_when_time_and_joules_are_narrow() -> None:
    standard = profile_named("standard")
    assert not enough([window(1.0)] * 2, standard)
    assert enough([window(1.0), window(1.001), window(0.999)], standard)
    assert not enough([window(1.0), window(1.3), window(0.7)], standard)
    assert enough([window(1.0), window(1.3), window(0.7)] * 4, standard)  # the most windows
    steady, wild = [1.0, 1.0, 1.001], [10.0, 14.0, 6.0]
    assert not enough([window(s, j) for s, j in zip(steady, wild, strict=True)], standard)
    assert enough([window(s, 10.0) for s in steady], standard)


def test_share_of_cpu() -> None:
    timed = Timed(0, 2_000_000_000, 1, cpu_time_s=3.6)
    assert share_of_cpu(timed, 2) == pytest.approx(0.9)
    assert share_of_cpu(timed, None) is None
    assert share_of_cpu(replace(timed, cpu_time_s=None), 2) is None


def test_the_clock_tells_utc_from_one_anchor() -> None:
    clock = Clock(datetime(2026, 1, 1, tzinfo=UTC), 5_000_000_000)
    assert clock.utc(6_500_000_000) == "2026-01-01T00:00:01.500000+00:00"


@dataclass
class Scripted:
    """A process that takes what its script says for each pass."""

    pass_s: Sequence[float]
    warm_s: Sequence[float] = (0.1,) * 5
    process_id: str = "p"
    pid: int = 1
    threads: int | None = 1
    cpu_share: float = 1.0
    asked: list[int] = field(default_factory=list)

    def prepare(self, point: Point, warm_up: WarmUp) -> Prepared:
        return Prepared(tuple(self.warm_s), is_stable(self.warm_s, warm_up), 8)

    def window(self, iterations: int) -> Timed:
        each = self.pass_s[min(len(self.asked), len(self.pass_s) - 1)]
        self.asked.append(iterations)
        length = iterations * each
        return Timed(0, round(length * 1e9), iterations, cpu_time_s=length * self.cpu_share)


class Ticking(AbsentMeter):
    """A meter that measures 10 W with a tick of 50 ms, and remembers its marks."""

    def __init__(self, provenance: str = "measured") -> None:
        super().__init__("")
        self.marks = 0
        self.facts = SensorFacts(
            "test", "nvml_counter", provenance, "device", ("gpu:0",), ("gpu:0",), tick_s=0.05
        )

    def mark(self, opening: bool = False) -> None:
        self.marks += 1

    def reading(self, start_ns: int, end_ns: int) -> Reading:
        joules = 10 * (end_ns - start_ns) / 1e9
        return Reading(Energy(device_j=joules, provenance="measured"))


def protocol(profile: str = "quick", meter: AbsentMeter | None = None) -> Protocol:
    clock = Clock(datetime(2026, 1, 1, tzinfo=UTC), 0)
    return Protocol(profile_named(profile), meter or AbsentMeter("absent: none here"), clock)


def test_a_cell_is_measured_in_windows_of_the_asked_length() -> None:
    process = Scripted([0.1])
    made = list(protocol().windows(process, POINT, 1))
    assert [(w.process_index, w.window_index) for w in made] == [(1, 0), (1, 1)]
    assert all(w.duration_s >= 0.3 and w.window_target_s == 0.3 for w in made)
    assert all(
        w.tokens == 8 * w.iterations and w.energy.reason == "absent: none here" for w in made
    )
    assert not any(w.flags for w in made)


def test_a_window_that_came_out_short_is_kept_and_a_longer_one_follows() -> None:
    made = list(protocol().windows(Scripted([0.02]), POINT, 0))
    short = [w for w in made if w.duration_s < 0.3]
    assert len(short) == 1 and len(made) == 3
    assert made[1].iterations > made[0].iterations


def test_windows_that_never_get_long_enough_end_all_the_same() -> None:
    ever_faster = [0.1 / 4**i for i in range(20)]
    made = list(protocol().windows(Scripted(ever_faster), POINT, 0))
    assert len(made) == PROFILES["quick"].max_windows + 2


def test_resuming_goes_on_counting() -> None:
    made = list(protocol().windows(Scripted([0.1]), POINT, 0, first=3))
    assert [w.window_index for w in made] == [3, 4]


def test_measured_joules_make_windows_of_twenty_ticks_and_estimates_do_not() -> None:
    meter = Ticking()
    made = list(protocol(meter=meter).windows(Scripted([0.1]), POINT, 0))
    assert all(w.window_target_s == pytest.approx(1.0) and w.duration_s >= 1.0 for w in made)
    assert meter.marks == 2 * len(made)
    assert made[0].energy.device_j == pytest.approx(10 * made[0].duration_s)
    assert protocol(meter=Ticking("estimated")).target_s() == 0.3


def test_what_the_protocol_sees_wrong_is_flagged() -> None:
    busy = list(protocol().windows(Scripted([0.1], cpu_share=0.9), POINT, 0))
    assert all(w.flags == ("cpu_contended",) and w.cpu_share == pytest.approx(0.9) for w in busy)
    capped = list(protocol().windows(Scripted([0.4], warm_s=(0.4,)), POINT, 0))
    assert all(w.flags == ("warm_up_capped",) for w in capped)
    wild = [0.1, 0.2] * 10
    never = list(protocol("standard").windows(Scripted([0.2], warm_s=wild), POINT, 0))
    assert all(w.flags == ("warm_up_not_stable",) for w in never)


class Heating(Ticking):
    """A meter whose device ends its windows at these temperatures, then by `more` above the last;
    between two windows it cools by 6 °C."""

    def __init__(self, *ends_c: float | None, more: float = 0.0) -> None:
        super().__init__()
        self.ends_c, self.more, self.last_c = list(ends_c), more, 40.0

    def reading(self, start_ns: int, end_ns: int) -> Reading:
        plain = super().reading(start_ns, end_ns)
        start_c = self.last_c - (0.0 if self.last_c == 40.0 else 6.0)
        end_c = self.ends_c.pop(0) if self.ends_c else self.last_c + self.more
        if end_c is None:
            return plain
        self.last_c = end_c
        return replace(plain, temperature_start_c=start_c, temperature_end_c=end_c)


def rising(windows: Sequence[Window]) -> list[bool]:
    return ["temperature_rising" in w.flags for w in windows]


def test_windows_of_a_device_that_still_heats_are_warm_up() -> None:
    made = list(protocol("standard", Heating(46, 49, 50)).windows(Scripted([0.1]), POINT, 0))
    assert rising(made) == [True, True, False, False, False]
    assert [w.window_index for w in made] == [0, 1, 2, 3, 4]


def test_a_die_that_cools_between_windows_is_warm_all_the_same() -> None:
    """Ends of an H100's windows: 58, 59, 59, 59 °C, each begun 4 to 7 °C lower."""
    made = list(protocol("standard", Heating(58, 59, 59, 59)).windows(Scripted([0.1]), POINT, 0))
    assert rising(made) == [True, False, False, False]
    assert all(w.temperature_start_c == w.temperature_end_c - 6 for w in made[2:])


@pytest.mark.parametrize("end_c", [41.0, 40.0, 36.0, None])
def test_a_degree_up_or_any_down_is_stable(end_c: float | None) -> None:
    ends_c = [end_c] * 3
    made = list(protocol("standard", Heating(*ends_c)).windows(Scripted([0.1]), POINT, 0))
    assert len(made) == 3 and not any(w.flags for w in made)


def test_heating_without_end_is_waited_for_a_minute_and_quick_never_waits() -> None:
    made = list(protocol("standard", Heating(more=9)).windows(Scripted([0.1]), POINT, 0))
    heating = [w for w in made if "temperature_rising" in w.flags]
    assert 60 <= sum(w.duration_s for w in heating) < 75 and len(made) == len(heating) + 3
    assert all("temperature_not_settled" in w.flags for w in made[len(heating) :])
    assert not any(
        w.flags for w in protocol("quick", Heating(more=9)).windows(Scripted([0.1]), POINT, 0)
    )


def test_an_anchor_shows_time_in_short_windows() -> None:
    anchor = Point(Phase.ANCHOR, Workload.prefill(8), "anchor")
    made = list(protocol("standard", Ticking()).windows(Scripted([0.1]), anchor, 0))
    assert all(w.window_target_s == 1.0 for w in made)  # 20 ticks of 50 ms, not 10 s
    assert len(made) == 3
    jumpy = list(
        protocol("standard", Heating(more=9)).windows(Scripted([0.1, 0.2, 0.1]), anchor, 0)
    )
    assert len(jumpy) == 3  # neither to a narrow interval nor until the device is warm
    assert protocol("standard", Ticking()).target_s(POINT) == 10.0


def test_whatever_uses_the_device_before_any_load_is_foreign(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Shared(Ticking):
        def foreign_processes(self, own: Collection[int] = ()) -> tuple[str, ...]:
            return ("gpu:0 pid 7",)

    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    assert protocol(meter=Shared()).idle(0).flags == ("foreign_process",)
    assert protocol(meter=Ticking()).idle(0).flags == ()


@pytest.mark.parametrize("asked", [1, 2])
def test_a_process_that_comes_before_a_window_or_during_it_is_foreign(
    asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked for on both sides, of windows and of the resident baseline."""

    class Visited(Ticking):
        calls = 0

        def foreign_processes(self, own: Collection[int] = ()) -> tuple[str, ...]:
            assert own == (1,)
            self.calls += 1
            return ("gpu:0 pid 7",) if self.calls == asked else ()

    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    idle = protocol(meter=Visited()).idle(0, Scripted([0.1]))
    assert idle.flags == ("foreign_process",) and idle.process_id == "p"
    first, *_ = protocol(meter=Visited()).windows(Scripted([0.1]), POINT, 0)
    assert "foreign_process" in first.flags


def test_windows_beyond_the_least_need_time_to_spare() -> None:
    """Those that a wide interval asks for, and those in which a device gets warm."""
    scattering = Scripted([0.1, 0.13] * 20)
    asked: list[float] = []

    def spare(seconds: float) -> bool:
        asked.append(seconds)
        return len(asked) <= 2

    standard = replace(protocol(), profile=PROFILES["standard"])
    free = list(standard.windows(Scripted([0.1, 0.13] * 20), POINT, 0))
    assert len(free) == PROFILES["standard"].max_windows
    least = PROFILES["standard"].min_windows
    assert len(list(replace(standard, spare=spare).windows(scattering, POINT, 0))) == least + 2
    assert set(asked) == {standard.target_s(POINT)}


def test_a_device_is_not_waited_for_where_no_time_is_left() -> None:
    class Warming(Ticking):
        at_c = 30.0

        def reading(self, start_ns: int, end_ns: int) -> Reading:
            self.at_c += 5.0
            return replace(super().reading(start_ns, end_ns), temperature_end_c=self.at_c)

    standard = replace(protocol(meter=Warming()), profile=PROFILES["standard"])
    waited = list(standard.windows(Scripted([0.1]), POINT, 0))
    hurried = list(
        replace(standard, meter=Warming(), spare=lambda _: False).windows(Scripted([0.1]), POINT, 0)
    )
    assert len(hurried) == PROFILES["standard"].min_windows < len(waited)
    assert "temperature_rising" in waited[1].flags
    assert hurried[1].flags == ("temperature_not_settled",)


def test_a_run_out_of_time_takes_one_window() -> None:
    hurried = replace(protocol(), shortened=lambda: True)
    assert len(list(hurried.windows(Scripted([0.1]), POINT, 0))) == 1
