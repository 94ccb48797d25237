"""Predicting outside the measured range is flagged: terminal, JSON, database, page."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from sqlalchemy import text

from observatory import answers
from observatory.cli import observatory, run
from observatory.footprint import Scenario
from observatory.ingest import store_estimates
from observatory.records import Workload
from observatory.store.database import open_database
from tests import synthetic

INSIDE, OUTSIDE = (128, 64), (5000, 20)  # the synthetic store measured prompts 16 to 1024


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ranges") / "store.db"
    synthetic.record(path, "synthetic-1")
    return str(path)


def asked(db: str, request: tuple[int, int], *more: str) -> list[str]:
    prompt, output = map(str, request)
    return ["estimate", "--db", db, "--prompt", prompt, "--output", output, *more]


def test_terminal(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(observatory, asked(filled, INSIDE)) == 0
    shown = capsys.readouterr().out
    assert "inside" in shown and "OUTSIDE" not in shown and "outside the measured" not in shown
    assert run(observatory, asked(filled, OUTSIDE)) == 0
    shown = capsys.readouterr().out
    assert "OUTSIDE" in shown and "prompt 5000 (measured 16-1024)" in shown


@pytest.mark.parametrize(
    "verb",
    [
        ["compare", "SmolLM2-135M", "4Wh", "--zone", "FRA"],
        ["breakeven", "SmolLM2-135M", "--zone", "FRA", "--api-input-price", "1",
         "--api-output-price", "2"],
    ],
)  # fmt: skip
def test_verbs_that_rest_on_it_warn(
    filled: str, verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for request, outside in ((INSIDE, False), (OUTSIDE, True)):
        prompt, output = map(str, request)
        assert (
            run(observatory, [*verb, "--db", filled, "--prompt", prompt, "--output", output]) == 0
        )
        told = capsys.readouterr()
        assert ("prompt 5000 (measured 16-1024)" in told.err) is outside


LANE = "bbh/acc_norm/3-shot/lm-eval/open-llm-leaderboard-v2/chat=no"


def test_a_frontier_warns_and_its_json_names_them(
    filled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for request, outside in ((INSIDE, False), (OUTSIDE, True)):
        arguments = ["frontier", "--db", filled, "--lane", LANE, "--cost", "runtime_s",
                     "--workload", f"{request[0]},{request[1]}"]  # fmt: skip
        assert run(observatory, arguments) == 0
        assert ("prompt 5000 (measured 16-1024)" in capsys.readouterr().err) is outside
        assert run(observatory, [*arguments, "--json"]) == 0
        left = json.loads(capsys.readouterr().out)["extrapolated"]
        assert [row["model"] for row in left] == (["SmolLM2-135M"] if outside else [])


def test_json(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    for request, outside in ((INSIDE, False), (OUTSIDE, True)):
        assert run(observatory, asked(filled, request, "--json")) == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert row["extrapolated"] is outside
        assert (row["extrapolation"] is not None) is outside


def test_database(filled: str) -> None:
    engine = open_database(filled)
    scenario = Scenario(zone="FRA")
    for request in (INSIDE, OUTSIDE):
        estimates = answers.estimate(engine, Workload.request(*request), scenario)
        assert store_estimates(engine, estimates, scenario) > 0
    with engine.connect() as connection:
        for table in ("estimate", "v_footprint"):
            kept = pd.read_sql_query(text(f"SELECT * FROM {table}"), connection)
            far = kept["prompt_tokens"] == 5000
            assert kept.loc[far, "extrapolated"].tolist() == [1] * int(far.sum())
            assert not kept.loc[~far, "extrapolated"].to_numpy().any() and 0 < far.sum() < len(far)


def test_headline_of_a_run_says_it_too(filled: str) -> None:
    from observatory.headline import headline

    engine = open_database(filled)
    told = {
        request: headline(answers.estimate(engine, Workload.request(*request)))
        for request in (INSIDE, OUTSIDE)
    }
    assert "outside the measured range" not in told[INSIDE]
    assert "outside the measured range" in told[OUTSIDE]
