"""`observatory footprint --as MODE`: another tool's arithmetic, to check a paper with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from observatory.errors import InputError
from observatory.units import show
from observatory.verbs import numbers, options
from observatory.verbs.tables import print_table

if TYPE_CHECKING:
    from observatory.footprint.compat import CompatResult

F = TypeVar("F", bound=Callable[..., Any])
MODES = ("li-2023", "jegham-2025", "ecologits-0.11.3", "codecarbon-3.3.2")
FLAGS = {
    "it_energy_wh": "--it-energy-wh", "pue": "--pue", "wue_l_per_kwh": "--wue",
    "ewif_l_per_kwh": "--ewif", "carbon_intensity_g_per_kwh": "--carbon-intensity",
    "output": "--output", "tokens_per_s": "--tokens-per-s", "ttft_s": "--ttft-s",
    "power_kw": "--power-kw", "active_params_b": "--active-params-b",
    "total_params_b": "--total-params-b",
}  # fmt: skip
NEEDS = {
    "li-2023": ("it_energy_wh", "pue", "wue_l_per_kwh", "ewif_l_per_kwh"),
    "codecarbon-3.3.2": ("it_energy_wh", "pue", "wue_l_per_kwh", "carbon_intensity_g_per_kwh"),
    "jegham-2025": (
        "output", "tokens_per_s", "ttft_s", "power_kw", "pue", "wue_l_per_kwh", "ewif_l_per_kwh",
        "carbon_intensity_g_per_kwh",
    ),
    "ecologits-0.11.3": (
        "active_params_b", "total_params_b", "output", "carbon_intensity_g_per_kwh",
        "ewif_l_per_kwh", "pue", "wue_l_per_kwh",
    ),
}  # fmt: skip


def mode_options(function: F) -> F:
    """`--as` and the numbers that only other tools' arithmetic needs."""
    for option in (
        click.option("--total-params-b", type=numbers.AMOUNT,
                     help="All parameters, 1e9 (ecologits)."),
        click.option("--active-params-b", type=numbers.AMOUNT,
                     help="Active parameters, 1e9 (ecologits)."),
        click.option("--power-kw", type=numbers.AMOUNT,
                     help="Power charged to the request (jegham)."),
        click.option("--ttft-s", type=numbers.AMOUNT,
                     help="Time to first token (jegham)."),
        click.option("--tokens-per-s", type=numbers.AMOUNT,
                     help="Output tokens per second (jegham)."),
        click.option("--as", "mode", type=click.Choice(MODES),
                     help="Compute as this paper or tool does."),
    ):  # fmt: skip
        function = option(function)
    return function


def run(given: dict[str, Any], json_: bool) -> None:
    """Compute in the mode asked for and print it with its departure from ours."""
    made = result(given)
    if json_:
        options.print_json(
            asdict(made)
            | {
                "water_l": made.water_l,
                "departure": made.departure,
                "boundary": "facility",
                "kind": "stated",
                "zone": None,
                "edition": None,
                "method": made.mode,
            }
        )
        return
    rows = [
        ["energy", show(made.energy_wh, "energy_wh")],
        ["carbon, operational", show(made.co2e_operational_g, "co2e_g")],
        ["carbon, embodied", show(made.co2e_embodied_g, "co2e_g")],
        ["water on site", show(made.water_on_site_l, "water_l")],
        ["water off site", show(made.water_off_site_l, "water_l")],
        ["water, total", show(made.water_l, "water_l")],
    ]
    print_table(f"One request as {made.mode} computes it", ["", "#value"], rows, [made.departure])


def result(given: dict[str, Any]) -> CompatResult:
    """The mode's result. Raises InputError that names the flags that are missing."""
    from observatory.footprint import compat

    mode = str(given["mode"])
    missing = [FLAGS[name] for name in NEEDS[mode] if given[name] is None]
    if missing:
        raise InputError(f"--as {mode} needs {', '.join(missing)}")
    v = {name: float(given[name]) for name in NEEDS[mode]}
    intensity = given["carbon_intensity_g_per_kwh"]
    if mode == "li-2023":
        return compat.li_2023(v["it_energy_wh"] / 1e3, v["pue"], v["wue_l_per_kwh"],
                              v["ewif_l_per_kwh"], intensity)  # fmt: skip
    if mode == "codecarbon-3.3.2":
        return compat.codecarbon_3_3_2(v["it_energy_wh"] / 1e3, v["pue"], v["wue_l_per_kwh"],
                                       intensity)  # fmt: skip
    if mode == "jegham-2025":
        return compat.jegham_2025(v["output"], v["tokens_per_s"], v["ttft_s"], v["power_kw"],
                                  v["pue"], v["wue_l_per_kwh"], v["ewif_l_per_kwh"],
                                  intensity / 1e3)  # fmt: skip
    return compat.ecologits_0_11_3(v["active_params_b"], v["total_params_b"], v["output"],
                                   intensity / 1e3, v["ewif_l_per_kwh"], v["pue"],
                                   v["wue_l_per_kwh"])  # fmt: skip
