"""`observatory compare A B`: what moving from one stack or place to another saves and costs."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError, UnknownNameError
from observatory.records import Workload
from observatory.units import show
from observatory.verbs import billing, options
from observatory.verbs.tables import print_table

if TYPE_CHECKING:
    from observatory.answers import Estimate
    from observatory.footprint import EnergyInput, Scenario
    from observatory.footprint.comparison import Change

STATED = re.compile(r"(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*Wh")


@click.command(name="compare")
@click.argument("a")
@click.argument("b")
@options.workload
@click.option(
    "--zone",
    "zones",
    multiple=True,
    help="Grid zone of both (repeatable). Without one: three example zones.",
)
@click.option("--zone-b", help="Grid zone of B where it is another one.")
@billing.choices
@billing.registry
@options.database
@options.as_json
def command(
    a: str, b: str, prompt: int | None, output: int | None, batch: int, zones: tuple[str, ...],
    zone_b: str | None, db: str, json_: bool, **given: Any,
) -> None:  # fmt: skip
    """Compare A with B on shared draws: ratio, P(better), break-even.

    A and B are models or configuration keys in the database (`MODEL`, `MODEL:text of its
    configuration`, or a key), or IT energy as in `4Wh`. With the same A and B, --zone and --zone-b
    compare two places.
    """
    for name, value in (("--prompt", prompt), ("--output", output), ("--batch", batch)):
        options.at_least_one(name, value)
    if zone_b is not None and len(zones) != 1:
        raise InputError("--zone-b needs exactly one --zone, that of A")

    from observatory.footprint import Scenario

    table = billing.table_of(given["factor_files"], given["edition"])
    fields = Scenario.__dataclass_fields__
    base = Scenario(**{k: v for k, v in given.items() if k in fields})
    chosen = billing.example_scenarios(base, zones)
    sides = _sides(a, b, db, (prompt, output, batch), chosen[0][0])

    from observatory.footprint.comparison import Case, compare

    changes: list[tuple[Change, bool]] = []
    for scenario, example in chosen:
        other = scenario if zone_b is None else replace(scenario, zone=zone_b)
        names = [name for name, _ in sides]
        if names[0] == names[1] or zone_b is not None:
            names = [f"{n} in {s.label()}" for n, s in zip(names, (scenario, other), strict=True)]
        cases = [
            Case(n, e, s) for n, (_, e), s in zip(names, sides, (scenario, other), strict=True)
        ]
        changes.append((compare(cases[0], cases[1], table), example))
    if json_:
        options.print_json([change_json(change, example) for change, example in changes])
        return
    for change, example in changes:
        print_change(change, example)


def _sides(
    a: str, b: str, db: str, request: tuple[int | None, int | None, int], scenario: Scenario
) -> list[tuple[str, EnergyInput]]:
    """(name, energy) of A and of B, stated or from the store."""
    from observatory.footprint.matrix import stated_energy

    stated = [STATED.fullmatch(text) for text in (a, b)]
    found: list[Estimate] = []
    if not all(stated):
        from observatory import answers
        from observatory.store.database import open_read_only

        engine = open_read_only(db)
        usual = answers.covered_request(engine)
        workload = Workload.request(request[0] or usual[0], request[1] or usual[1], request[2])
        found = answers.estimate(engine, workload, scenario)
    out: list[tuple[str, EnergyInput]] = []
    for text, match in zip((a, b), stated, strict=True):
        if match:
            out.append((text, stated_energy(float(match.group(1)))))
            continue
        chosen = pick(found, text)
        energy = chosen.footprints[0].energy
        if energy is None:
            raise InputError(f"{text}: no energy is known for it")
        out.append((chosen.model if chosen.model == text else text, energy))
    return out


def pick(found: list[Estimate], text: str) -> Estimate:
    """The one estimate that `text` names. Raises UnknownNameError, or InputError for several."""
    model, _, part = text.partition(":")
    hits = [e for e in found if e.configuration_key.startswith(text) and len(text) >= 6]
    hits = hits or [
        e for e in found
        if e.model.casefold() == model.casefold() and part.casefold() in e.configuration.casefold()
    ]  # fmt: skip
    if not hits:
        raise UnknownNameError("model or configuration", text, [e.model for e in found],
                               "see `observatory show fits`")  # fmt: skip
    if len(hits) > 1:
        several = "; ".join(f"{e.configuration_key} ({e.configuration})" for e in hits[:4])
        raise InputError(f"{text!r} was measured in {len(hits)} configurations, say one: {several}")
    return hits[0]


def change_json(change: Change, example: bool) -> dict[str, Any]:
    """A change as plain values, with everything that qualifies it."""
    a, b = change.a, change.b
    return {
        "a": {"name": change.name_a, "zone": a.zone},
        "b": {"name": change.name_b, "zone": b.zone},
        "sentence": change.sentence,
        "example": example,
        "boundary": a.boundary,
        "edition": a.edition,
        "kind": a.kind,
        "method": a.method if a.method == b.method else f"{a.method}; {b.method}",
        "draws": a.draws,
        "seed": a.seed,
        "statements": [
            asdict(s) | {"change": s.change, "verdict": s.verdict, "phrase": s.phrase()}
            for s in change.statements
        ],
        "break_even_of_b": dict(change.break_even),
        "missing": dict(change.missing),
        "notes": list(change.notes),
    }


def print_change(change: Change, example: bool) -> None:
    """The sentence, the table of ratios, and where the two break even."""
    import textwrap

    prefix = f"Example zone {change.a.zone}: " if example else ""
    click.echo(textwrap.fill(prefix + change.sentence, 98))
    rows = []
    for s in change.statements:
        quantity = s.quantity
        unit = billing.unit_of(quantity)
        c = s.comparison
        rows.append([billing.NAMES[quantity], show(s.value_a, unit), show(s.value_b, unit),
                     f"{c.ratio_mid:.3f} [{c.ratio_low:.3f} – {c.ratio_high:.3f}]",
                     f"{c.p_less:.2f}", s.verdict])  # fmt: skip
    print_table("", ["", "#A", "#B", "#B / A, p5 – p95", "#P(B lower)", "verdict"], rows)
    a = change.a
    lines = [f"boundary {a.boundary}, edition {a.edition}, carbon {a.kind}, energy {a.method}; "
             f"{a.draws} shared draws, seed {a.seed}"]  # fmt: skip
    lines += change.notes
    lines += [f"{billing.NAMES[q]}: – because {why}" for q, why in change.missing.items()]
    units = {"carbon_intensity_g_per_kwh": "gCO2e/kWh", "ewif_l_per_kwh": "L/kWh of EWIF",
             "tariff_usd_per_kwh": "USD/kWh"}  # fmt: skip
    lines += [f"B breaks even with A at {value:.4g} {units[name]}"
              for name, value in change.break_even.items()]  # fmt: skip
    billing.print_lines(lines)
