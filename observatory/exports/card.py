"""A snippet for a model's hub page: the `co2_eq_emissions` block and a footprint table."""

from __future__ import annotations

import json
from collections.abc import Sequence

from observatory.answers import Estimate
from observatory.errors import InputError
from observatory.footprint import Footprint
from observatory.footprint.result import lower_bound
from observatory.units import show_interval


def snippet(estimates: Sequence[Estimate]) -> str:
    """Front matter and Markdown for the estimates of one model. Raises InputError for none.

    `co2_eq_emissions` is in grams, as the hub's metadata has it; it is left out where carbon is
    not known or where no zone was chosen, since a grid has to be named.
    """
    if not estimates:
        raise InputError("a model card needs at least one estimate")
    first = estimates[0]
    made = first.footprints[0] if first.footprints else None
    lines: list[str] = []
    if made is not None and not made.example and made.co2e_g.value is not None:
        lines += [
            "---", "co2_eq_emissions:",
            f"  emissions: {_yaml_number(made.co2e_g.value)}",
            f"  source: {_source(made)}",
            "  training_type: inference, one request of "
            f"{first.prompt_tokens} prompt and {first.output_tokens} output tokens",
            f"  geographical_location: {json.dumps(made.zone_name or 'stated numbers')}",
            f"  hardware_used: {json.dumps(first.device)}", "---", "",
        ]  # fmt: skip
    lines += [
        f"One request of {first.prompt_tokens} prompt + {first.output_tokens} output tokens, "
        f"batch {first.batch}:", "",
        "| configuration | grid | runtime | energy | carbon | water | money |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for e in estimates:
        for f in e.footprints:
            cells = [
                _cell(e.configuration), _cell(f.zone_name or "stated numbers"),
                show_interval(e.runtime_low_s, e.runtime_s, e.runtime_high_s, "runtime_s"),
                f.energy_wh.shown("energy_wh"), f.co2e_g.shown("co2e_g"),
                f.water_l.shown("water_l"), f.cost_usd.shown("cost_usd"),
            ]  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    if made is not None:
        how = f"{first.energy_provenance} by {first.energy_method}" if first.energy_j else "missing"
        lines += ["", f"Energy {how}; boundary {made.boundary}; factors of edition {made.edition}; "
                      "brackets: 5th to 95th percentile."]  # fmt: skip
        least = lower_bound(f for e in estimates for f in e.footprints)
        lines += [f"≥ {least}."] if least else []
    return "\n".join(lines) + "\n"


def _source(made: Footprint) -> str:
    """Who says so, and what the emissions leave out: the block itself knows no lower bounds."""
    name = "Inference Observatory"
    return json.dumps(f"{name} ({made.lower_bound})") if made.lower_bound else name


def _yaml_number(value: float) -> str:
    """Three digits that YAML 1.1 reads as a number: without a point, `4e-05` would be a text."""
    text = f"{value:.3g}"
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
