"""`observatory`: verbs over one store. A module of a verb is imported when that verb is called."""

from __future__ import annotations

import importlib
import keyword
import sys

import click

from observatory import __version__
from observatory.errors import ObservatoryError

VERBS: dict[str, str] = {
    "show": "What is in the database: summary, runs, cells, fits, findings.",
    "report": "The answer of one run, as it was printed at its end.",
    "estimate": "Time, energy, carbon, water and money of one request.",
    "export": "Tables as CSV, JSON, Parquet, LaTeX or SQL.",
    "figure": "A figure of the pages as SVG, PDF or PNG, fit for a paper.",
    "publish": "Measured runs as a folder of plain files, to be loaded elsewhere.",
    "card": "A snippet for a model's hub page: emissions block and footprint table.",
    "bundle": "One zip with everything that a paper's artifact needs.",
    "dashboard": "Look at the database in a browser.",
    "merge": "Add the facts of other databases.",
    "footprint": "Carbon, water and money of energy that you state.",
    "hours": "One request by region and hour of day, or a job over its own hours.",
    "compare": "What moving from A to B saves and costs, and how sure that is.",
    "scenario": "One request under every combination of a scenario file.",
    "recompute": "Bill kept estimates again under another edition of the factors.",
    "frontier": "Cost against capability: which models are worth what they cost.",
    "breakeven": "Own hardware against a provider's list price.",
    "dea": "Rate models by several costs at once: cross-efficiency with its rule.",
    "route": "What routing between models would save, from a table of items.",
    "import": "Results of other tools, with provenance, audited.",
    "audit": "What no machine could have measured: the database, or files of others.",
    "fit": "The idealized runtime of profiling logs, by a named recipe.",
    "derive": "Make findings, summaries and fits again from the facts.",
    "architecture": "Parameters, FLOPs and bytes of a model, from its config.",
    "capacity": "Does it fit, how many users, how fast, how many joules: before measuring.",
    "calibrate": "Teach the roofline a device, from the rows of the store.",
    "prices": "API list prices of a model, by provider.",
}


class LazyVerbs(click.Group):
    """A click group that imports a verb's module only when that verb is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        name = cmd_name.replace("-", "_") + ("_" if keyword.iskeyword(cmd_name) else "")
        module = importlib.import_module(f"observatory.verbs.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=LazyVerbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="observatory")
def observatory() -> None:
    """What a language model costs to run, and what it is worth."""


def run(command: click.Command, argv: list[str] | None = None) -> int:
    """Run a click command; print one line for an error a person can mend. Returns the exit code."""
    try:
        result = command.main(args=argv, standalone_mode=False)
    except ObservatoryError as error:
        click.echo(f"error: {' '.join(str(error).split())}", err=True)
        return error.exit_code
    except click.exceptions.Abort:
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        click.echo(f"error: {' '.join(error.format_message().split())}", err=True)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    return int(result) if isinstance(result, int) else 0


def main() -> None:
    """Entry point of the `observatory` script."""
    sys.exit(run(observatory))
