"""The request that a store is asked where none is given: useful, and covered by most fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from observatory import answers
from observatory.answers.fitted import LADDER
from observatory.answers.laws import read_laws
from observatory.cli import observatory, run
from observatory.runtime.fit import Fit
from observatory.runtime.quality import Ranges
from observatory.store import schema
from observatory.store.database import open_database
from tests import synthetic

USUAL = Ranges((16, 1024), (1, 1100), (1, 1), (17, 1100))
SHORT = Ranges((16, 512), (1, 76), (1, 1), (65, 76))  # one decode stretch, from 64 tokens on
LONG = Ranges((128, 8192), (1, 2080), (1, 64), (2049, 2080))
TINY = Ranges((8, 12), (1, 20), (1, 1), (9, 20))


def stored(path: Path, *ranges: Ranges) -> Any:
    """A synthetic store whose fits cover these ranges."""
    synthetic.record(path)
    engine, f = open_database(path), schema.fit
    with engine.begin() as connection:
        query = select(f).where(f.c.quantity == "runtime_s")
        row = dict(connection.execute(query).mappings().one())
        base = Fit.from_json(row.pop("parameters"))
        row.pop("id")
        connection.execute(f.delete())
        for i, span in enumerate(ranges):
            # Knots as wide as the prompts: what is measured is told by the ranges.
            curve = replace(base.curve, tokens=tuple(map(float, span.prompt)), alpha_s=(0.01, 0.5))
            made = replace(base, ranges=span, curve=curve)
            connection.execute(insert(f).values(row | {
                "parameters": made.to_json(), "data_hash": f"fit {i}",
                "prompt_min": span.prompt[0], "prompt_max": span.prompt[1],
                "output_max": span.output[1], "batch_min": span.batch[0],
                "batch_max": span.batch[1], "context_max": span.context[1],
            }))  # fmt: skip
    return engine


def test_an_empty_store_asks_the_usual_request(tmp_path: Path) -> None:
    assert answers.covered_request(open_database(tmp_path / "empty.db")) == (128, 64)


@pytest.mark.parametrize(
    ("ranges", "request_"),
    [
        ((USUAL,), (128, 64)),
        ((USUAL, USUAL, SHORT), (128, 64)),  # one odd fit no longer shrinks it to one token
        ((USUAL, LONG), (128, 64)),
        ((LONG, LONG, USUAL), (2048, 32)),
        ((SHORT,), (32, 16)),
        ((USUAL, LONG, TINY), (128, 64)),  # half of them by none: what most cover
    ],
)  # fmt: skip
def test_at_least_half_of_the_fits_cover_it(
    tmp_path: Path, ranges: tuple[Ranges, ...], request_: tuple[int, int]
) -> None:
    assert answers.covered_request(stored(tmp_path / "some.db", *ranges)) == request_


def test_what_no_rung_covers_still_has_a_decode_step(tmp_path: Path) -> None:
    nowhere = Ranges((100, 120), (1, 110), (1, 1), (101, 110))
    assert answers.covered_request(stored(tmp_path / "tiny.db", TINY)) == (12, 9)
    prompt, output = answers.covered_request(stored(tmp_path / "two.db", TINY, nowhere))
    assert prompt >= 1 and output == 2  # no request is in both: still one that has steps


def test_the_database_counts_as_the_fits_do(tmp_path: Path) -> None:
    """What is covered is `outside` of every fit at batch 1, told by SQL."""
    every = (USUAL, SHORT, LONG, TINY)
    for i, span in enumerate(every):
        engine = stored(tmp_path / f"{i}.db", span)
        table = read_laws(engine).runtime
        first = [rung for rung in LADDER if not table.predict(*rung).extrapolated[0]]
        assert not first or answers.covered_request(engine) == first[0]


def test_half_a_request_is_filled_up_aloud(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path / "usual.db", USUAL).dispose()
    db = ["--db", str(tmp_path / "usual.db")]
    for given, said in (
        (["--prompt", "100"], "note: 64 output tokens: --output was not given\n"),
        (["--output", "9"], "note: 128 prompt tokens: --prompt was not given\n"),
        (["--prompt", "100", "--output", "9"], ""),
        ([], ""),
    ):
        assert run(observatory, ["estimate", *db, *given]) == 0
        assert capsys.readouterr().err == said
