"""Exports read back equal, carry no formula, and say the same numbers as `answers`."""

from __future__ import annotations

import io
import json
import math
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory import answers
from observatory.cli import observatory, run
from observatory.errors import InputError
from observatory.exports import sql, tables
from observatory.exports.columns import bounds_of, quantity_of, scale_of
from observatory.footprint import Scenario
from observatory.records import Workload
from observatory.store.database import open_read_only
from tests import synthetic


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exports") / "observatory.db"
    synthetic.record(path)
    return path


def exported(database: Path, tmp_path: Path, *arguments: str) -> bytes:
    out = tmp_path / "out"
    assert run(observatory, ["export", "--db", str(database), "--out", str(out), *arguments]) == 0
    return out.read_bytes()


def test_footprint_is_the_estimate_of_the_scenario(database: Path, tmp_path: Path) -> None:
    arguments = ("--what", "footprint", "--format", "json", "--zone", "FRA", "--prompt", "300",
                 "--output", "9", "--tariff", "0.2")  # fmt: skip
    (row,) = json.loads(exported(database, tmp_path, *arguments))
    scenario = Scenario(zone="FRA", tariff_usd_per_kwh=0.2)
    found = answers.estimate(open_read_only(database), Workload.request(300, 9), scenario)[0]
    assert row["co2e_operational_g"] == found.footprints[0].co2e_g.value
    assert row["cost_usd"] == found.footprints[0].cost_usd.value
    assert row["runtime_s"] == found.runtime_s and row["zone"] == "FRA"


def test_missing_energy_is_empty_null_and_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    synthetic.record(path, energy=synthetic.no_energy)
    rows = json.loads(exported(path, tmp_path, "--what", "summary", "--format", "json"))
    assert {row["energy_j"] for row in rows} == {None}
    assert {row["energy_reason"] for row in rows} == {"no sensor on this synthetic machine"}
    text = exported(path, tmp_path, "--what", "summary").decode()
    frame = pd.read_csv(io.StringIO(text))
    assert frame["energy_j"].isna().all() and (frame["energy_reason"].notna()).all()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ('=HYPERLINK("http://evil.example","x")', "'=HYPERLINK(\"http://evil.example\",\"x\")"),
        ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t=1"), ("-2+3", "'-2+3"),
        ("-2.5", "-2.5"), ("+3e4", "+3e4"), ("a=b", "a=b"), ("", ""),
    ],
)  # fmt: skip
def test_formulas_are_made_text_and_numbers_stay(value: str, written: str) -> None:
    frame = pd.DataFrame({"model": [value, "x"], "=1+1": [-1.5, 2.0]})
    got = pd.read_csv(io.StringIO(tables.to_csv(frame)), keep_default_na=False, dtype=str)
    assert list(got.columns) == ["model", "'=1+1"]
    assert got["model"][0] == written and got["'=1+1"][0] == "-1.5"


@given(st.text(max_size=40))
def test_no_text_begins_a_cell_like_a_formula(value: str) -> None:
    guarded = tables.guarded(value)
    assert not guarded.startswith(("=", "@")) and tables.unguarded(guarded) == value


def test_json_has_no_nan() -> None:
    frame = pd.DataFrame({"a": [1.0, float("nan")], "b": [{"c": float("inf")}, None]})
    assert json.loads(tables.to_json(frame)) == [
        {"a": 1.0, "b": {"c": None}},
        {"a": None, "b": None},
    ]


def test_latex_has_units_and_intervals(database: Path, tmp_path: Path) -> None:
    text = exported(database, tmp_path, "--what", "summary", "--format", "latex").decode()
    assert r"\toprule" in text and r"\bottomrule" in text and r"\caption{" in text
    assert "runtime (ms)" in text and "energy (J)" in text
    head = next(line for line in text.splitlines() if "model &" in line)
    assert "low" not in head and "high" not in head
    body = [line for line in text.splitlines() if line.startswith("SmolLM2-135M")]
    assert len(body) == len(synthetic.points()) and all("[" in line for line in body)
    assert all(line.count("&") == head.count("&") for line in body)


def test_the_dump_loads_and_is_the_same_store(database: Path, tmp_path: Path) -> None:
    script = exported(database, tmp_path, "--what", "all", "--format", "sql").decode()
    copy = tmp_path / "copy.db"
    with sqlite3.connect(copy) as connection:
        connection.executescript(script)
    before, after = open_read_only(database), open_read_only(copy)
    for question in (answers.summary, answers.windows, answers.runs):
        pd.testing.assert_frame_equal(question(before), question(after))
    a, b = (answers.estimate(e, Workload.request(64, 8)) for e in (before, after))
    assert a == b


@given(st.one_of(st.text(st.characters(exclude_characters="\x00", codec="utf-8")),
                 st.floats(allow_nan=False, allow_infinity=False), st.none(),
                 st.integers(-(2**62), 2**62)))  # fmt: skip
def test_a_literal_reads_back(value: object) -> None:
    with sqlite3.connect(":memory:") as connection:
        read = connection.execute(f"SELECT {sql.literal(value)}").fetchone()[0]
    # SQLite's own reading of decimal text is one unit in the last place off now and then
    assert abs(read - value) <= math.ulp(value) if isinstance(value, float) else read == value


def test_one_table_as_sql(database: Path, tmp_path: Path) -> None:
    script = exported(database, tmp_path, "--what", "fits", "--format", "sql").decode()
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(script)
        (n,) = connection.execute("SELECT count(*) FROM fits").fetchone()
    assert n == len(answers.fits(open_read_only(database), None))


def test_a_nul_character_is_refused() -> None:
    with pytest.raises(InputError, match="NUL"):
        sql.literal("a\x00b")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--what", "all"], "--format sql"),
        (["--what", "summary", "--model", "nobody"], "no row with model 'nobody'"),
        (["--what", "runs", "--phase", "decode"], "has no column phase"),
        (["--what", "moon"], "moon"),
        (["--what", "footprint", "--prompt", "0"], "--prompt 0"),
        (["--what", "footprint", "--zone", "Frnce"], "unknown zone"),
        (["--out", "/nowhere/at/all.csv"], "cannot write"),
    ],
)
def test_wrong_usage_is_one_line_and_code_two(
    database: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(observatory, ["export", "--db", str(database), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error


def test_names_of_columns_say_their_unit() -> None:
    assert quantity_of("decode_s") == "runtime_s" and quantity_of("tokens_per_s") == "tokens_per_s"
    assert quantity_of("n_windows") is None and quantity_of("flops_per_s") == "flops_per_s"
    assert bounds_of("runtime_s", ["runtime_low_s", "runtime_high_s"]) == (
        "runtime_low_s", "runtime_high_s",
    )  # fmt: skip
    assert scale_of(pd.Series([0.002, 0.003, None]), "runtime_s") == (1e-3, "ms")
