"""`observatory compare A B`: what moving from one stack or place to another saves and costs."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.records import Workload
from observatory.units import largest, show
from observatory.verbs import billing, options, side_by_side
from observatory.verbs.chosen import key_of
from observatory.verbs.tables import paragraph, print_table

if TYPE_CHECKING:
    from observatory.answers import Estimate
    from observatory.footprint import EnergyInput, FactorTable, Scenario
    from observatory.footprint.comparison import Change

STATED = re.compile(r"(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*Wh")


@click.command(name="compare")
@click.argument("a")
@click.argument("b")
@click.argument("others", metavar="[C] [D]", nargs=-1)
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
    a: str, b: str, others: tuple[str, ...], prompt: int | None, output: int | None, batch: int,
    zones: tuple[str, ...], zone_b: str | None, db: str, json_: bool, **given: Any,
) -> None:  # fmt: skip
    """Compare A with B (and C, D) on shared draws: ratio, P(better), break-even.

    A and B are models or configuration keys in the database (`MODEL`, `MODEL:text of its
    configuration`, or a key), or IT energy as in `4Wh`. With the same A and B, --zone and --zone-b
    compare two places. Where one run measured both, their windows are compared too, in pairs.
    """
    if len(others) > 2:
        raise InputError(f"{len(others) + 2} to compare: two to four, the first is the base")
    if zone_b is not None and len(zones) != 1:
        raise InputError("--zone-b needs exactly one --zone, that of A")

    from observatory.footprint import Scenario

    table = billing.table_of(given["factor_files"], given["edition"])
    fields = Scenario.__dataclass_fields__
    base = Scenario(**{k: v for k, v in given.items() if k in fields})
    chosen = billing.example_scenarios(base, zones)
    first, *rest = _sides((a, b, *others), db, (prompt, output, batch), chosen[0][0])
    documents: list[dict[str, Any]] = []
    for side in rest:
        paired = side_by_side.of(db, first.key, side.key)
        for scenario, example in chosen:
            other = scenario if zone_b is None else replace(scenario, zone=zone_b)
            change = _change(first, side, (scenario, other), table)
            if json_:
                left = {"a": first.extrapolation, "b": side.extrapolation}
                documents.append(change_json(change, example)
                                 | {"paired": paired.to_json(), "extrapolation": left})  # fmt: skip
            else:
                print_change(change, example)
        if not json_:
            paired.show()
            options.warn_outside((one.name, one.extrapolation) for one in (first, side))
    if json_:
        options.print_json(documents)


@dataclass(frozen=True, slots=True)
class Side:
    """One side: how it is called, its energy, its configuration where the store has it, and which
    measured range the request leaves."""

    name: str
    energy: EnergyInput
    key: str | None = None
    extrapolation: str | None = None


def _change(a: Side, b: Side, scenarios: tuple[Scenario, Scenario], table: FactorTable) -> Change:
    """Moving from `a` in the first scenario to `b` in the second; places told apart by name."""
    from observatory.footprint.comparison import Case, compare

    names = [a.name, b.name]
    if a.name == b.name or scenarios[0] != scenarios[1]:
        names = [f"{n} in {s.label()}" for n, s in zip(names, scenarios, strict=True)]
    cases = [Case(n, side.energy, s) for n, side, s in zip(names, (a, b), scenarios, strict=True)]
    return compare(cases[0], cases[1], table)


def _sides(
    texts: tuple[str, ...], db: str, request: tuple[int | None, int | None, int], scenario: Scenario
) -> list[Side]:
    """What is compared, stated or from the store."""
    from observatory.footprint.matrix import stated_energy

    stated = [STATED.fullmatch(text) for text in texts]
    found: list[Estimate] = []
    if not all(stated):
        from observatory import answers
        from observatory.store.database import open_read_only

        engine = open_read_only(db)
        usual = answers.covered_request(engine)
        workload = Workload.request(request[0] or usual[0], request[1] or usual[1], request[2])
        found = answers.estimate(engine, workload, scenario)
    out: list[Side] = []
    for text, match in zip(texts, stated, strict=True):
        if match:
            out.append(Side(text, stated_energy(float(match.group(1)))))
            continue
        chosen = pick(found, text)
        energy = chosen.footprints[0].energy
        if energy is None:
            raise InputError(f"{text}: no energy is known for it")
        out.append(Side(text, energy, chosen.configuration_key, chosen.extrapolation))
    return out


def pick(found: list[Estimate], text: str) -> Estimate:
    """The one estimate that `text` names. Raises as `chosen.key_of`."""
    key = key_of(text, [(e.configuration_key, e.model, e.configuration) for e in found])
    return next(e for e in found if e.configuration_key == key)


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
    prefix = f"Example zone {change.a.zone}: " if example else ""
    click.echo(paragraph(prefix + change.sentence))
    rows = []
    for s in change.statements:
        quantity = s.quantity
        unit = billing.unit_of(quantity)
        c = s.comparison
        like = largest((s.value_a, s.value_b))
        rows.append([billing.NAMES[quantity], show(s.value_a, unit, like=like),
                     show(s.value_b, unit, like=like),
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
