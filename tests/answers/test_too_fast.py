"""A fit faster than its own roofline is flagged where it is asked, and beside its points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from observatory import answers
from observatory.cli import observatory, run
from observatory.importing import import_file
from observatory.records import Workload
from observatory.runtime.plausibility import beats_roofline
from observatory.store import schema
from observatory.store.database import open_database
from tests import synthetic

SET = Path(__file__).resolve().parents[2] / "results/published/nvidia-h100-80gb-hbm3-2026-11-27"
REQUEST = Workload.request(32, 32, 64)


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The published set of one H100."""
    monkeypatch.setenv("OBSERVATORY_DB", str(tmp_path / "h100.db"))
    assert run(observatory, ["import", "published", str(SET)]) == 0
    return open_database(tmp_path / "h100.db")


def with_constant_steps(engine: Any, seconds: float) -> None:
    """Every fit of times with steps of one constant, whatever the batch."""
    f = schema.fit
    with engine.begin() as connection:
        query = f.select().where(f.c.quantity == "runtime_s")
        for row in connection.execute(query).mappings().all():
            law = dict(row["parameters"])
            law["step"] = dict.fromkeys(law["step"]) | {"c0_s": seconds}
            connection.execute(f.update().where(f.c.id == row["id"]).values(parameters=law))


def test_what_was_measured_is_slower_than_its_roofline(measured: Any) -> None:
    rows = answers.idealized(measured)
    rows = rows[rows["phase"].isin(["prefill", "decode"])]
    assert len(rows) == 17 and not rows["faster_than_roofline"].any()
    assert rows["error_rel"].abs().max() < 0.04  # of 64 sequences as of one
    for e in answers.estimate(measured, Workload.request(2048, 32)):
        assert not e.extrapolated and e.roofline_ratio is not None and e.roofline_ratio < 1


def test_a_constant_for_all_batches_is_flagged(measured: Any) -> None:
    with_constant_steps(measured, 0.002)
    found = {e.model: e for e in answers.estimate(measured, REQUEST)}
    mixture = found["OLMoE-1B-7B"]
    assert mixture.extrapolated and mixture.roofline_ratio is not None
    assert mixture.roofline_ratio > 1.05
    assert str(mixture.extrapolation).endswith(
        f"faster than its roofline, {mixture.roofline_s:.3g} s: the fit does not hold here"
    )
    assert "context from 33 (measured 2049-2080" in str(mixture.extrapolation)  # it says both
    assert "roofline" not in str(found["Llama-3.2 1B"].extrapolation)
    rows = answers.idealized(measured)
    wrong = rows[rows["faster_than_roofline"]]
    assert ("OLMoE-1B-7B", 64) in set(zip(wrong["model"], wrong["batch"], strict=True))


def test_a_ceiling_measured_here_rules_nothing_out(tmp_path: Path) -> None:
    synthetic.record(tmp_path / "cpu.db")
    engine = open_database(tmp_path / "cpu.db")
    with_constant_steps(engine, 1e-9)
    (e,) = answers.estimate(engine, Workload.request(16, 500))
    assert e.roofline_ratio is not None and e.roofline_ratio > 1.05 and not e.extrapolated


def test_a_little_above_the_rated_clock_is_no_contradiction() -> None:
    times = np.array([0.94, 0.96, 1.5, np.nan])
    assert beats_roofline(times, 1.0).tolist() == [True, False, False, False]
    assert not beats_roofline(times[0], np.nan)


SAID = "the fit does not hold here"
LANE = "synthetic-bench/accuracy/5-shot/own/generic"
SCORES = """model,phase,benchmark,metric,score,stderr,shots,harness,precision,source,licence
OLMoE-1B-7B,e2e,synthetic-bench,accuracy,0.40,0.01,5,own,,synthetic,CC0
Llama-3.2 1B,e2e,synthetic-bench,accuracy,0.55,0.01,5,own,,synthetic,CC0
"""


def test_what_rests_on_such_a_fit_is_flagged(
    measured: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = answers.request_table(measured, REQUEST)
    assert not before["faster_than_roofline"].any()
    with_constant_steps(measured, 0.002)
    rows = answers.request_table(measured, REQUEST).set_index("model")
    fast = {"OLMoE-1B-7B": True, "Qwen2.5-7B": True, "Llama-3.2 1B": False}
    assert rows["faster_than_roofline"].to_dict() == fast
    for e in answers.estimate(measured, REQUEST):  # both doors say the same
        assert rows.loc[e.model]["extrapolation"] == e.extrapolation
    wrong = rows.loc["OLMoE-1B-7B"]
    assert wrong["extrapolated"] and wrong["extrapolation"].endswith(SAID)
    assert "context from 33 (measured 2049-2080" in wrong["extrapolation"]  # it says both
    assert SAID not in str(rows.loc["Llama-3.2 1B"]["extrapolation"])
    (tmp_path / "scores.csv").write_text(SCORES)
    import_file(tmp_path / "h100.db", tmp_path / "scores.csv")
    capsys.readouterr()
    asked = ["--lane", LANE, "--workload", "32,32,64"]
    for verb in ("frontier", "dea"):
        assert run(observatory, [verb, *asked]) == 0
        told = capsys.readouterr()
        warned = sorted(line for line in told.err.splitlines() if SAID in line)
        assert [line.split(" on ")[0] for line in warned] == [
            "warning: OLMoE-1B-7B", "warning: Qwen2.5-7B",
        ]  # fmt: skip
        assert ("OUTSIDE" in told.out) is (verb == "frontier")
        assert max(map(len, told.out.splitlines())) <= 100
    assert run(observatory, ["frontier", *asked, "--json"]) == 0
    points = json.loads(capsys.readouterr().out)["groups"][0]["points"]
    assert {p["model"] for p in points if SAID in str(p["extrapolation"])} == {"OLMoE-1B-7B"}
