"""`observatory breakeven`: own hardware against a provider's list price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.records import Workload
from observatory.units import significant
from observatory.verbs import billing, numbers, options, outside
from observatory.verbs.tables import legend, print_table

if TYPE_CHECKING:
    from observatory.catalog.prices import ApiPrice
    from observatory.decision.breakeven import BreakEven

SHOWN = 20


@click.command(name="breakeven")
@click.argument("model")
@click.option("--api", metavar="MODEL", help="Model of the price list.  [default: MODEL itself]")
@click.option("--provider", metavar="NAME", help="Only this provider of the list.")
@click.option(
    "--utilisation",
    type=numbers.PART,
    default=0.5,
    show_default=True,
    metavar="SHARE",
    help="Share of the hour in which the hardware serves at its capacity.",
)
@click.option(
    "--provider-wh",
    metavar="LOW,HIGH",
    help="Bounds of the provider's energy a request (Wh at its facility), for g and L.",
)
@options.workload
@billing.zone
@billing.choices
@options.database
@options.as_json
def command(
    model: str, api: str | None, provider: str | None, utilisation: float,
    provider_wh: str | None, prompt: int | None, output: int | None, batch: int, db: str,
    json_: bool, **choices: Any,
) -> None:  # fmt: skip
    """From how many requests an hour is a measured MODEL cheaper than a provider?

    Prices come from the list, or from --api-input-price and --api-output-price. An unknown price
    gives no volume, never $0.
    """
    from observatory import answers
    from observatory.footprint import Scenario
    from observatory.store.database import open_read_only
    from observatory.tradeoffs.breakeven import against, parse_interval

    scenario = Scenario(**choices)
    if scenario.zone is None and scenario.carbon_intensity_g_per_kwh is None:
        raise InputError("a break-even needs the place of the hardware: give --zone")
    engine = open_read_only(db)
    usual = answers.covered_request(engine)
    request = Workload.request(prompt or usual[0], output or usual[1], batch)
    bounds = None if provider_wh is None else parse_interval(provider_wh)
    found = against(engine, model, request, _offers(api or model, provider, scenario), utilisation,
                    scenario, bounds)  # fmt: skip
    outside.warn(outside.outside(engine, request, model))
    if json_:
        options.print_json([f.to_json() for f in found])
        return
    marks, where = legend([f.configuration for f in found[:SHOWN]])
    reasons = {r for f in found for r in (f.usd_reason, f.energy_reason) if r}
    reasons |= {f"$: {f.usd.reason}" for f in found if f.usd and f.usd.reason}
    reasons |= {f"≥ {f.lower_bound}" for f in found if f.lower_bound}
    print_table(
        f"Requests an hour at which {model} and a provider cost the same "
        f"({request.label()}, utilisation {utilisation:.0%})",
        ["provider", "on", "#capacity/h", "#in $", "#in gCO2e", "#in L"],
        [[f.provider[:44], mark, _capacity(f.usd or f.co2e_g), _volume(f.usd), _volume(f.co2e_g),
          _volume(f.water_l)] for f, mark in zip(found[:SHOWN], marks, strict=True)],
        [*where, *sorted(reasons), f"{len(found) - SHOWN} more: --json has all"]
        if len(found) > SHOWN else [*where, *sorted(reasons)],
    )  # fmt: skip


def _offers(api: str, provider: str | None, scenario: Any) -> list[ApiPrice]:
    from observatory.catalog.prices import ApiPrice, find_offers

    prices = scenario.api_input_usd_per_mtok, scenario.api_output_usd_per_mtok
    if None not in prices:
        return [ApiPrice("stated", api, *prices, None, None, None, None, None, False, "stated")]
    return find_offers(api, provider)


def _capacity(found: BreakEven | None) -> str | None:
    return None if found is None else significant(found.capacity_per_h)


def _volume(found: BreakEven | None) -> str | None:
    if found is None or (found.alternative is None and found.requests_per_h is None):
        return None  # an unknown price is not a provider that is cheaper at any volume
    least = "≥ " if found.lower_bound else ""
    ends = [found.low_per_h, found.high_per_h]
    if found.alternative is not None and any(e is not None for e in ends):
        low, high = ("never" if e is None else significant(e) for e in ends)
        if found.high_per_h == 0:
            return f"{'at best ' if least else ''}from the first"
        return f"{least}{low} – {high}"
    return "never" if found.requests_per_h is None else least + significant(found.requests_per_h)
