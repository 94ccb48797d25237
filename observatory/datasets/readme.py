"""The page of a published set: what was measured, how sure it is, and how to make it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import pandas as pd

from observatory import __version__
from observatory.audit.levels import is_disturbed
from observatory.derive import plain_rows
from observatory.records import CellStatus, RunStatus
from observatory.units import show, show_interval

MOST_ROWS = 80  #: of the table of points; summary.csv has them all
Facts = Mapping[str, list[dict[str, Any]]]
FILES = {
    "environment.json": "the machine as probed",
    "runs.json": "runs: command, plan, code version, seed, sensor, its tick and limits",
    "models.json": "architectures with exact counts",
    "configurations.csv": "the software stack of each cell",
    "peaks.csv": "ceilings of the machine, measured in the run",
    "cells.csv": "every cell and how it ended, refusals and failures with their reason",
    "windows.csv": "**facts**: every measured window, also those that a rule leaves out",
    "summary.csv": "derived: median and 95 % interval of each point, level met, joules per token",
    "fits.csv": "derived: idealized runtime and energy, with errors and ranges",
    "findings.csv": "derived: which rule a row broke, why, what to do",
    "plot.svg": "the picture above",
    "SHA256SUMS": "`sha256sum -c SHA256SUMS`",
}


def text(
    name: str, facts: Facts, summary: pd.DataFrame, fits: pd.DataFrame, findings: pd.DataFrame
) -> str:
    """Markdown. The same facts and version give the same text."""
    sections = (
        f"# {name}\n", _what(facts), _levels(summary), _machine(facts), _joules(facts, summary),
        "![Time and energy of each token](plot.svg)\n", _points(summary), _again(name, facts),
        _found(findings), _fits(fits), _files(),
    )  # fmt: skip
    return "\n".join(section for section in sections if section)


def _what(facts: Facts) -> str:
    cells = facts["cells.csv"]
    ended: dict[str, int] = {}
    for cell in cells:
        ended[str(cell["status"])] = ended.get(str(cell["status"]), 0) + 1
    how = ", ".join(f"{n} {status}" for status, n in sorted(ended.items()))
    models = ", ".join(dict.fromkeys(row["name"] for row in facts["models.json"]))
    random = any(row["weights"] == "random_weights" for row in facts["configurations.csv"])
    lines = [
        f"{models}: {len(facts['windows.csv'])} windows in {len(cells)} cells ({how}), "
        f"{len(facts['runs.json'])} run(s).",
    ]
    if random:
        lines.append(
            "Weights are random where a row says `random_weights`: runtimes and joules are those "
            "of the architecture, and nothing is said of what the model answers."
        )
    fallen = {
        f"* {label}: {note}"
        for run in facts["runs.json"]
        for label, loaded in (run["notes"].get("loaded") or {}).items()
        for note in loaded.get("notes", ())
        if "fell back" in note
    }
    if fallen:
        lines += ["", "Not run as asked:", "", *sorted(fallen)]
    broken = [run for run in facts["runs.json"] if run["status"] == RunStatus.INTERRUPTED]
    if broken:
        lines += ["", "Interrupted, and published as far as they came:", ""]
        lines += [f"* {_how_far(run, facts)}" for run in broken]
    failed = [c for c in cells if c["status"] not in (CellStatus.OK, CellStatus.PLANNED)]
    if failed:
        lines += ["", "Not measured:", ""]
        lines += [f"* {c['plan_key']}: {c['status']}: {c['error'] or 'no reason'}" for c in failed]
    return "\n".join(lines) + "\n"


def _how_far(run: Mapping[str, Any], facts: Facts) -> str:
    cells = [c for c in facts["cells.csv"] if c["run_id"] == run["id"]]
    open_ = {c["plan_key"] for c in cells if c["status"] == CellStatus.PLANNED}
    begun = {w["plan_key"] for w in facts["windows.csv"] if w["run_id"] == run["id"]} & open_
    return (
        f"run {run['id']} ({run['profile']}): {len(cells) - len(open_)} of {len(cells)} cells "
        f"complete, {len(begun)} with some of their windows, {len(open_ - begun)} not begun"
    )


def _levels(summary: pd.DataFrame) -> str:
    """What the points met, and why not more."""
    if summary.empty:
        return ""
    counts = summary["profile"].value_counts().sort_index()
    said = ", ".join(f"{n} {level}" for level, n in counts.items())
    lines = [f"Protocol level that the points met: {said}."]
    why = summary["profile_reason"].dropna().value_counts().sort_index()
    if len(why):
        lines += ["Why some are below the level asked for, or what to know of them:", ""]
    lines += [f"* {n}: {reason}" for reason, n in why.items()]
    return "\n".join(lines) + "\n"


def _machine(facts: Facts) -> str:
    lines = ["## Machine", ""]
    for row in facts["environment.json"]:
        cores = row["cpu_physical_cores"] or row["cpu_logical_cores"]
        lines.append(
            f"* {row['cpu_model']}, {cores} cores, {show(row['memory_bytes'], 'memory_bytes')}"
            f"{', virtualised' if row['virtualised'] else ''}; {row['operating_system']}, kernel "
            f"{row['kernel']}, Python {row['python']}"
        )
        for device in row["devices"]:
            limit = device.get("power_limit_w")
            lines.append(
                f"* {device['name']}, driver {device.get('driver') or 'unknown'}"
                + (f", power limit {limit:g} W" if limit else "")
            )
        versions = ", ".join(f"{k} {v}" for k, v in sorted(row["libraries"].items()))
        lines.append(f"* {versions}")
    return "\n".join(lines) + "\n"


def _joules(facts: Facts, summary: pd.DataFrame) -> str:
    lines = ["## Energy", ""]
    known = summary[summary["energy_j"].notna()] if "energy_j" in summary else summary.iloc[:0]
    if known.empty:
        told = {str(w["energy_reason"]) for w in facts["windows.csv"] if w["energy_reason"]}
        lines.append(f"No joules: {'; '.join(sorted(told)) or 'no reason kept'}.")
        return "\n".join(lines) + "\n"
    for (provenance, method, boundary), rows in known.groupby(
        ["energy_provenance", "energy_method", "energy_boundary"], sort=True
    ):
        lines.append(
            f"* {len(rows)} points **{provenance}** by `{method}`, boundary `{boundary}`, gross "
            "(idle power is not taken off)"
        )
    missing = summary[summary["energy_j"].isna()]
    if len(missing):
        why = "; ".join(sorted(set(missing["energy_reason"].dropna().astype(str))))
        lines.append(f"* {len(missing)} points without joules: {why or 'no reason kept'}")
    return "\n".join(lines) + "\n"


def _points(summary: pd.DataFrame) -> str:
    """Prefill and decode, a row each, where they are few enough to be read."""
    rows = [row for row in plain_rows(summary) if row["phase"] in ("prefill", "decode")]
    if not rows or len(rows) > MOST_ROWS:
        return ""
    rows.sort(key=lambda row: (
        row["model"], row["configuration_key"], row["phase"] == "decode", row["batch"],
        row["prompt_tokens"] or 0, row["context_tokens"] or 0, row["output_tokens"] or 0,
    ))  # fmt: skip
    lines = [
        "| model | stack | phase | p or c | o | B | time [95 %] | token/s | J/token | W | level |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        tokens = row["prompt_tokens"] if row["phase"] == "prefill" else row["context_tokens"]
        time = show_interval(
            row["runtime_low_s"], row["runtime_s"], row["runtime_high_s"], "runtime_s"
        )
        rate = "–" if row["tokens_per_s"] is None else f"{row['tokens_per_s']:.4g}"
        cells = (
            row["model"], _stack(row), row["phase"],
            f"{tokens or 0:g}", f"{row['output_tokens'] or 0:g}", f"{row['batch']:g}", time, rate,
            show(row["energy_per_token_j"], "energy_j"), show(row["power_w"], "power_w"),
            row["profile"] + (" †" if is_disturbed(row["profile_reason"]) else ""),
        )  # fmt: skip
        lines.append("| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |")
    lines += ["", "Time is that of one iteration: a prefill, or a stretch of decode steps; J/token "
              "is for each prompt token of prefill and each output token of decode."]  # fmt: skip
    if any(is_disturbed(row["profile_reason"]) for row in rows):
        lines += ["", "† Every window of the point was disturbed, such as by a neighbour on the "
                  "same machine; `profile_reason` in `summary.csv` says by what. There are no "
                  "better ones: read it as a bound, and measure it again."]  # fmt: skip
    return "\n".join(lines) + "\n"


def _stack(row: dict[str, Any]) -> str:
    threads = [] if row["threads"] is None else [f"{row['threads']:g} threads"]
    return " ".join([row["dtype"], row["compile_mode"], row["kv_cache"], *threads])


def _again(name: str, facts: Facts) -> str:
    lines = ["## Make it again", "", "```console"]
    for version in dict.fromkeys(row["code_version"] for row in facts["runs.json"]):
        commit = version.partition("+")[2].removesuffix("-dirty")
        lines.append(f"$ git checkout {commit}" if commit else f"# inference-observatory {version}")
    # a path was cut to its last part: a database can be made anew anywhere, such as in results/
    commands = [
        row["command"].replace("--db …/", "--db results/").replace("--db=…/", "--db=results/")
        for row in facts["runs.json"]
    ]
    commands = list(dict.fromkeys(commands))
    lines += [f"$ .venv/bin/{command}" for command in commands]
    databases = list(dict.fromkeys(filter(None, map(_database, commands))))
    if len(databases) > 1:
        merged = "results/merged.db"
        lines.append(f"$ .venv/bin/observatory merge --db {merged} {' '.join(databases)}")
        databases = [merged]
    words = [f"--db {database}" for database in databases]
    if any(run["status"] == RunStatus.INTERRUPTED for run in facts["runs.json"]):
        words += ["--run ID"] * len(facts["runs.json"])  # published where named, and then all are
    lines += [f"$ .venv/bin/observatory publish {' '.join(words)}".rstrip(), "```", ""]
    dirty = [r["code_version"] for r in facts["runs.json"] if r["code_version"].endswith("-dirty")]
    if dirty:
        lines += [f"The checkout had changes that were not committed ({dirty[0]}).", ""]
    hashes = ", ".join(dict.fromkeys(f"`{row['plan_hash']}`" for row in facts["runs.json"]))
    lines += [
        f"Plan {hashes} (in full in `runs.json`): the same command on the same machine makes the "
        "same plan. To look at these very numbers instead:", "",
        "```console", f"$ .venv/bin/observatory import published results/published/{name}",
        "$ .venv/bin/observatory show summary", "```", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _database(command: str) -> str | None:
    """The `--db` of a command, quoted for a shell, so that publishing reads what it wrote."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    for place, word in enumerate(words):
        if word == "--db" and place + 1 < len(words):
            return shlex.quote(words[place + 1])
        if word.startswith("--db="):
            return shlex.quote(word.partition("=")[2])
    return None


def _found(findings: pd.DataFrame) -> str:
    lines = ["## What the audit found", ""]
    if findings.empty:
        return "\n".join([*lines, "Nothing."]) + "\n"
    groups = findings.groupby(["severity", "rule"], sort=True)
    for (severity, rule), rows in groups:
        lines.append(f"* {len(rows)} × `{rule}` ({severity}): {rows['remedy'].iloc[0]}")
    return "\n".join(lines) + "\n"


def _fits(fits: pd.DataFrame) -> str:
    if fits.empty:
        return "No idealized runtime was fitted: too few points of one configuration.\n"
    return f"{len(fits)} fits of idealized runtime and joules stand in `fits.csv`.\n"


def _files() -> str:
    rows = [f"| `{name}` | {what} |" for name, what in FILES.items()]
    return "\n".join([
        "## Files", "", "| file | what |", "|---|---|", *rows, "",
        "SI units; an empty cell is missing, with its reason in a column beside it. Host and user "
        "names and paths are left out, and a card's UUID is replaced by a hash of it.",
        f"Written by inference-observatory {__version__}; licence as the project's (Apache-2.0).",
    ]) + "\n"  # fmt: skip
