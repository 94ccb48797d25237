"""How thoroughly to measure: `quick`, `standard`, `publishable` (METHOD §3).

quick looks, standard decides, publishable is for a paper. A profile is data; the rules that read it
are in `runners.protocol`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from observatory.errors import UnknownNameError

#: Windows of a point in one process where an error is asked for, at most (ours).
MOST_TOWARDS_TARGET = 12


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Passes before the first window: at least `min_passes`, until the last `stable_passes` pass
    times have a coefficient of variation below `cv`, at most `max_passes`. `cap_s` ends it earlier
    where the profile is short of time, after one pass at least; the window is then flagged."""

    min_passes: int = 3
    stable_passes: int = 5
    cv: float = 0.05
    max_passes: int = 20
    cap_s: float | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """One level of thoroughness.

    energy_ticks: an energy window lasts at least that many ticks of the sensor's counter, and
    `energy_window_s` at least; `time_window_s` holds where no joules are measured. `half_width_rel`
    is the relative half-width of the 95 % interval at which windows stop, None for a fixed count.
    `target_error` is the expected held-out error at which a planner stops choosing points, and
    `planner_s` the seconds in each process after which it stops in any case.
    `cpu_processes` replaces `processes` on a CPU, where fresh processes differ by up to 24 % while
    the spread inside each is 1 % (METHOD §3.14), so processes are the repeats that matter.
    """

    name: str
    idle_s: float
    energy_window_s: float
    energy_ticks: float
    time_window_s: float
    processes: int
    cpu_processes: int
    min_windows: int
    max_windows: int
    half_width_rel: float | None
    warm_up: WarmUp
    timeout_s: float
    target_error: float
    planner_s: float | None = None
    budget_s: float | None = None  #: beyond it one window a cell must do, and it is said

    def window_target_s(self, tick_s: float | None) -> float:
        """Seconds a window must last. `tick_s` is None where no joules are measured."""
        if tick_s is None:
            return self.time_window_s
        return max(self.time_window_s, self.energy_window_s, self.energy_ticks * tick_s)

    @property
    def waits_for_heat(self) -> bool:
        """Whether warm-up waits for a device's temperature: not where it is cut short."""
        return self.warm_up.cap_s is None

    def towards(self, target_error: float) -> Profile:
        """This profile where an error is asked for and no time: a point whose windows scatter is
        measured longer, until their interval is no wider than that error. A profile with a rule of
        its own stays as it is."""
        if self.half_width_rel is not None:
            return self
        return replace(self, half_width_rel=target_error, max_windows=MOST_TOWARDS_TARGET)

    def process_count(self, device_kind: str) -> int:
        """Fresh processes per configuration on a `cpu` or `cuda` device."""
        return self.cpu_processes if device_kind == "cpu" else self.processes


PROFILES: dict[str, Profile] = {
    "quick": Profile(
        name="quick", idle_s=2.0, energy_window_s=0.0, energy_ticks=20, time_window_s=0.3,
        processes=2, cpu_processes=2, min_windows=2, max_windows=2, half_width_rel=None,
        warm_up=WarmUp(cap_s=0.25), timeout_s=120.0, target_error=0.05,
        planner_s=12.0, budget_s=85.0,
    ),
    "standard": Profile(
        name="standard", idle_s=10.0, energy_window_s=10.0, energy_ticks=100, time_window_s=1.0,
        processes=1, cpu_processes=3, min_windows=3, max_windows=10, half_width_rel=0.05,
        warm_up=WarmUp(), timeout_s=900.0, target_error=0.03,
    ),
    "publishable": Profile(
        name="publishable", idle_s=30.0, energy_window_s=20.0, energy_ticks=200, time_window_s=2.0,
        processes=3, cpu_processes=5, min_windows=3, max_windows=20, half_width_rel=0.02,
        warm_up=WarmUp(), timeout_s=3600.0, target_error=0.02,
    ),
}  # fmt: skip


def profile_named(name: str) -> Profile:
    """The profile called `name`. Raises UnknownNameError."""
    if name not in PROFILES:
        raise UnknownNameError("profile", name, list(PROFILES), f"use {', '.join(PROFILES)}")
    return PROFILES[name]
