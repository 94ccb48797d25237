"""lm-evaluation-harness files in their three dialects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from observatory.capability.scores import scored
from observatory.importers import registry
from observatory.importing import import_file
from observatory.store import reader, schema
from observatory.store.database import open_read_only


def lanes(database: Path) -> dict[str, tuple[float, float | None, str]]:
    c = schema.capability
    with open_read_only(database).connect() as connection:
        rows = connection.execute(select(c.c.lane, c.c.score, c.c.stderr, c.c.unit)).all()
    return {lane: (score, stderr, unit) for lane, score, stderr, unit in rows}


def test_dialect_0_4_of_the_reference(reference: Path, tmp_path: Path) -> None:
    path = reference / "expected/lm_eval_results_example.json"
    made = import_file(tmp_path / "x.db", path)
    assert (made.source, made.read, made.stored, made.scores_new) == ("lm-eval", 6, 6, 9)
    found = lanes(tmp_path / "x.db")
    gsm = ("gsm8k/exact_match/5-shot/lm-eval-0.4.13/harness-run/version=3.0/"
           "filter=strict-match/chat=no/precision=bfloat16")  # fmt: skip
    assert found[gsm] == (0.41, pytest.approx(0.0135475, rel=1e-5), "fraction")
    wiki = [v for lane, v in found.items() if lane.startswith("wikitext/word_perplexity")]
    assert wiki == [(12.5, None, "perplexity")]
    assert import_file(tmp_path / "x.db", path).scores_new == 0


def test_dialect_0_3(tmp_path: Path) -> None:
    path = tmp_path / "bloom.json"
    path.write_text(json.dumps({
        "results": {"boolq": {"acc": 0.7, "acc_stderr": 0.01}, "lambada": {"ppl": 5.0}},
        "versions": {"boolq": 1, "lambada": 0},
        "config": {"model": "hf", "model_args": "pretrained=org/m,dtype=float16",
                   "num_fewshot": 5, "batch_size": 8},
    }))  # fmt: skip
    assert import_file(tmp_path / "x.db", path).scores_new == 2
    tail = "5-shot/lm-eval-?/harness-run/version={}/precision=float16"
    assert lanes(tmp_path / "x.db") == {
        "boolq/acc/" + tail.format(1): (0.7, 0.01, "fraction"),
        "lambada/ppl/" + tail.format(0): (5.0, None, "perplexity"),
    }


def test_sample_logs_become_a_mean_with_its_error(tmp_path: Path) -> None:
    folder = tmp_path / "org__model"
    folder.mkdir()
    path = folder / "samples_gsm8k_2025-01-01T00-00-00.jsonl"
    items = [{"doc_id": i, "exact_match": float(i < 3), "filter": "strict"} for i in range(4)]
    path.write_text("\n".join(json.dumps(i) for i in items))
    assert registry.sniff(path) == "lm-eval-samples"
    ((row,),) = [tuple(registry.read(path)[1].rows)]
    (score,) = row.scores
    assert (score.model, score.score, score.extra["n"]) == ("org/model", 0.75, 4)
    assert score.stderr == pytest.approx((0.75 * 0.25 / 3) ** 0.5)


@pytest.mark.parametrize(
    ("metrics", "said"),
    [({"acc": "high"}, "is no number"), ({"acc": float("inf")}, "finite"),
     ({"acc": 0.5, "acc_stderr": -1}, "negative"), ({"alias": "x"}, "no metric"),
     ({"ppl": -3}, "ppl is -3")],
)  # fmt: skip
def test_bad_tasks_are_rejected_by_name(
    metrics: dict[str, object], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"results": {"good": {"acc": 0.5}, "bad": metrics},
                                "model_name": "m"}))  # fmt: skip
    made = import_file(tmp_path / "x.db", path, "lm-eval")
    assert (made.stored, made.rejected) == (1, 1)
    assert made.rejections[0][0] == "bad" and said in made.rejections[0][1]


def test_other_tools_by_their_schema(tmp_path: Path) -> None:
    """Synthetic files in the schema that each tool documents."""
    ipw = tmp_path / "records.jsonl"
    metrics = {
        "energy_metrics": {"per_query_joules": 12.0, "total_joules": 12.0},
        "latency_metrics": {"total_query_seconds": 2.0, "per_token_ms": -1},
        "token_metrics": {"input": 10, "output": 50},
        "gpu_info": {"name": "GPU"},
    }
    ipw.write_text(json.dumps({"problem": "?", "model_metrics": {"org/m": metrics}}) + "\n")
    report = tmp_path / "benchmark_report.json"
    report.write_text(json.dumps({
        "prefill": {"latency": {"unit": "s", "mean": 0.5, "stdev": 0.01, "count": 5},
                    "energy": {"unit": "kWh", "cpu": 1e-6, "ram": 1e-7, "gpu": 2e-6,
                               "total": 3.1e-6}},
        "decode": {"latency": {"unit": "s", "mean": 3.0}},
    }))  # fmt: skip
    result = tmp_path / "result.json"
    result.write_text(json.dumps({
        "total_energy_j": 100.0, "avg_energy_per_token_j": 0.5, "avg_tokens_per_second": 40.0,
        "total_inference_time_sec": 5.0, "effective_config": {"model": "org/m", "n": 10},
    }))  # fmt: skip
    want = {
        ipw: ("ipw", {"energy_j": 12.0, "runtime_s": 2.0}),
        report: ("optimum-json", {"prefill_s": 0.5, "decode_s": 3.0,
                                  "energy_prefill_j": pytest.approx(11.16)}),
        result: ("llenergymeasure", {"energy_run_j": 100.0, "energy_per_token_j": 0.5}),
    }  # fmt: skip
    for path, (source, values) in want.items():
        assert registry.sniff(path) == source
        (row,) = registry.read(path)[1].rows
        found = {fact.quantity: fact.value for fact in row.reported}
        assert values.items() <= found.items(), found
    assert "tpot_s" not in {f.quantity for f in next(iter(registry.read(ipw)[1].rows)).reported}


def test_prices_of_zero_are_unknown(reference: Path) -> None:
    path = reference / "catalog/api_prices.csv"
    assert registry.sniff(path) == "api-prices"
    rows = list(registry.read(path)[1].rows)
    facts = [fact for row in rows for fact in row.reported]
    assert len(rows) == 1141 and all(row.rejected is None for row in rows)
    assert all(fact.value is None or fact.value > 0 for fact in facts)
    unknown = [fact for fact in facts if fact.value is None]
    assert unknown and all(fact.reason for fact in unknown)
    assert {"0 upstream means unknown, not free"} <= {fact.reason for fact in unknown}


def test_which_way_a_metric_counts_is_what_the_file_says(tmp_path: Path) -> None:
    """A Brier score of 0.2 is better than one of 0.3, whatever its name tells a reader."""
    path = tmp_path / "r.json"
    raw = {
        "results": {"t": {"own_loss,none": 0.3, "acc,none": 0.5, "brier_score,none": 0.2}},
        "higher_is_better": {"t": {"own_loss": False, "acc": True}},
        "model_name": "m",
    }
    path.write_text(json.dumps(raw))
    import_file(tmp_path / "x.db", path)
    with open_read_only(tmp_path / "x.db").connect() as connection:
        made = {row["metric"]: scored(row).quality for row in reader.capability(connection)}
    assert made == {"own_loss": -0.3, "acc": 0.5, "brier_score": -0.2}
