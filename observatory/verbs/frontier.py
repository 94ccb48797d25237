"""`observatory frontier`: cost against capability, with the chance of each point to be the best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.records import Workload
from observatory.units import UNITS, show, show_interval, significant
from observatory.verbs import billing, numbers, options, outside
from observatory.verbs.tables import WIDTH, legend, percent, print_table

if TYPE_CHECKING:
    from observatory.tradeoffs.frontier import Group, Tradeoff

COSTS = ("runtime_s", "energy_j", "co2e_g", "co2e_total_g", "water_l", "cost_usd")
SHOWN = 25  #: points of one group that a person is shown; `--json` has all
MARKS = {"filled": "●", "half": "◐", "hollow": "○"}


@click.command(name="frontier")
@click.option(
    "--cost",
    type=click.Choice(COSTS),
    default="energy_j",
    show_default=True,
    help="What one wants less of, per request of the workload.",
)
@click.option("--lane", metavar="LANE", help="Lane of the scores, or its first parts: mmlu/acc/...")
@click.option(
    "--lanes",
    "list_",
    metavar="TEXT",
    is_flag=False,
    flag_value="",
    help="List the lanes (that contain TEXT) with their number of models, and stop.",
)
@click.option(
    "--workload",
    metavar="P,O[,B]",
    help="Prompt tokens, output tokens and batch of the "
    "request.  [default: one that most fits cover]",
)
@click.option(
    "--imported", is_flag=True, help="Compare imported rows, one group a source, task and device."
)
@billing.assume_error
@click.option("--mix-lanes", is_flag=True, help="Let several lanes share the axis, with a badge.")
@click.option(
    "--quality",
    type=numbers.NUMBER,
    metavar="Q",
    help="Name the cheapest with this score or a better one.",
)
@click.option(
    "--floor",
    type=numbers.SHARE,
    metavar="Q",
    help="Show the cost per correct answer of points with at least this score.",
)
@click.option("--max-ttft", type=numbers.AMOUNT, metavar="S", help="Leave out slower first tokens.")
@click.option(
    "--max-tpot", type=numbers.AMOUNT, metavar="S", help="Leave out slower output tokens."
)
@click.option(
    "--max-memory",
    type=numbers.AMOUNT,
    metavar="GIB",
    help="Leave out larger peaks of memory.",
)
@click.option("--budget", type=numbers.AMOUNT, metavar="COST", help="Leave out dearer requests.")
@click.option(
    "--against",
    type=click.Choice(COSTS),
    metavar="COST",
    help="A second cost: do both rank the points alike (Kendall's tau, flipped pairs)?",
)
@click.option(
    "--helm",
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="Raw against idealized runtime of a HELM run CSV: ranks, flips, both frontiers.",
)
@click.option(
    "--aliases",
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="Your own names of models: a CSV with the columns alias,name.",
)
@billing.zone
@billing.choices
@options.database
@options.as_json
def command(
    cost: str, lane: str | None, list_: str | None, workload: str | None, imported: bool,
    mix_lanes: bool, quality: float | None, floor: float | None, max_ttft: float | None,
    max_tpot: float | None, max_memory: float | None, budget: float | None,
    against: str | None, helm: Path | None, aliases: Path | None, assume_error: float | None,
    db: str, json_: bool, **choices: Any,
) -> None:  # fmt: skip
    """Which models are worth their cost: frontier, hull and the chance to be on it.

    Filled marks are on the frontier in 95 % of draws, hollow ones in less than half. Scores come
    from the database and from the shipped table.
    """
    from observatory.capability.names import user_aliases
    from observatory.footprint import Scenario
    from observatory.store.database import open_read_only
    from observatory.tradeoffs import MOST_POINTS, Limits, frontier, rankings
    from observatory.tradeoffs.candidates import ASSUMED_REL

    if helm is not None:
        _helm(helm, json_)
        return
    engine = open_read_only(db)
    if list_ is not None:
        _lanes(engine, list_, json_)
        return
    if lane is None:
        raise InputError("name a lane with --lane; --lanes lists them")
    request, scenario = request_of(workload), Scenario(**choices)
    limits = Limits(max_ttft, max_tpot, None if max_memory is None else max_memory * 2**30, budget)
    names = None if aliases is None else user_aliases(aliases)

    def ask(which: str) -> Tradeoff:
        return frontier(engine, which, lane, request, scenario, imported, mix_lanes, limits,
                        quality, names,
                        ASSUMED_REL if assume_error is None else assume_error, floor,
                        None if json_ or against else MOST_POINTS)  # fmt: skip

    found = ask(cost)
    agreed = [] if against is None else rankings(found, ask(against))
    left = [] if imported else outside.outside(engine, request)
    if json_:
        ranks = [
            {"group": name, "tau_b": a.tau_b, "pairs": a.pairs, "flipped": a.flipped,
             "tied": a.tied, "flipped_share": a.flipped_share} for name, a in agreed
        ]  # fmt: skip
        told = {"against": against, "rankings": ranks, "extrapolated": left}
        options.print_json(found.to_json() | told)
        return
    outside.warn(left)
    _print(found, quality, floor)
    for name, a in agreed:
        tau = "–" if a.tau_b is None else f"{a.tau_b:.3f}"
        click.echo(
            f"{cost} against {against}, {name}: Kendall's tau-b {tau}, "
            f"{a.flipped} of {a.pairs} pairs flipped ({percent(a.flipped_share) or '–'})"
        )


def _helm(path: Path, json_: bool) -> None:
    from observatory.tradeoffs.helm import disagreement

    found = disagreement(path)
    if json_:
        options.print_json(found.to_json())
        return
    print_table(
        f"Means over {found.models[0].scenarios} scenarios that all models ran",
        ["model", "#raw runtime", "#idealized", "#exact match", "frontier"],
        [
            [m.model, show(m.raw_s, "runtime_s"), show(m.idealized_s, "runtime_s"),
             percent(m.score), _where(m.model, found.frontier_raw, found.frontier_idealized)]
            for m in found.models
        ],
    )  # fmt: skip
    tau = found.between.tau_b
    click.echo(
        f"models: Kendall's tau-b {'–' if tau is None else f'{tau:.3f}'}, "
        f"{found.between.flipped} of {found.between.pairs} pairs flipped"
    )
    click.echo(
        f"on the same scenario: {found.within.flipped} of {found.within.pairs} pairs of "
        f"models flipped ({percent(found.within.flipped_share) or '–'} of those not tied)"
    )


def _where(model: str, raw: tuple[str, ...], idealized: tuple[str, ...]) -> str:
    return {(True, True): "both", (True, False): "raw only", (False, True): "idealized only",
            (False, False): ""}[model in raw, model in idealized]  # fmt: skip


def request_of(text: str | None) -> Workload | None:
    """`P,O[,B]` as a request; None for None. Raises InputError."""
    if text is None:
        return None
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) not in (2, 3) or not 1 <= min(sizes) <= max(sizes) <= numbers.LARGEST_SIZE:
        raise InputError(f"--workload {text!r}: give prompt and output tokens, such as 500,200")
    return Workload.request(*sizes)


def _lanes(engine: Any, text: str, json_: bool) -> None:
    from observatory.capability.lanes import axis_of
    from observatory.tradeoffs import capability_rows

    models: dict[str, set[str]] = {}
    for row in capability_rows(engine):
        models.setdefault(axis_of(row["lane"]), set()).add(row["model_name"])
    found = [(lane, len(m)) for lane, m in models.items() if text.lower() in lane]
    listed = sorted(found, key=lambda row: (-row[1], row[0]))
    if json_:
        options.print_json([{"lane": lane, "models": n} for lane, n in listed])
        return
    if not listed:
        raise InputError(f"no lane contains {text!r}: --lanes alone lists all")
    print_table("", ["lane", "#models"], listed)


def _print(found: Tradeoff, quality: float | None, floor: float | None) -> None:
    for lane in found.lanes[:4]:
        click.echo(f"score: {lane}"[:WIDTH])
    if len(found.lanes) > 4:
        click.echo(f"… and {len(found.lanes) - 4} more lanes")
    if found.badge:
        click.echo(f"MIXED LANES: {found.badge}")
    for group in found.groups:
        _print_group(found.cost, group, quality, floor)
    for note in found.notes:
        click.echo(note)


def _print_group(cost: str, group: Group, quality: float | None, floor: float | None) -> None:
    unit = billing.unit_of(cost)
    shown = group.points[:SHOWN]
    marks, where = legend([p.configuration for p in shown])
    least = "≥ " if group.lower_bound else ""
    rows = []
    for point, mark in zip(shown, marks, strict=True):
        flags = [
            "hull" if point.on_hull else "frontier" if point.on_frontier else "",
            "inherited" if point.inherited else "",
            f"score of {point.of_variant}" if point.of_variant else "",
            "OUTSIDE" if point.extrapolation else "",
        ]
        rows.append([
            MARKS[point.marker], point.model[-36:], mark,
            least + show_interval(point.cost_low, point.cost, point.cost_high, unit),
            _score(point.score, point.score_low, point.score_high),
            percent(point.p_on_frontier, 0),
            *([] if floor is None else [show(point.cost_per_correct, unit)]),
            ", ".join(f for f in flags if f),
        ])  # fmt: skip
    more = len(group.points) - len(shown) + group.not_shown
    notes = [f"{more} more points: --json has all"] if more else []
    notes += where if len(where) <= 12 else []
    print_table(
        f"{UNITS[unit].label}, {group.workload}, {group.name}",
        ["", "model", "on", "#cost", "#score", "#P(frontier)",
         *([] if floor is None else ["#per correct"]), ""],
        rows,
        [*notes, *_summary(group, unit, quality), *_floor(group, floor)],
    )  # fmt: skip


def _floor(group: Group, floor: float | None) -> list[str]:
    """What the cost per correct answer leaves out; without a floor it would praise the useless."""
    if floor is None:
        return []
    known = [p for p in group.points if p.cost_per_correct is not None]
    if not known:
        return [f"no score of {floor:g} or more is a share of correct answers: no cost per correct"]
    best = min(known, key=lambda p: p.cost_per_correct or 0.0)
    return [f"cheapest correct answer among scores of {floor:g} or more: {best.model} "
            f"({best.configuration})"]  # fmt: skip


def _score(score: float, low: float | None, high: float | None) -> str:
    text = significant(score)
    return text if low is None or high is None else f"{text} [{low:.3g} – {high:.3g}]"


def _summary(group: Group, unit: str, quality: float | None) -> list[str]:
    share, of = (0.01, "a hundredth of score") if group.score_unit == "fraction" else (
        1.0, "a score lower by 1" if group.lower_is_better else "a point of score"
    )  # fmt: skip
    lines = [f"≥ {group.lower_bound}"] if group.lower_bound else []
    lines += [
        f"{s.cheaper} → {s.better}: {show(s.cost_per_quality * share, unit)} {of}"
        for s in group.steps
    ]
    for count, what in ((group.exact_costs, "costs"), (group.exact_scores, "scores")):
        if count:
            lines.append(f"{count} of {len(group.points)} {what} carry no error and are taken as "
                         "exact: P(frontier) is too sure")  # fmt: skip
    if group.assumed_costs:
        rel = next(p.cost_assumed_rel for p in group.points if p.cost_assumed_rel is not None)
        lines.append(f"{group.assumed_costs} of {len(group.points)} costs state no error: a "
                     f"relative one of {rel:.3g} is assumed (--assume-error)")  # fmt: skip
    if group.hypervolume is not None:
        lines.append(
            f"hypervolume {group.hypervolume:.4g} (log10 cost) to the reference "
            f"{show(group.cost_reference, unit)}, score {group.score_reference:.4g}"
        )
    if quality is not None:
        lines.append(f"cheapest with {quality:g}: {group.cheapest or 'none'}; with its lower bound "
                     f"there: {group.cheapest_robust or 'none'}")  # fmt: skip
    left = [f"{name} ({why})" for name, why in group.left_out[:6]]
    if left:
        lines.append(f"left out {len(group.left_out)}: {'; '.join(left)}")
    return lines
