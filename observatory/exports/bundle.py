"""A zip that a paper's artifact needs: tables, dump, figures, sources, checksums, commands.

The same database, choices and software give the same bytes: entries are sorted, carry one fixed
date, and hold no date or id of their own making. `README.md` names, for every file, the command
that makes it again; a test runs them.
"""

from __future__ import annotations

import hashlib
import io
import shlex
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

import pandas as pd
from sqlalchemy import Engine

from observatory import answers
from observatory.answers import Estimate
from observatory.errors import InputError
from observatory.exports import artifact_notes, drawings, rendering, sql, tables
from observatory.exports.card import snippet
from observatory.exports.questions import TABLES, Ask, request, table
from observatory.figures.paper import for_paper
from observatory.footprint import FactorTable, load_factors
from observatory.records import canonical_json

DATE = (1980, 1, 1, 0, 0, 0)  #: the earliest that a zip can hold
LATEX = ("summary", "idealized", "fits", "footprint", "configurations", "frontier")
IMAGES = ("svg", "pdf")
DATABASE = "observatory.db"  #: what the commands call the loaded store
NOT_HERE = (
    "ratios",
    "region-hours",
    "routing",
)  #: figures that need configurations or files to be named


@dataclass(frozen=True)
class Wanted:
    """What a bundle is of. `flags` are the command line's own, for the commands that it names."""

    ask: Ask = field(default_factory=Ask)
    flags: tuple[str, ...] = ()
    images: bool = True
    inputs: Mapping[str, bytes] = field(default_factory=dict)  #: the reader's own factor files


def bundle(engine: Engine, wanted: Wanted | None = None) -> bytes:
    """The zip as bytes. Raises InputError where nothing was measured yet."""
    chosen = wanted or Wanted()
    asked = replace(chosen.ask, workload=request(engine, chosen.ask))
    files = _files(engine, replace(chosen, ask=asked))
    sums = "".join(f"{hashlib.sha256(files[n]).hexdigest()}  {n}\n" for n in sorted(files))
    files["SHA256SUMS"] = sums.encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def _files(engine: Engine, wanted: Wanted) -> dict[str, bytes]:
    factors = load_factors() if wanted.ask.factors is None else wanted.ask.factors
    workload = request(engine, wanted.ask)
    estimates = answers.estimate(engine, workload, wanted.ask.scenario, factors=factors)
    made: dict[str, bytes] = dict(wanted.inputs)
    commands: dict[str, str] = {"store": f"sqlite3 {DATABASE} < store.sql"}
    for parts, text in (
        *_tables(engine, wanted), *_cards(estimates, wanted), *_figures(engine, wanted),
    ):  # fmt: skip
        made[parts[-1]] = text
        commands[parts[-1]] = shlex.join(("observatory", *parts[:-1], "--out", parts[-1]))
    used = _used(factors, estimates)
    made["store.sql"] = "".join(sql.dump(engine)).encode()
    made["factors.csv"] = tables.to_csv(used).encode()
    made["environment.json"] = artifact_notes.environment(engine).encode()
    made["methods.json"] = artifact_notes.methods(engine, factors).encode()
    made["LICENCES.md"] = artifact_notes.licences(engine, used).encode()
    made["scenario.json"] = (canonical_json(asdict(wanted.ask.scenario)) + "\n").encode()
    made["CITATION.cff"] = artifact_notes.CITATION.encode()
    commands["bundle"] = shlex.join(
        ("observatory", "bundle", "again.zip", "--db", DATABASE, *_request(wanted), *wanted.flags,
         *([] if wanted.images else ["--no-images"]))
    )  # fmt: skip
    notes = _notes(engine, wanted)
    readme = artifact_notes.readme(engine, workload, factors, commands, notes)
    made["README.md"] = readme.encode()
    return made


