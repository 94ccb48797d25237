"""`observatory fit`: the idealized runtime of what the store holds, or of profiling logs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.units import show as text
from observatory.units import significant
from observatory.verbs import numbers, options
from observatory.verbs.tables import legend, percent, print_table

if TYPE_CHECKING:
    from observatory.refit import Choice, Refit

FEW = 6  #: fits whose evidence a person is shown
SHOWN = {"energy_device_j": "energy_j", "energy_cpu_j": "energy_j", "energy_dram_j": "energy_j"}
TITLES = {"runtime_s": "Idealized runtime", "accelerator_s": "Accelerator time",
          "cost_usd": "Price"}  # fmt: skip


@click.command(name="fit")
@click.argument("logs", nargs=-1, type=click.Path(path_type=Path), metavar="[LOG]...")
@click.option("--recipe", default="relative", show_default=True,
              help="relative, ols, smooth-roofline, published-2023 or denoised.")  # fmt: skip
@click.option("--quantity", default="runtime_s", show_default=True,
              help="runtime_s, energy_j (or one component's: energy_device_j, energy_cpu_j, "
                   "energy_dram_j), accelerator_s or cost_usd.")  # fmt: skip
@click.option("--gpu-price", type=numbers.PRICE, metavar="USD/H",
              help="Price of one accelerator for an hour, or `catalog`: for cost_usd.")  # fmt: skip
@click.option("--model", help="Only this model, by the name it is stored under.")
@click.option("--device", help="Only devices with this in their name (no imported log has one).")
@click.option("--dtype", help="Only this number format.")
@click.option("--store", "store_", is_flag=True,
              help="Keep the fits in the table `fit`, beside those that stand.")  # fmt: skip
@click.option("--layer-scale", type=numbers.POSITIVE, default=1.0, show_default=True,
              help="Of a LOG: multiplies the times of a model with fewer layers.")  # fmt: skip
@click.option("--lookup", is_flag=True, help="Predict by the paper's saw-tooth look-up.")
@options.workload
@options.database
@options.as_json
@click.pass_context
def command(
    context: click.Context,
    logs: tuple[Path, ...],
    recipe: str,
    quantity: str,
    gpu_price: float | str | None,
    model: str | None,
    device: str | None,
    dtype: str | None,
    store_: bool,
    layer_scale: float,
    lookup: bool,
    prompt: int | None,
    output: int | None,
    batch: int,
    db: str,
    json_: bool,
) -> int:
    """Fit every configuration in the database, or each LOG (of Narayanan et al., 2023).

    With --prompt and --output the fits predict that request; what lies outside the measured range
    is flagged. Exit code 1 when a log has lines that cannot be used: the others are fitted.
    """
    if (prompt is None) != (output is None):
        raise InputError("give --prompt and --output together, or neither")
    from observatory.refit import Choice

    choice = Choice(recipe, quantity, model, device, dtype, gpu_price)
    broken = 0
    if logs:
        _only_logs(context)
        found, broken = _of_logs(logs, choice, layer_scale)
    else:
        _only_store(context)
        found = _of_store(db, choice, store_)
    asked = None if prompt is None or output is None else (prompt, output, batch)
    rows = [(name, made, _told(made, asked, lookup)) for name, made in found]
    if json_:
        options.print_json([
            {"log": name, **made.to_json()} | ({} if asked is None else {"prediction": told})
            for name, made, told in rows
        ])  # fmt: skip
    else:
        _print(rows, choice, asked)
    return 1 if broken else 0


def _only_logs(context: click.Context) -> None:
    """The filters are of the store."""
    for name in ("model", "device", "dtype", "store_"):
        if context.params[name]:
            flag = f"--{name.rstrip('_')}"
            raise InputError(f"{flag} belongs to the database: leave the LOGs out to use it")


def _only_store(context: click.Context) -> None:
    if context.params["layer_scale"] != 1:
        raise InputError(
            "--layer-scale belongs to a LOG: imported logs got theirs from `observatory import`"
        )


def _of_logs(
    paths: tuple[Path, ...], choice: Choice, layer_scale: float
) -> tuple[list[tuple[str | None, Refit]], int]:
    """The fits of each log, and how many lines could not be used. One that has no fit ends it."""
    from observatory.profiling_logs import read_logs
    from observatory.refit import check, of_log

    check(choice)
    found: list[tuple[str | None, Refit]] = []
    broken = 0
    for path in paths:
        logs, bad = read_logs(path, layer_scale)
        broken += len(bad)
        for number, reason in bad:
            click.echo(f"warning: {path}: line {number} {reason}", err=True)
        made = [of_log(choice, log) for log in logs]
        if all(one.fit is None for one in made):
            raise InputError(f"{path}: {made[0].reason}")
        found += [(str(path), one) for one in made]
    return found, broken


def _of_store(db: str, choice: Choice, store: bool) -> list[tuple[str | None, Refit]]:
    from observatory import refit
    from observatory.fitting import QUANTITIES
    from observatory.store.database import open_database, open_read_only

    found = refit.refit(open_read_only(db), choice)
    if store:
        new = refit.store(open_database(db), found)
        passed = sum(made.fitted is None or made.quantity not in QUANTITIES for made in found)
        left = f", {passed} passed over: imported, priced or without a fit" if passed else ""
        click.echo(f"{new} fits stored{left}", err=True)
    return [(None, made) for made in found]


def _told(made: Refit, asked: tuple[int, int, int] | None, lookup: bool) -> dict[str, Any] | None:
    """The prediction of one request: time by its parts, any other quantity as one number."""
    if asked is None or made.fit is None:
        return None
    told = made.fit.predict(*asked, "helm-lookup" if lookup else "interpolated")
    if made.quantity == "runtime_s":
        return vars(told)
    return {
        made.quantity: told.runtime_s, "prefill": told.prefill_s, "decode": told.decode_s,
        "unit": made.unit, "extrapolated": told.extrapolated, "reason": told.reason,
    }  # fmt: skip


Row = tuple[str | None, "Refit", dict[str, Any] | None]


def _print(rows: list[Row], choice: Choice, asked: tuple[int, int, int] | None) -> None:
    quantity = SHOWN.get(choice.quantity, choice.quantity)
    there = [(made, told) for _, made, told in rows if made.fit is not None]
    marks, where = legend([made.configuration for made, _ in there])
    notes = _notes([made for made, _ in there]) + [
        f"{made.model} on {made.configuration}: no fit: {made.reason}"
        for _, made, _ in rows if made.fit is None
    ]  # fmt: skip
    print_table(
        f"{TITLES.get(choice.quantity, 'Energy')}, recipe {choice.recipe}",
        ["model", "on", "#n", "#step", "#alpha", "#MAPE", "#p95", "#max", "#alpha(1)", "#device",
         "#prompts"],
        [_cells(made, mark, quantity) for (made, _), mark in zip(there, marks, strict=True)],
        [*where, *notes],
    )  # fmt: skip
    if asked is not None:
        _print_request(there, marks, asked, quantity)


def _print_request(
    there: list[tuple[Refit, dict[str, Any] | None]],
    marks: list[str],
    asked: tuple[int, int, int],
    quantity: str,
) -> None:
    rows, notes = [], set()
    for (made, told), mark in zip(there, marks, strict=True):
        assert told is not None  # a request was asked for, and there is a fit
        runtime = made.quantity == "runtime_s"
        parts = [told["prefill_s" if runtime else "prefill"],
                 told["decode_s" if runtime else "decode"]]  # fmt: skip
        rows.append([
            made.model, mark, *(text(v, quantity) for v in (told[made.quantity], *parts)),
            "OUTSIDE" if told["extrapolated"] else "inside",
        ])  # fmt: skip
        notes |= {f"{made.model}: {told['reason']}"} if told["reason"] else set()
    p, o, b = asked
    title = f"A request of {p} prompt + {o} output tokens" + (f", batch {b}" if b > 1 else "")
    columns = ["model", "on", "#all", "#prefill", "#decode", "range"]
    print_table(title, columns, rows, sorted(notes))


def _cells(made: Refit, mark: str, quantity: str) -> list[Any]:
    fitted = made.fit
    assert fitted is not None  # the caller leaves the others out
    alpha, ranges = fitted.curve.alpha_s, fitted.ranges
    found = fitted.errors
    errors = (found.mape, found.p95, found.max, found.alpha1)
    mape, p95, largest, alpha1 = errors if fitted.error_unknown is None else (None,) * 4
    return [
        made.model, mark, fitted.points_used, text(fitted.b0_s, quantity),
        show_range(alpha[0], alpha[-1], quantity), percent(mape, 2), percent(p95),
        percent(largest), percent(alpha1), f"{significant(fitted.device_s)} s",
        f"{ranges.prompt[0]}-{ranges.prompt[1]}",
    ]  # fmt: skip


def show_range(low: float, high: float, quantity: str) -> str:
    """`13.2–214 ms`: two values in the unit of the first."""
    first, last = text(low, quantity), text(high, quantity, like=low)
    unit = first.rpartition(" ")[2]
    return f"{first.removesuffix(unit).strip()}–{last}"


def _notes(found: list[Refit]) -> list[str]:
    """What the columns are, why terms are on or off, what was held out, where a price is from."""
    notes = [
        "step: at batch 1, context 0; alpha: at the first and last prompt; p95, max and alpha(1):",
        "errors on the n fitted points; device: what measuring them took, once each",
    ]
    for made in found[:FEW]:
        fitted = made.fit
        assert fitted is not None
        said = [f"{e.name} {'on' if e.accepted else 'off'} ({e.reason})" for e in fitted.evidence]
        if fitted.error_unknown:
            notes.append(f"{made.model}: error unknown: {fitted.error_unknown}")
        if said:
            notes.append(f"{made.model}: {'; '.join(said)}")
        if made.fitted is not None and made.fitted.heldout is not None:
            held = made.fitted.heldout
            notes.append(
                f"{made.model}: {made.fitted.n_heldout} held-out points, error median "
                f"{held.median:.1%}, p90 {held.p90:.1%}, max {max(held.all):.1%}"
            )
    return notes + sorted({f"price {made.price_source}" for made in found if made.price_source})
