"""Readers against excerpts of real files of the tools (tests/data/importers, licences there)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from observatory.importers import registry
from observatory.importers.reading import Row

DATA = Path(__file__).resolve().parents[1] / "data" / "importers"
J_PER_KWH = 3.6e6


def only(path: Path, reader: str) -> Row:
    assert registry.sniff(path) == reader
    (row,) = registry.read(path)[1].rows
    return row


def values(row: Row) -> dict[str, tuple[float | None, str]]:
    return {f.quantity: (f.value, f.per) for f in row.reported}


def test_an_optimum_benchmark_of_a_cpu_beside_a_gpu() -> None:
    """`environment.gpu` is a list, and what ran was the CPU."""
    row = only(DATA / "optimum_benchmark.json", "optimum-json")
    assert row.rejected is None
    (fact,) = row.reported
    assert (fact.quantity, fact.value, fact.per) == ("forward_s", 11.329571039485746, "batch")
    assert (fact.std, fact.n) == (0.12500955626540203, 10)
    assert fact.device_kind == "Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz"
    assert (fact.model_name, fact.batch, fact.prompt_tokens) == ("BAAI/bge-base-en-v1.5", 64, 128)


def synthetic_energy_star(tmp_path: Path, **scenario: Any) -> Path:
    """The shape of an `energy_star` report, with synthetic numbers."""
    raw = {
        "config": {
            "backend": {"name": "pytorch", "model": "synthetic", "device": "cuda",
                        "device_ids": "0,1"},
            "scenario": {"name": "energy_star", "num_samples": 1000,
                         "input_shapes": {"batch_size": 1},
                         "generate_kwargs": {"max_new_tokens": 1000, "min_new_tokens": 1}}
            | scenario,
            "environment": {"cpu": "c", "gpu": ["Synthetic GPU", "Synthetic GPU"]},
        },
        "report": {"prefill": {"latency": None, "memory": None, "energy": {
            "unit": "kWh", "cpu": 0.001, "ram": 0.0005, "gpu": 0.01, "total": 0.0115}}},
    }  # fmt: skip
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(raw))
    return path


def test_energy_of_a_data_set_is_shared_among_its_samples(tmp_path: Path) -> None:
    row = only(synthetic_energy_star(tmp_path), "optimum-json")
    made = values(row)
    joules, per = made["energy_prefill_device_j"]
    assert per == "request" and joules == pytest.approx(0.01 * J_PER_KWH / 1000)
    assert made["energy_prefill_j"][0] == pytest.approx(0.0115 * 3600)
    fact = row.reported[0]
    assert (fact.device_kind, fact.device_count) == ("Synthetic GPU", 2)
    assert fact.output_tokens is None  # a model may stop before its cap
    whole = only(synthetic_energy_star(tmp_path, name="inference"), "optimum-json")
    assert values(whole)["energy_prefill_device_j"] == (0.01 * J_PER_KWH, "batch")
    bad = only(synthetic_energy_star(tmp_path, num_samples=0), "optimum-json")
    assert bad.rejected == "num_samples is 0"


@pytest.mark.parametrize("version", ["v2", "v5"])
def test_llenergymeasure_counts_joules_by_output_and_rate_by_all_tokens(version: str) -> None:
    path = DATA / f"llenergymeasure_{version}.json"
    raw = json.loads(path.read_text())
    row = only(path, "llenergymeasure")
    made, fact = values(row), row.reported[0]
    assert row.rejected is None and fact.model_name == "gpt2"
    assert made["energy_run_j"] == (raw["total_energy_j"], "run")
    joules, per = made["energy_per_token_j"]
    assert per == "token" and joules == pytest.approx(raw["total_energy_j"] / 640)
    assert made["total_tokens_per_s"][0] == pytest.approx(1920 / raw["total_inference_time_sec"])
    assert made["power_idle_w"][0] == raw["baseline_power_w"]
    units = {f.quantity: f.unit for f in row.reported}
    assert units["total_tokens_per_s"] == "token/s"
    assert fact.method == "nvml_power_integral" and "short_measurement" in fact.extra["warnings"]
    if version == "v2":
        assert (fact.device_kind, fact.dtype) == ("NVIDIA A100-PCIE-40GB", "bf16")
        assert "tokens_per_s" not in made  # output tokens are not stated
    else:
        assert fact.backend == "transformers"
        assert made["tokens_per_s"][0] == pytest.approx(640 / raw["total_inference_time_sec"])


def test_joules_over_all_tokens_are_not_called_joules_a_token(tmp_path: Path) -> None:
    raw = json.loads((DATA / "llenergymeasure_v5.json").read_text())
    raw["avg_energy_per_token_j"] = raw["total_energy_j"] / raw["total_tokens"]
    path = tmp_path / "result.json"
    path.write_text(json.dumps(raw))
    assert values(only(path, "llenergymeasure"))["energy_per_token_j"][1] == (
        "token of prompt and output"
    )


def test_a_fixture_that_was_not_measured_is_refused(tmp_path: Path) -> None:
    raw = json.loads((DATA / "llenergymeasure_v2.json").read_text())
    raw["reproducibility_notes"] = "Fixture data - not from real measurements"
    path = tmp_path / "result.json"
    path.write_text(json.dumps([raw]))
    assert only(path, "llenergymeasure").rejected == "says of itself that it was not measured"


def test_ipw_phases_and_who_was_judged(tmp_path: Path) -> None:
    """Fields as its record classes name them; numbers synthetic."""
    metrics = {
        "energy_metrics": {"per_query_joules": 30.0, "cpu_per_query_joules": 4.0},
        "latency_metrics": {"total_query_seconds": 2.0, "time_to_first_token_seconds": -1},
        "phase_metrics": {"prefill_energy_j": 10.0, "decode_energy_j": 20.0},
        "token_metrics": {"input": 100, "output": 50},
        "gpu_info": {"name": "Synthetic GPU"}, "lm_correctness": False,
    }  # fmt: skip
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps({"model_metrics": {"org/m": metrics}}) + "\n")
    row = only(path, "ipw")
    made = {(f.quantity, f.phase): f.value for f in row.reported}
    assert made == {
        ("energy_j", "e2e"): 30.0, ("energy_cpu_j", "e2e"): 4.0, ("runtime_s", "e2e"): 2.0,
        ("energy_prefill_j", "prefill"): 10.0, ("energy_decode_j", "decode"): 20.0,
    }  # fmt: skip
    assert "correct" not in row.reported[0].extra  # False is what a record is born with
    for said, want in (({"lm_correctness": True}, True),
                       ({"evaluation": {"is_correct": False}}, False)):  # fmt: skip
        path.write_text(json.dumps({"model_metrics": {"org/m": metrics | said}}) + "\n")
        assert only(path, "ipw").reported[0].extra["correct"] is want
