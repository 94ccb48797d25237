"""Own hardware against a provider: from which volume on does owning pay?

Owning costs `fixed` an hour whether or not anybody asks, and `marginal` a request; a provider
costs `alternative` a request. They meet at v = fixed / (alternative - marginal) requests an hour.
The same holds for grams and litres (embodied carbon and idle power are the fixed part), where the
alternative is known only as an interval.
"""

from __future__ import annotations

from dataclasses import dataclass

from observatory.errors import InputError

S_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Requests an hour from which owning is cheaper. None: never, at any volume it can serve.

    `capacity_per_h` is what the hardware can serve at the stated utilisation; `own_at_capacity` is
    the cost of one request there; `low_per_h` and `high_per_h` bound the volume where the
    alternative is an interval (a dear alternative gives the low volume). `lower_bound`: the own
    cost of a request leaves something out, so that the true volumes are no smaller than these.
    """

    requests_per_h: float | None
    low_per_h: float | None
    high_per_h: float | None
    capacity_per_h: float
    own_at_capacity: float
    alternative: float | None
    reason: str | None = None
    lower_bound: bool = False

    @property
    def utilisation(self) -> float | None:
        """Share of the capacity at which they meet."""
        return None if self.requests_per_h is None else self.requests_per_h / self.capacity_per_h


def capacity_per_h(runtime_s: float, batch: int, utilisation: float) -> float:
    """Requests an hour that batches of `batch`, each `runtime_s` long, allow at a utilisation."""
    if runtime_s <= 0 or batch < 1 or not 0 < utilisation <= 1:
        raise InputError(
            f"capacity of runtime {runtime_s} s, batch {batch}, utilisation {utilisation}: "
            "needs a positive time, a batch and a utilisation in (0, 1]"
        )
    return S_PER_HOUR * batch * utilisation / runtime_s


def volume(fixed_per_h: float, marginal: float, alternative: float) -> float | None:
    """fixed / (alternative - marginal); None where the provider is cheaper at the margin."""
    if fixed_per_h < 0 or marginal < 0 or alternative < 0:
        raise InputError("costs of a break-even cannot be negative")
    return fixed_per_h / (alternative - marginal) if alternative > marginal else None


def break_even(
    fixed_per_h: float,
    marginal: float,
    alternative: float | None,
    capacity: float,
    alternative_low: float | None = None,
    alternative_high: float | None = None,
) -> BreakEven:
    """Where owning and asking a provider cost the same.

    `alternative` None (price unknown) gives no volume and says so; it is never 0.
    """
    own = fixed_per_h / capacity + marginal
    if alternative is None:
        return BreakEven(None, None, None, capacity, own, None, "the provider's cost is unknown")

    def within(value: float | None) -> float | None:
        found = None if value is None else volume(fixed_per_h, marginal, value)
        return found if found is not None and found <= capacity else None

    met = within(alternative)
    reason = None
    if alternative <= marginal:
        reason = "the provider costs less than a request's own marginal cost"
    elif met is None:
        reason = "they would meet above what the hardware can serve"
    return BreakEven(met, within(alternative_high), within(alternative_low), capacity, own,
                     alternative, reason)  # fmt: skip