def _request(wanted: Wanted) -> tuple[str, ...]:
    """The request as options, so that a command says it whatever the store would cover."""
    w = wanted.ask.workload
    if w is None:
        return ()
    return ("--prompt", str(w.prompt_tokens), "--output", str(w.output_tokens),
            "--batch", str(w.batch))  # fmt: skip


Made = tuple[tuple[str, ...], bytes]  #: (arguments of `observatory`, then the file's name), content


def _tables(engine: Engine, wanted: Wanted) -> Iterator[Made]:
    for what in TABLES:
        if what == "frontier" and wanted.ask.lane is None:
            continue
        frame = table(engine, what, wanted.ask)
        billed = what in ("footprint", "frontier")
        choices = (*_request(wanted), *wanted.flags) if billed else ()
        say = ("export", "--db", DATABASE, "--what", what, *choices)
        yield (*say, "--format", "csv", f"tables/{what}.csv"), tables.write(frame, "csv")
        if what in LATEX and not frame.empty:
            content = tables.write(frame, "latex", what)
            yield (*say, "--format", "latex", f"tables/{what}.tex"), content


def _cards(estimates: list[Estimate], wanted: Wanted) -> Iterator[Made]:
    by_model: dict[str, list[Estimate]] = {}
    for e in estimates:
        by_model.setdefault(e.model, []).append(e)
    for i, model in enumerate(sorted(by_model)):
        safe = "".join(c if c.isalnum() or c in "-._" else "_" for c in model).lstrip(".")
        name = f"cards/{i:02d}-{safe[:60]}.md"
        say = ("card", model, "--db", DATABASE, *_request(wanted), *_bills_only(wanted.flags))
        yield (*say, name), snippet(by_model[model]).encode()


def _bills_only(flags: tuple[str, ...]) -> tuple[str, ...]:
    """The flags without those of the frontier, which a card has not."""
    pairs = [flags[i : i + 2] for i in range(0, len(flags), 2)]
    return tuple(part for pair in pairs if pair[0] not in ("--lane", "--cost") for part in pair)


def _figures(engine: Engine, wanted: Wanted) -> Iterator[Made]:
    """Every figure that this store and scenario can draw, by the functions of the pages."""
    a = wanted.ask
    of = drawings.Ask(request(engine, a), a.scenario, cost=a.cost, lane=a.lane, factors=a.factors)
    drawn = {}
    for name in drawings.DRAWINGS:
        if name in NOT_HERE or (name == "frontier" and a.lane is None):
            continue
        try:
            drawn[name] = for_paper(drawings.draw(engine, name, of))
        except InputError:  # no plotly, no zone, no price: `_notes` says which are not here
            continue
    forms = ["json", *(IMAGES if wanted.images and rendering.available() is None else ())]
    for (name, form), content in rendering.render_all(drawn, forms).items():
        say = ("figure", name, "--db", DATABASE, *_request(wanted), *wanted.flags)
        yield (*say, f"figures/{name}.{form}"), content


def _notes(engine: Engine, wanted: Wanted) -> list[str]:
    """What is not in the bundle, and why."""
    out = []
    missing = rendering.available() if wanted.images else "images were not asked for"
    if missing:
        out.append(f"No SVG and PDF: {missing}.")
    if wanted.ask.lane is None:
        out.append("No frontier: it needs the lane of the scores (`--lane`).")
    if wanted.ask.scenario.zone is None:
        out.append("No zone was chosen: the bills are those of three examples, and figures of one "
                   "place are left out.")  # fmt: skip
    if not len(answers.findings(engine)):
        out.append("`tables/findings.csv` is empty: the audit found nothing.")
    return out


def _used(factors: FactorTable, estimates: list[Estimate]) -> pd.DataFrame:
    """The registry's rows behind the bills."""
    used = {i for e in estimates for f in e.footprints for i in f.factor_ids}
    found = sorted((f for f in factors.current() if f.id in used), key=lambda f: f.id)
    return pd.DataFrame([{"id": f.id, **asdict(f)} for f in found])
