"""The one score beside a cost: same name, same number format, an axis that models share."""

from __future__ import annotations

from pathlib import Path

import pytest

from observatory import answers
from observatory.capability.known import beside, capability_rows, matches
from observatory.capability.scores import Scored, on_lane
from observatory.importing import import_file
from observatory.records import Workload
from observatory.store.database import open_read_only
from tests import synthetic

SCORES = """model,phase,benchmark,metric,score,stderr,shots,harness,precision,source,licence
HuggingFaceTB/SmolLM2-135M,e2e,aaa-only-one,accuracy,0.99,0.01,5,own,,synthetic,CC0
HuggingFaceTB/SmolLM2-135M,e2e,bbb-shared,accuracy,0.40,0.01,5,own,,synthetic,CC0
SmolLM2-135M,e2e,bbb-shared,accuracy,0.35,0.01,5,own,int8,synthetic,CC0
EleutherAI/pythia-160m,e2e,bbb-shared,accuracy,0.55,0.01,5,own,,synthetic,CC0
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("known")
    path, scores = folder / "o.db", folder / "scores.csv"
    synthetic.record(path)
    synthetic.record(path, run_id="synthetic-2", model_name="Pythia-160M", scale=2.0)
    scores.write_text(SCORES)
    assert import_file(path, scores).scores_new == 4
    return path


def scored(model: str, precision: str | None = None, lane: str = "x/acc/?/?/s") -> Scored:
    return Scored(model, lane, 0.5, 0.5, None, None, precision, "s", "MIT", "fraction")


def test_an_estimate_finds_scores_under_another_name_on_the_axis_that_models_share(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("observatory.capability.known._shipped_of", dict)
    found = {e.model: e.capability for e in
             answers.estimate(open_read_only(database), Workload.request(64, 16))}  # fmt: skip
    assert found == {
        "SmolLM2-135M": "bbb-shared 0.4 fraction (bbb-shared/accuracy/5-shot/own/generic)",
        "Pythia-160M": "bbb-shared 0.55 fraction (bbb-shared/accuracy/5-shot/own/generic)",
    }


def test_the_answer_is_one_whatever_else_is_asked(database: Path) -> None:
    """A page of one model and a table of all show the same score."""
    engine = open_read_only(database)
    alone = beside(engine, [("SmolLM2-135M", "float32")])
    both = beside(engine, [("SmolLM2-135M", "float32"), ("Pythia-160M", "float32")])
    assert alone["SmolLM2-135M", "float32"] == both["SmolLM2-135M", "float32"]


def test_a_quantized_cost_takes_the_quantized_score_or_says_inherited(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("observatory.capability.known._shipped_of", dict)
    costs = [("SmolLM2-135M", "int8"), ("Pythia-160M", "int8")]
    small, other = (beside(open_read_only(database), costs)[cost] for cost in costs)
    assert small.scored.score == 0.35 and not small.inherited
    assert "inherited" not in small.words()
    assert other.inherited and other.words().endswith("inherited from another number format")


def test_a_variant_is_named_and_own_scores_come_first() -> None:
    chat = scored("Llama-2 7B chat")
    (match,) = matches("Llama-2 7B", None, [chat])
    assert match.of_variant == "Llama-2 7B chat" and "score of Llama-2 7B chat" in match.words()
    (match,) = matches("Llama-2 7B", None, [chat, scored("Llama-2 7B")])
    assert match.of_variant is None
    assert matches("Llama-2 7B chat", None, [scored("Llama-2 7B")]) == []


def test_frontier_and_estimate_read_the_same_rows(database: Path) -> None:
    rows = capability_rows(open_read_only(database))
    assert sum(row["source"] == "synthetic" for row in rows) == 4
    scores, axes = on_lane(rows, "bbb-shared/...")
    assert len(axes) == 1 and {s.model for s in scores} == {"SmolLM2-135M", "Pythia-160M"}


def test_every_score_of_one_model_under_whatever_name(database: Path) -> None:
    rows = answers.capability_of(open_read_only(database), "smollm2-135m")
    own = rows[rows["source"] == "synthetic"]
    assert set(own["benchmark"]) == {"aaa-only-one", "bbb-shared"} and len(own) == 3
    assert set(rows["model"]) == {"SmolLM2-135M"}
    assert answers.capability_of(open_read_only(database), "no-such-model").empty
