"""Readers of the idealized-runtime paper's logs and API runtimes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from observatory.errors import InputError
from observatory.importers import helm_logs, helm_runs, registry

MINI = Path(__file__).resolve().parent.parent / "data" / "helm" / "mini.log"
POINT = "Runtime for {'num_input_tokens': %d, 'num_output_tokens': %d}: %s seconds +- 0.001\n"


def arguments(layers: int = 24, parallel: int = 2) -> str:
    rows = {"num_layers": layers, "hidden_size": 2048, "num_attention_heads": 16,
            "ffn_hidden_size": 8192, "tensor_model_parallel_size": parallel,
            "micro_batch_size": 1, "params_dtype": "torch.float16"}  # fmt: skip
    body = "".join(f"  {name} ..................... {value}\n" for name, value in rows.items())
    return (
        "------------------------ arguments ------------------------\n"
        f"{body}-------------------- end of arguments ---------------------\n"
    )


def log(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gpt2.log"
    path.write_text(text)
    return path


def test_every_point_of_the_reference_logs_is_read(reference: Path) -> None:
    for path in sorted((reference / "helm/logs").glob("*/*.log")):
        assert registry.sniff(path) == "helm-logs"
        (launch,) = helm_logs.parse(path).launches
        parsed = path.parents[2] / "points" / path.parent.name / f"{path.stem}.csv"
        with parsed.open() as file:
            expected = {
                (int(r["p"]), int(r["o"])): (float(r["runtime_s"]), float(r["std_s"]))
                for r in csv.DictReader(file)
            }
        assert {key: (p.runtime_s, p.std_s) for key, p in launch.points.items()} == expected
        rows = list(helm_logs.read(path).rows)
        assert len(rows) == len(expected) and not any(row.rejected for row in rows)


def test_a_fact_says_what_it_is() -> None:
    rows = list(helm_logs.read(MINI).rows)
    fact = rows[1].reported[0]
    assert (fact.model_name, fact.phase, fact.quantity) == ("megatron-24x2048", "e2e", "runtime_s")
    assert (fact.prompt_tokens, fact.output_tokens, fact.batch) == (1.0, 2.0, 1.0)
    assert (fact.value, fact.std, fact.n, fact.device_count) == (0.0335, 0.0001, 50, 2)
    assert fact.dtype == "fp16" and fact.extra["resolution_s"] == pytest.approx(1e-4)


def test_the_last_value_of_a_point_wins_within_a_configuration(tmp_path: Path) -> None:
    text = arguments() + POINT % (1, 1, "0.020") + arguments() + POINT % (1, 1, "0.030")
    reading = helm_logs.read(log(tmp_path, text))
    (row,) = reading.rows
    assert row.reported[0].value == 0.030
    assert reading.notes["superseded_points"] == 1


def test_another_tensor_parallel_size_is_another_configuration(tmp_path: Path) -> None:
    text = arguments() + POINT % (1, 1, "0.020") + arguments(parallel=4) + POINT % (1, 1, "0.030")
    facts = [row.reported[0] for row in helm_logs.read(log(tmp_path, text)).rows]
    assert [(f.device_count, f.value) for f in facts] == [(2, 0.020), (4, 0.030)]


def test_partial_layers_are_scaled_and_say_so(tmp_path: Path) -> None:
    path = log(tmp_path, arguments(layers=8) + POINT % (1, 1, "0.020"))
    (row,) = helm_logs.read(path, layer_scale=3).rows
    fact = row.reported[0]
    assert fact.value == pytest.approx(0.060) and fact.std == pytest.approx(0.003)
    assert fact.model_name == "megatron-24x2048"
    assert fact.extra["layer_scale"] == 3 and fact.extra["profiled_layers"] == 8


def test_a_files_name_is_not_taken_for_the_model(tmp_path: Path) -> None:
    (row,) = helm_logs.read(log(tmp_path, arguments() + POINT % (1, 1, "0.020"))).rows
    assert "gpt2" not in row.reported[0].model_name
    assert row.reported[0].extra["file"] == "gpt2.log"


@pytest.mark.parametrize(
    "line",
    [
        "Runtime for {'num_input_tokens': 1, 'num_output_tok",
        "Runtime for {'num_input_tokens': 1, 'num_output_tokens': 1}: nan seconds +- 0.1",
        "Runtime for {'num_input_tokens': 0, 'num_output_tokens': 1}: 0.1 seconds +- 0.1",
        "Runtime for {'num_input_tokens': 1, 'num_output_tokens': 1}: 0.000 seconds +- 0.000",
        "Runtime for {'num_input_tokens': 1, 'num_output_tokens': 1}: 12.5 sec",
    ],
)
def test_broken_lines_are_reported_with_their_number(tmp_path: Path, line: str) -> None:
    text = arguments() + POINT % (1, 1, "0.020") + line + "\n" + POINT % (1, 2, "0.040")
    rows = list(helm_logs.read(log(tmp_path, text)).rows)
    bad = [row for row in rows if row.rejected]
    assert len(rows) == 3 and len(bad) == 1
    number = text.splitlines().index(line) + 1
    assert f"line {number}" in (bad[0].rejected or "")


@pytest.mark.parametrize(
    "text", ["", "hello\n", arguments(), POINT % (1, 1, "0.020"), arguments() + "Runtime for\n"]
)
def test_a_log_without_a_usable_point_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError):
        list(helm_logs.read(log(tmp_path, text)).rows)


def test_a_layer_scale_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="layer scale"):
        helm_logs.read(MINI, layer_scale=0.0)


HEAD = (
    "scenario,inference_runtime,inference_idealized_runtime,num_tokens_in_prompt,"
    "num_output_tokens,exact_match\n"
)


def runs(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "runs.csv"
    path.write_text(HEAD + "".join(f"{row}\n" for row in rows))
    return path


def test_empty_is_not_zero(tmp_path: Path) -> None:
    path = runs(tmp_path, "boolq:model=a_b,0.5,,100,1,", "imdb:model=a_b,,0.25,100,1,0.0")
    first, second = helm_runs.read(path).rows
    assert [f.quantity for f in first.reported] == ["runtime_s"]
    assert "exact_match" not in first.reported[0].extra
    assert [f.quantity for f in second.reported] == ["idealized_runtime_s"]
    assert second.reported[0].extra["exact_match"] == 0.0


def test_rows_without_a_model_and_duplicates_are_rejected(tmp_path: Path) -> None:
    same = "boolq:model=a_b,0.5,0.2,100,1,0.7"
    path = runs(tmp_path, same, same, "boolq:model=a_b,0.6,0.2,100,1,0.7", "boolq:,0.5,0.2,100,1,")
    rows = list(helm_runs.read(path).rows)
    assert [bool(row.rejected) for row in rows] == [False, True, False, True]
    assert "line 2" in (rows[1].rejected or "") and "model" in (rows[3].rejected or "")
    assert rows[2].reported[0].extra["trial"] == 3


def test_both_reference_tables_are_read(reference: Path) -> None:
    for path in sorted((reference / "helm/csv").glob("*.csv")):
        assert registry.sniff(path) == "helm-runs"
        rows = list(helm_runs.read(path).rows)
        assert {r.reported[0].quantity for r in rows if r.reported} <= {
            "runtime_s", "idealized_runtime_s",
        }  # fmt: skip
        values = [f.value for row in rows for f in row.reported]
        assert values and all(value is not None for value in values)
