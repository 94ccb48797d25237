"""`run-benchmark`: measure models on this machine, store every window, print the answer.

Only click is imported here: `--help` answers at once. Everything else is imported when it is used.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from observatory import __version__
from observatory.cli import run
from observatory.verbs import numbers, options
from runners.campaign import campaign

if TYPE_CHECKING:
    pass

PROFILE_NAMES = ("quick", "standard", "publishable")
EPILOG = (
    "Exit codes: 0 done; 1 done with failures (all of them in the database); 2 wrong usage, "
    "nothing changed; 3 a required sensor is missing; 130 interrupted, go on with --resume."
)


@click.group(
    invoke_without_command=True,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="What to measure: a catalogue name, a folder with a config.json (random "
    "weights) or a checkpoint (real ones), or a hub id. Repeatable. Default: two "
    "models that fit this machine.",
)
@click.option(
    "--device", default=None, metavar="DEVICE", help="auto, cpu, cuda or cuda:N.  [default: auto]"
)
@click.option(
    "--dtype",
    default=None,
    metavar="TYPE",
    help="bfloat16, float16 or float32.  [default: bfloat16 where the device has it]",
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    type=numbers.SIZE,
    metavar="B",
    help="Sequences computed together. Repeatable.  [default: 1]",
)
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    type=numbers.SIZE,
    metavar="P",
    help="Prompt length to fit. Repeatable.  [default: by device and profile]",
)
@click.option(
    "--output",
    "outputs",
    multiple=True,
    type=numbers.SIZE,
    metavar="O",
    help="Output length of the held-out requests. Repeatable.  [default: as --prompt]",
)
@click.option("--attention", default=None, metavar="KERNEL", help="sdpa or eager.  [default: sdpa]")
@click.option(
    "--compile",
    "compile_mode",
    default=None,
    metavar="MODE",
    help="eager, compile or cuda_graph.  [default: eager]",
)
@click.option(
    "--kv-cache", default=None, metavar="KIND", help="dynamic or static.  [default: dynamic]"
)
@click.option(
    "--threads",
    type=numbers.SIZE,
    default=None,
    metavar="N",
    help="CPU threads of the model.  [default: physical cores]",
)
@click.option(
    "--profile",
    default=None,
    metavar="NAME",
    help="quick, standard or publishable: how thoroughly.  [default: quick]",
)
@click.option(
    "--processes",
    type=numbers.SIZE,
    default=None,
    metavar="N",
    help="Fresh processes per configuration.  [default: by profile]",
)
@click.option(
    "--target-error",
    type=numbers.NUMBER,
    default=None,
    metavar="SHARE",
    help="Choose points to measure until the error expected on requests not measured is this "
    "small.  [default: 0.05 quick, 0.03 standard, 0.02 publishable]",
)
@click.option(
    "--budget",
    "budget_s",
    type=numbers.SECONDS,
    default=None,
    metavar="SECONDS",
    help="Stop choosing points of a configuration after this much measuring in its first process; "
    "with --target-error, at what comes first.  [default: 12 quick, else none]  Where prompts or "
    "cells are given: of the whole run, with windows beyond the least only while time is left.",
)
@click.option(
    "--fixed-grid",
    is_flag=True,
    default=None,
    help="Measure the whole default grid, no planner. Prompts or cells given are a grid too.",
)
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(),
    default=None,
    metavar="FILE.yaml",
    help="Read models and cells from a file instead of flags.",
)
@click.option(
    "--backend", default=None, metavar="NAME", help="What runs the model.  [default: transformers]"
)
@click.option(
    "--sensor",
    default=None,
    metavar="NAME",
    help="What sees the joules: auto, nvml, nvml+rapl, rapl, codecarbon, none, "
    "recorded:TRACE.csv.  [default: auto]",
)
@click.option(
    "--require-energy",
    is_flag=True,
    help="Stop with exit code 3 unless a sensor measures energy here.",
)
@click.option(
    "--share-device",
    is_flag=True,
    help="Measure although another process uses the accelerator; such windows are left out.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=numbers.SECONDS,
    default=None,
    metavar="SECONDS",
    help="Longest time one warm-up or window may take.  [default: by profile]",
)
@click.option(
    "--seed",
    type=numbers.ANY_WHOLE,
    default=None,
    metavar="N",
    help="Shuffles the order of cells and fills random weights.  [default: 0]",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the newest run that was interrupted, or has failed cells.",
)
@click.option(
    "--dry-run", is_flag=True, help="Show the cells and the expected time; measure nothing."
)
@click.option(
    "--zone",
    default=None,
    metavar="ZONE",
    help="Grid zone of the bills, such as FRA or US-TX. Default: three example zones.",
)
@click.option(
    "--tariff",
    type=numbers.AMOUNT,
    default=None,
    metavar="USD/KWH",
    help="Electricity price; without a price $ is NULL.",
)
@click.option(
    "--gpu-price",
    type=numbers.AMOUNT,
    default=None,
    metavar="USD/H",
    help="Price of one accelerator hour.",
)
@click.option("--yes", is_flag=True, help="Do not ask before a run that takes over ten minutes.")
@options.database
@options.as_json
@click.version_option(__version__, prog_name="run-benchmark")
@click.pass_context
def run_benchmark(ctx: click.Context, /, **given: Any) -> int:  # fmt: skip
    """Measure what language models cost on this machine.

    Without arguments: two models that fit, in the quick profile (under two minutes on two cores).
    """
    if ctx.invoked_subcommand is not None:
        return 0
    from runners.benchmark import Asked, execute

    source = click.core.ParameterSource.COMMANDLINE
    shaping = Asked.shaping_flags()
    shaped = tuple(n for n in shaping if ctx.get_parameter_source(n) == source)
    return execute(Asked(**given, shaped=shaped, command=command_line()))


def command_line() -> str:
    """The command as it was typed, for the run's row."""
    import shlex

    return shlex.join(["run-benchmark", *sys.argv[1:]])


@run_benchmark.command(name="probe")
@click.option("--json", "json_", is_flag=True, help="Print JSON and nothing else.")
def probe(json_: bool) -> int:
    """Say what this machine can measure, what not, and how to enable it."""
    from runners.probing import print_probe, probe_machine

    found = probe_machine()
    if json_:
        click.echo(json.dumps(found.to_json(), indent=2, allow_nan=False))
    else:
        print_probe(found)
    return 0


run_benchmark.add_command(campaign)


def main() -> None:
    """Entry point of the `run-benchmark` script."""
    sys.exit(run(run_benchmark))


if __name__ == "__main__":
    main()
