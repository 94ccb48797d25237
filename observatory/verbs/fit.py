"""`observatory fit`: the idealized runtime of profiling logs, by a named recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.verbs import options
from observatory.verbs.tables import print_table

if TYPE_CHECKING:
    from observatory.runtime.fit import Fit


@click.command(name="fit")
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="LOG...")
@click.option("--recipe", default="relative", show_default=True,
              help="relative, ols, smooth-roofline, published-2023 or denoised.")  # fmt: skip
@click.option("--layer-scale", type=float, default=1.0, show_default=True,
              help="Multiplies the times of a model profiled with fewer layers.")  # fmt: skip
@click.option("--lookup", is_flag=True, help="Predict by the paper's saw-tooth look-up.")
@options.workload
@options.as_json
def command(
    logs: tuple[Path, ...],
    recipe: str,
    layer_scale: float,
    lookup: bool,
    prompt: int | None,
    output: int | None,
    batch: int,
    json_: bool,
) -> int:
    """Fit each LOG (profiling logs of Narayanan et al., 2023); with --prompt and --output predict.

    Exit code 1 when a log has lines that cannot be used: the others are fitted.
    """
    options.at_least_one("--prompt", prompt)
    options.at_least_one("--output", output)
    if (prompt is None) != (output is None):
        raise InputError("give --prompt and --output together, or neither")
    predictor = "helm-lookup" if lookup else "interpolated"
    rows: list[dict[str, Any]] = []
    broken = 0
    for path in logs:
        fits, bad = _fits(path, recipe, layer_scale)
        broken += len(bad)
        for number, reason in bad:
            click.echo(f"warning: {path}: line {number} {reason}", err=True)
        for name, fitted in fits:
            row = {"log": str(path), "model": name, "fit": fitted.to_json()}
            if prompt is not None and output is not None:
                row["prediction"] = vars(fitted.predict(prompt, output, batch, predictor))
            rows.append(row)
    if json_:
        options.print_json(rows)
    else:
        _print(rows, prompt, output)
    return 1 if broken else 0


def _fits(
    path: Path, recipe: str, layer_scale: float
) -> tuple[list[tuple[str, Fit]], tuple[tuple[int, str], ...]]:
    from observatory.importers.helm_logs import parse, shape_name
    from observatory.runtime.fit import fit
    from observatory.runtime.observations import Point, observed

    parsed = parse(path, layer_scale)
    found = []
    for launch in parsed.launches:
        batch = launch.whole("micro_batch_size") or 1
        points = [
            observed(Point("e2e", p.prompt_tokens, p.output_tokens, batch), p.runtime_s,
                     std_s=p.std_s)
            for p in launch.points.values()
        ]  # fmt: skip
        if points:
            name = f"{shape_name(launch, layer_scale)} x{launch.devices}"
            found.append((name, fit(points, recipe)))
    return found, parsed.broken


def _print(rows: list[dict[str, Any]], prompt: int | None, output: int | None) -> None:
    def cells(row: dict[str, Any]) -> list[Any]:
        fitted, told = row["fit"], row.get("prediction")
        errors, alpha = fitted["errors"], fitted["curve"]["alpha_s"]
        shown = [
            Path(row["log"]).name, row["model"], str(fitted["points_used"]),
            f"{fitted['step']['c0_s'] * 1e3:.3f} ms", f"{alpha[0] * 1e3:.2f} ms",
            f"{alpha[-1] * 1e3:.1f} ms", f"{errors['mape']:.2%}", f"{errors['max']:.1%}",
        ]  # fmt: skip
        if told is not None:
            shown.append(f"{told['runtime_s']:.4g} s" + (" *" if told["extrapolated"] else ""))
        return shown

    columns = ["log", "shape", "#n", "#step", "#alpha, first", "#alpha, last", "#MAPE", "#max"]
    notes = []
    if prompt is not None:
        columns.append(f"#p={prompt} o={output}")
        reasons = {row["prediction"]["reason"] for row in rows if row["prediction"]["reason"]}
        notes = [f"* {reason}" for reason in sorted(reasons)]
    title = f"Idealized runtime, recipe {rows[0]['fit']['recipe']}" if rows else "Idealized runtime"
    print_table(title, columns, [cells(row) for row in rows], notes)
