"""Numbers on the command line: every numeric option of both programs refuses what is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from observatory.cli import observatory, run
from observatory.footprint import scenario
from observatory.verbs import billing, numbers
from runners.cli import run_benchmark

Capture = pytest.CaptureFixture[str]
OURS = (numbers.Number, numbers.Whole)


def commands() -> Iterator[tuple[str, click.Command]]:
    for program in (observatory, run_benchmark):
        assert isinstance(program, click.Group)
        context = click.Context(program)
        yield str(program.name), program
        for name in program.list_commands(context):
            found = program.get_command(context, name)
            assert found is not None
            yield f"{program.name} {name}", found


OPTIONS = [
    pytest.param(command, option, id=f"{name} {option.opts[0]}")
    for name, command in commands()
    for option in command.params
    if isinstance(option.type, click.types.FloatParamType | click.types.IntParamType)
]


def test_there_are_numeric_options() -> None:
    assert len(OPTIONS) > 100


@pytest.mark.parametrize(("command", "option"), OPTIONS)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "9" * 30])
def test_what_is_no_number_is_refused_in_one_line_that_names_the_flag(
    command: click.Command, option: click.Parameter, value: str
) -> None:
    assert isinstance(option.type, OURS), "give it a type of observatory.verbs.numbers"
    if isinstance(option.type, numbers.Number) and value.isdigit() and option.type.most > 1e29:
        return  # a finite number
    with pytest.raises(click.UsageError) as refused:
        option.type_cast_value(click.Context(command), (value,) if option.multiple else value)
    message = refused.value.format_message()
    assert option.opts[0] in message and "\n" not in message and len(message) < 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "inf"], "--budget inf: give a finite number"),
        (["--timeout", "nan", "--model", "Pythia-160M", "--prompt", "16"], "--timeout nan: give"),
        (["--target-error", "nan"], "--target-error nan: give a finite number"),
        (["--tariff", "-1"], "--tariff -1: must be 0 or more"),
        (["--timeout", "1e300"], "--timeout 1e300: must be above 0 and at most"),
        (["--prompt", "9" * 60], "must be 10000000 or less"),
        (["campaign", "results/campaigns/gpu.yaml", "--time-limit", "inf"], "--time-limit inf"),
    ],
)
def test_run_benchmark_measures_nothing_for_them(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str],
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code = run(run_benchmark, arguments)
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "") and captured.err.count("\n") == 1
    assert message in captured.err and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["timeout: .inf", "budget: .nan", "timeout: 1.0e+300"])
def test_a_plan_file_does_not_bring_them_in(capsys: Capture, tmp_path: Path, line: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(f"models: [{{model: Pythia-160M}}]\n{line}\n")
    assert run(run_benchmark, ["--plan", str(path), "--dry-run"]) == 2
    captured = capsys.readouterr()
    assert "line 2" in captured.err and captured.err.count("\n") == 1


def test_ranges_are_those_of_a_scenario() -> None:
    """Verbs keep literal copies so that --help stays fast: they must not drift."""
    checked = 0
    for names, settings in billing.CHOICES:
        field = names[-1].removeprefix("--").replace("-", "_")
        if isinstance(settings.get("type"), numbers.Number):
            bounds = scenario._RANGES.get(field, (0.0, float("inf")))
            assert (settings["type"].least, settings["type"].most) == bounds, field
            checked += 1
    assert checked >= 12


def test_numbers_at_the_edge_are_taken(capsys: Capture) -> None:
    assert run(observatory, ["prices", "gpt-4o", "--prompt", "10000000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert numbers.PART.convert("1", None, None) == 1
    assert numbers.PRICE.convert("catalog", None, None) == "catalog"
    assert numbers.Number(1, 5).convert("5", None, None) == 5
    for wrong in ("0", "1.01"):
        with pytest.raises(click.UsageError, match="above 0 and at most 1"):
            numbers.PART.convert(wrong, None, None)
    with pytest.raises(click.UsageError, match="between 1 and 5"):
        numbers.Number(1, 5).convert("0.9", None, None)
