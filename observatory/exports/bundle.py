"""A zip that a paper's artifact needs: tables, dump, figures, sources, checksums, commands.

The same database, scenario and version give the same bytes: entries are sorted, carry one fixed
date, and hold no date of their own making.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict

import pandas as pd
from sqlalchemy import Engine

from observatory import __version__, answers
from observatory.errors import InputError
from observatory.exports import latex, sql, tables
from observatory.figures import bills, runtime
from observatory.footprint import FactorTable, Scenario, load_factors
from observatory.records import Workload, canonical_json

DATE = (1980, 1, 1, 0, 0, 0)  #: the earliest that a zip can hold
QUESTIONS = ("summary", "fits", "configurations", "idealized", "runs", "cells", "findings",
             "windows")  # fmt: skip
CITATION = f"""cff-version: 1.2.0
message: "If you use this data, cite the software and the sources in factors.csv."
title: Inference Observatory
type: software
version: {__version__}
license: Apache-2.0
authors:
  - name: The Inference Observatory founders
"""


def bundle(
    engine: Engine,
    workload: Workload | None = None,
    scenario: Scenario | None = None,
    factors: FactorTable | None = None,
) -> bytes:
    """The zip as bytes. Raises InputError where nothing was measured yet."""
    table = load_factors() if factors is None else factors
    chosen = scenario or Scenario()
    asked = workload or Workload.request(*answers.covered_request(engine))
    files = dict(_files(engine, asked, chosen, table))
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


def _files(
    engine: Engine, asked: Workload, scenario: Scenario, table: FactorTable
) -> Iterator[tuple[str, bytes]]:
    estimates = answers.estimate(engine, asked, scenario, factors=table)
    footprint = answers.estimate_frame(estimates)
    for name in QUESTIONS:
        frame = answers.fits(engine, None) if name == "fits" else getattr(answers, name)(engine)
        yield f"tables/{name}.csv", tables.to_csv(frame).encode()
    yield "tables/footprint.csv", tables.to_csv(footprint).encode()
    summary = answers.summary(engine)
    caption = "Measured points: median of one iteration, 95 % interval in brackets."
    yield "tables/summary.tex", latex.to_latex(summary, caption).encode()
    used = sorted({i for e in estimates for f in e.footprints for i in f.factor_ids})
    rows = [{"id": f.id, **asdict(f)} for f in table.current() if f.id in used]
    yield "factors.csv", tables.to_csv(pd.DataFrame(rows)).encode()
    yield "store.sql", "".join(sql.dump(engine)).encode()
    yield from _figures(engine, footprint)
    yield "scenario.json", (canonical_json(asdict(scenario)) + "\n").encode()
    yield "CITATION.cff", CITATION.encode()
    yield "README.md", _readme(engine, asked, table).encode()


def _figures(engine: Engine, footprint: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Figures as plotly JSON, where plotly is installed; the same functions draw the pages."""
    drawn = footprint.assign(
        name=footprint["model"] + " · " + footprint["configuration"],
        provenance=footprint["energy_provenance"],
        zone=footprint["zone"].fillna("stated numbers") if "zone" in footprint else "",
    )
    idealized = answers.idealized(engine)
    try:
        made = {f"bill-{name}": bills.bill(drawn, name) for name in bills.BILLS}
        for key, rows in idealized.groupby("configuration_key", sort=True):
            made[f"idealized-{key}"] = runtime.measured_idealized_roofline(rows)
    except InputError:
        return
    for name, figure in made.items():
        plain = json.loads(figure.to_json())
        plain["layout"].pop("template", None)
        yield f"figures/{name}.json", (canonical_json(plain) + "\n").encode()


def _readme(engine: Engine, asked: Workload, table: FactorTable) -> str:
    runs = answers.runs(engine)
    commands = "\n".join(f"    {c}" for c in dict.fromkeys(runs["command"].astype(str)))
    return f"""# Artifact of an Inference Observatory database

inference-observatory {__version__}, factors of edition {table.edition}, request {asked.label()}.

* `store.sql`: the whole store. `sqlite3 observatory.db < store.sql`, or `psql -f store.sql`.
* `tables/`: what it says, in SI units; missing is empty, with its reason in a column beside it.
* `figures/`: the pages' figures as plotly JSON.
* `factors.csv`: every factor used, with source and licence. `scenario.json`: every choice.
* `SHA256SUMS`: check with `sha256sum -c SHA256SUMS`.

The commands that measured:

{commands}
"""
