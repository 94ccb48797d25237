"""What an export writes reads back equal: every table as CSV, Parquet, JSON, hostile text too."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.cli import observatory, run
from observatory.exports import questions, tables
from observatory.store.database import open_read_only
from tests import synthetic

LANE = "bbh/acc_norm/3-shot/lm-eval/open-llm-leaderboard-v2/chat=no"
EMPTY = ("capability", "findings")  #: no row in a synthetic store


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("round") / "o.db"
    synthetic.record(path, noise=0.01)
    synthetic.record(path, run_id="=SUM(1)", model_name="Pythia-160M", scale=2.0, noise=0.01)
    return path


def exported(database: Path, out: Path, what: str, *arguments: str) -> bytes:
    call = ["export", "--db", str(database), "--out", str(out), "--what", what, "--lane", LANE]
    assert run(observatory, [*call, *arguments]) == 0
    return out.read_bytes()


def asked(database: Path, what: str) -> pd.DataFrame:
    return questions.table(open_read_only(database), what, questions.Ask(lane=LANE))


def plain(frame: pd.DataFrame, missing: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
    """Rows as plain values, nested ones as JSON text, `missing` values as None."""
    rows = tables.records(frame.map(tables.flat))
    return [{k: None if v is None or v in missing else v for k, v in row.items()} for row in rows]


@pytest.mark.parametrize("what", list(questions.TABLES))
def test_csv_reads_back_equal(database: Path, tmp_path: Path, what: str) -> None:
    text = exported(database, tmp_path / "x.csv", what).decode()
    expected = asked(database, what)
    got = tables.read_csv(text)
    assert list(got.columns) == [str(c) for c in expected.columns]
    assert plain(got) == plain(expected, missing=("",))
    assert len(expected) > 0 or what in EMPTY


@pytest.mark.parametrize("what", list(questions.TABLES))
def test_parquet_reads_back_equal(database: Path, tmp_path: Path, what: str) -> None:
    pytest.importorskip("pyarrow")
    content = exported(database, tmp_path / "x.parquet", what, "--format", "parquet")
    assert plain(pd.read_parquet(io.BytesIO(content))) == plain(asked(database, what))


@pytest.mark.parametrize("what", list(questions.TABLES))
def test_json_reads_back_equal(database: Path, tmp_path: Path, what: str) -> None:
    content = exported(database, tmp_path / "x.json", what, "--format", "json")
    assert json.loads(content) == tables.records(asked(database, what))


def test_counts_are_whole_in_a_file_where_some_are_missing(database: Path, tmp_path: Path) -> None:
    text = exported(database, tmp_path / "x.csv", "summary", "--columns",
                    "phase,prompt_tokens,context_tokens,batch,runtime_s").decode()  # fmt: skip
    assert "prefill,16,,1,0." in text and "decode,,512,1,0." in text
    rows = json.loads(exported(database, tmp_path / "x.json", "summary", "--format", "json"))
    assert {type(row["prompt_tokens"]) for row in rows} == {int, type(None)}


def test_a_hostile_run_id_is_guarded_in_the_file_and_whole_when_read(
    database: Path, tmp_path: Path
) -> None:
    text = exported(database, tmp_path / "x.csv", "runs").decode()
    assert "\n'=SUM(1)," in text and "\n=SUM(1)," not in text
    assert "=SUM(1)" in set(tables.read_csv(text)["id"])


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)


@given(
    st.lists(TEXTS, min_size=1, max_size=5),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=5, max_size=5),
)
def test_any_text_and_any_number_come_back(texts: list[str], numbers: list[float]) -> None:
    frame = pd.DataFrame({"=text": [f"{t}a" for t in texts], "x": numbers[: len(texts)]})
    got = tables.read_csv(tables.to_csv(frame))
    assert list(got.columns) == ["=text", "x"]
    assert list(got["=text"]) == list(frame["=text"])
    assert list(got["x"].astype(float)) == list(frame["x"])


@pytest.mark.parametrize("text", ["'=x", "''+y", "'", "a\rb", "a\r\nb", 'q"u', "=\n", "NA", "null"])
def test_awkward_texts_come_back(text: str) -> None:
    got = tables.read_csv(tables.to_csv(pd.DataFrame({"a": [text, "z"]})))
    assert list(got["a"]) == [text, "z"]


def test_columns_are_chosen_in_order_and_an_unknown_one_is_refused(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = exported(
        database, tmp_path / "x.csv", "summary", "--columns", "energy_j, model"
    ).decode()
    assert text.splitlines()[0] == "energy_j,model"
    capsys.readouterr()
    call = ["export", "--db", str(database), "--columns", "energyj"]
    assert run(observatory, call) == 2
    error = capsys.readouterr().err
    assert "unknown column 'energyj'" in error and "energy_j" in error and error.count("\n") == 1


def test_filters(database: Path, tmp_path: Path) -> None:
    text = exported(database, tmp_path / "x.csv", "summary", "--model", "pythia-160m", "--phase",
                    "decode").decode()  # fmt: skip
    rows = tables.read_csv(text)
    assert set(rows["model"]) == {"Pythia-160M"} and set(rows["phase"]) == {"decode"}
    rows = tables.read_csv(exported(database, tmp_path / "y.csv", "fits", "--configuration",
                                    "SmolLM2-135M").decode())  # fmt: skip
    assert set(rows["model"]) == {"SmolLM2-135M"}


def test_the_frontier_is_that_of_the_verb(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tables.read_csv(exported(database, tmp_path / "x.csv", "frontier", "--cost", "co2e_g",
                                    "--zone", "FRA").decode())  # fmt: skip
    capsys.readouterr()
    call = ["frontier", "--db", str(database), "--cost", "co2e_g", "--zone", "FRA", "--lane", LANE]
    assert run(observatory, [*call, "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    assert list(rows["co2e_g"]) == [p["cost"] for p in group["points"]]
    assert list(rows["co2e_g_low"]) == [p["cost_low"] for p in group["points"]]
    assert list(rows["p_on_frontier"]) == [p["p_on_frontier"] for p in group["points"]]
    assert set(rows["group"]) == {group["name"]}
