"""Whole files with one thing wrong: each reader is given a file that it reads, then bad versions.

Random bytes seldom get past a reader's first check. Here a cell, a name or a byte of a good file is
replaced, so that what comes later is reached too: products that overflow, digits that are none,
names that a spreadsheet would run. Numbers in the files are synthetic.
"""

from __future__ import annotations

import copy
import csv
import io
import json
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from observatory.cli import observatory, run
from observatory.errors import InputError
from observatory.importers import files, registry
from observatory.importers.facts import Common
from observatory.importers.reading import Row, RowError
from observatory.importing import import_file

MLPERF_LOG = (
    '{"key": "power_begin", "value": "07-25-2025 15:27:45.000"}\n'
    '{"key": "power_end", "value": "07-25-2025 15:27:47.000"}\n'
    '{"key": "result_completed_tokens_per_second", "value": 12.5}\n'
)
MEGATRON = (
    "------------------------ arguments ------------------------\n"
    "  all_num_input_tokens ............................ [1]\n"
    "  num_layers ...................................... 2\n"
    "  hidden_size ..................................... 64\n"
    "  num_attention_heads ............................. 4\n"
    "  tensor_model_parallel_size ...................... 1\n"
    "  micro_batch_size ................................ 1\n"
    "  params_dtype .................................... torch.float16\n"
    "-------------------- end of arguments ---------------------\n"
    "Runtime for {'num_input_tokens': 1, 'num_output_tokens': 8}: 0.125 seconds +- 0.003\n"
    "Runtime for {'num_input_tokens': 512, 'num_output_tokens': 8}: 0.250 seconds +- 0.004\n"
)
#: reader -> (file name, a JSON value, a table as rows of cells, or lines of text)
GOOD: dict[str, tuple[str, Any]] = {
    "ml-energy-v3": ("gpqa.json", {"task": "gpqa", "configurations": [
        {"model_id": "o/m", "gpu_model": "H100", "num_gpus": 2, "avg_power_watts": 500.0,
         "energy_per_request_joules": 90.0, "energy_per_token_joules": 0.9, "avg_output_len": 100,
         "output_throughput_tokens_per_sec": 555.5, "avg_batch_size": 8, "median_itl_ms": 10.0,
         "weight_precision": "bfloat16", "nickname": "m"},
        {"model_id": "o/i", "gpu_model": "H100", "num_gpus": 1, "avg_power_watts": 500.0,
         "energy_per_image_joules": 90.0, "batch_size": 1, "batch_latency_s": 2.0}]}),
    "ml-energy-v2": ("bs64+tp1+pp1.json", {
        "Model": "o/m", "GPU": "H100", "TP": 2, "PP": 1, "Energy/req (J)": 10.0,
        "Avg TPOT (s)": 0.02, "Token tput (tok/s)": 300.0, "Avg Output Tokens": 50,
        "Avg BS (reqs)": 6.5, "Max BS (reqs)": 64}),
    "ml-energy-legacy": ("A100_chat_benchmark.csv", [
        ["model", "throughput", "response_length", "latency", "energy"],
        ["o/m", "30.5", "200", "6.5", "1200"]]),
    "ml-energy-score": ("score.csv", [
        ["model", "arc", "hellaswag", "truthfulqa"], ["o/m", "50.5", "70", "40"]]),
    "mlperf": ("summary_results.json", [
        {"Submitter": "s", "Scenario": "Offline", "Model": "m-99", "Performance_Result": 10.0,
         "Performance_Units": "Tokens/s", "Power_Result": 500.0, "Power_Units": "Watts",
         "Accelerator": "H100", "a#": 8, "Nodes": 1, "version": "v4.1", "Software": "x",
         "Processor": "CPU", "host_processors_per_node": "2", "weight_data_types": "fp8"},
        {"Submitter": "s", "Scenario": "SingleStream", "Model": "m-99", "Performance_Result": 2.5,
         "Performance_Units": "Latency (ms)", "Power_Result": 500.0, "a#": "",
         "Power_Units": "millijoules", "Processor": "CPU", "host_processors_per_node": 2}]),
    "mlperf-power": ("spl.txt", [
        f"Time,07-25-2025 15:27:{second}.000,Watts,{watts},Volts,230\n"
        for second, watts in ((44, 100.5), (45, 200), (46, 210), (47, 220), (48, 90))]),
    "optimum-csv": ("short_report.csv", [
        ["Model", "GPUs", "Experiment Name", "Per Process Batch Size", "Sequence Length",
         "Prefill Latency (s)", "Decode Latency (s)", "Decode Throughput (tokens/s)",
         "Generate Max Memory Allocated (MB)"],
        ["o/m", "['NVIDIA A100']", "fp16+bnb", "4", "256", "0.5", "2.5", "100", "16000"]]),
    "optimum-json": ("benchmark.json", {
        "config": {"backend": {"name": "pytorch", "model": "o/m", "device": "cuda",
                               "device_ids": "0,1", "torch_dtype": "float16"},
                   "scenario": {"name": "energy_star", "num_samples": 100,
                                "input_shapes": {"batch_size": 1, "sequence_length": 16},
                                "generate_kwargs": {"max_new_tokens": 8, "min_new_tokens": 8}},
                   "environment": {"cpu": "c", "gpu": ["g", "g"]}},
        "report": {"prefill": {"latency": {"unit": "s", "mean": 0.5, "stdev": 0.1, "count": 9},
                               "memory": {"max_allocated": 9.5},
                               "energy": {"unit": "kWh", "cpu": 1e-5, "gpu": 2e-5,
                                          "ram": 1e-6, "total": 3.1e-5}}}}),
    "quant-energy": ("paired.csv", [
        ["run_id", "gpu", "model", "precision", "energy_j_per_1k_tok", "fp16_energy_j_per_1k_tok",
         "perplexity", "fp16_perplexity", "batch_size", "decode_iterations", "avg_power_w"],
        ["r", "RTX", "o/m", "NF4", "900.5", "800", "9.5", "9", "1", "10", "200"]]),
    "lm-eval": ("results.json", {
        "results": {"arc": {"acc,none": 0.5, "acc_stderr,none": 0.01, "alias": "arc"},
                    "wikitext": {"word_perplexity,none": 9.5}},
        "config": {"model": "hf", "model_args": "pretrained=o/m,dtype=float16"},
        "versions": {"arc": 1}, "n-shot": {"arc": 25}, "date": 1700000000.0,
        "higher_is_better": {"arc": {"acc": True}}, "lm_eval_version": "0.4.9",
        "n-samples": {"arc": {"effective": 100}}, "chat_template": None}),
    "lm-eval-samples": ("samples_arc_2025-01-01T00-00-00.jsonl", [
        json.dumps({"doc_id": i, "filter": "none", "acc": float(i % 2), "doc": {}}) + "\n"
        for i in range(3)]),
    "ipw": ("records.jsonl", [json.dumps({"problem": "q", "model_metrics": {"o/m": {
        "energy_metrics": {"per_query_joules": 5.5, "cpu_per_query_joules": 1},
        "latency_metrics": {"total_query_seconds": 2.5, "per_token_ms": 9},
        "token_metrics": {"input": 10, "output": 20}, "gpu_info": {"name": "g"},
        "power_metrics": {"gpu": {"per_query_watts": {"avg": 100}}},
        "phase_metrics": {"prefill_energy_j": 1.5, "decode_energy_j": 4}}}}) + "\n"]),
    "llenergymeasure": ("result.json", {
        "total_energy_j": 500.5, "avg_energy_per_token_j": 0.5, "total_inference_time_sec": 9.5,
        "output_tokens": 1001, "total_tokens": 2000, "avg_tokens_per_second": 210.5,
        "effective_config": {"model": "o/m", "precision": "fp16", "n": 10, "backend": "b"},
        "environment_snapshot": {"hardware": {"gpu": {"name": "g"}}}, "measurement_warnings": ["w"],
        "baseline_power_w": 60.5, "energy_backend": "zeus"}),
    "nvml-sensors": ("sensors.csv", [
        ["architecture", "driver", "nvidia_smi_field", "kind", "update_period_ms",
         "averaging_window_ms"], ["Ampere", "535", "power.draw", "k", "100", "25"]]),
    "api-prices": ("prices.csv", [
        ["model_key", "provider", "input_usd_per_mtok", "output_usd_per_mtok"],
        ["m", "p", "0.5", "0"]]),
    "helm-logs": ("model.log", MEGATRON.splitlines(keepends=True)),
    "helm-fits": ("fits.json", {"o/m": {"runtime_per_output_token": 0.02, "overhead": 0.1,
                                        "runtime_for_prompt_tokens": {"1": 0.03, "512": 0.06}}}),
    "helm-runs": ("runs.csv", [
        ["scenario", "inference_runtime", "inference_idealized_runtime", "num_prompt_tokens",
         "num_output_tokens", "exact_match"],
        ["boolq:model=o_m", "1.5", "0.5", "100", "5", "0.5"]]),
    "generic": ("own.csv", [
        ["model", "phase", "device_count", "batch", "energy_j", "runtime_s", "n", "benchmark",
         "metric", "score", "stderr", "source", "licence", "note"],
        ["m", "e2e", "1", "1", "10.5", "2", "3", "b", "acc", "0.5", "0.01", "s", "MIT", "n"]]),
}  # fmt: skip
#: what a stranger's JSON may hold in place of a value, as text
BAD_JSON = [
    "NaN", "Infinity", "1e999", "1e308", "1e-308", "-1", "0", "9" * 30, "9" * 400, "9" * 5000,
    '"=1+1"', '"\\ud800"', '"\u00b2"', '"\\u001b[31m\\n"', '""', "null", "true", "[]", "{}",
    "[[[]]]", '"x"', "9007199254740993", "18446744073709551616",
]  # fmt: skip
BAD_NAMES = ["", "=x", "@x", "\u00b2", "\ud800", "9" * 400, "\x1b[31m\n", "a,b", "\u0661"]
BAD_CELLS = [
    "nan", "inf", "-inf", "1e999", "1e308", "1e-308", "-1", "0", "9" * 30, "9" * 400, "9" * 5000,
    "=1+1", "@x", "", "\u00b2", "\u0661\u0662", "\u202e", "\x1b[31m", '"', "x" * 600, "1_0", "x",
]  # fmt: skip


def written(name: str, folder: Path, content: bytes | None = None) -> Path:
    """The file of a reader, or another `content` under its name."""
    folder = folder / "organisation__model"
    folder.mkdir(exist_ok=True)
    (folder / "mlperf_log_detail.txt").write_text(MLPERF_LOG)
    path = folder / GOOD[name][0]
    path.write_bytes(content_of(GOOD[name][1]) if content is None else content)
    return path


def content_of(made: Any) -> bytes:
    if isinstance(made, list) and isinstance(made[0], list):
        out = io.StringIO(newline="")
        csv.writer(out).writerows(made)
        return out.getvalue().encode("utf-8", "surrogatepass")
    if isinstance(made, list) and isinstance(made[0], str):
        return "".join(made).encode()
    return json.dumps(made).encode()


def storable(row: Row) -> None:
    """What a database and a terminal can hold."""
    for text in (row.id, row.rejected or ""):
        assert text.isprintable(), text
    for fact in row.reported:
        for number in (fact.value, fact.std, fact.prompt_tokens, fact.output_tokens, fact.batch):
            assert number is None or math.isfinite(number), (fact.quantity, number)
        for count in (fact.n, fact.device_count):
            assert count is None or abs(count) < 2**63
        harmless(
            [fact.model_name, fact.device_kind, fact.dtype, fact.backend, *fact.extra.values()]
        )
        json.dumps(dict(fact.extra), allow_nan=False, ensure_ascii=False).encode()
    for score in row.scores:
        kept = score.row(score.model)
        assert all(math.isfinite(v) for v in kept.values() if isinstance(v, float))
        harmless([kept["model_name"], kept["benchmark"], kept["metric"], kept["lane"]])
        json.dumps(kept, allow_nan=False, ensure_ascii=False).encode()


def harmless(cells: list[Any]) -> None:
    for cell in cells:
        if isinstance(cell, str):
            cell.encode()
            assert not cell.startswith(("=", "@", "+")), cell


def consume(name: str, path: Path) -> list[Row]:
    """Every row; only InputError may come out, in one line."""
    registry.sniff(path)
    try:
        rows = list(registry.read(path, name)[1].rows)
    except InputError as error:
        assert str(error).isprintable()
        return []
    for row in rows:
        storable(row)
    return rows


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every member of a JSON value."""
    if not isinstance(value, (dict, list)):
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*here, key)
        yield from places(inner, (*here, key))


def replaced(value: Any, place: tuple[Any, ...], bad: str | None, name: str | None) -> bytes:
    """`value` as JSON with another text at a place, or its key renamed."""
    made = copy.deepcopy(value)
    owner = made
    for key in place[:-1]:
        owner = owner[key]
    if name is not None and isinstance(owner, dict):
        owner[name] = owner.pop(place[-1])
        return json.dumps(made).encode()
    owner[place[-1]] = "@@"
    return json.dumps(made).replace('"@@"', bad or "null").encode()


mutated = settings(
    max_examples=60, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


@pytest.mark.parametrize("name", list(registry.READERS))
def test_every_reader_reads_its_good_file(name: str, tmp_path: Path) -> None:
    """Without this the tests below could pass on files that nothing reads."""
    path = written(name, tmp_path)
    assert registry.sniff(path) == name
    rows = consume(name, path)
    assert rows
    assert all(row.rejected is None for row in rows)


@pytest.mark.parametrize("name", list(registry.READERS))
@mutated
@given(data=st.data())
def test_one_thing_wrong_never_breaks_a_reader(name: str, data: Any, tmp_path: Path) -> None:
    made = GOOD[name][1]
    if isinstance(made, list) and not isinstance(made[0], dict):
        rows = [list(row) if isinstance(row, list) else row for row in made]
        at = data.draw(st.integers(0, len(rows) - 1))
        bad = data.draw(st.sampled_from(BAD_CELLS + BAD_JSON))
        if isinstance(rows[at], list):
            rows[at][data.draw(st.integers(0, len(rows[at]) - 1))] = bad
        else:  # a run of digits, a word or a stretch of the line
            start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(rows[at]))] * 2)))
            rows[at] = rows[at][:start] + bad.replace("\ud800", "") + rows[at][end:]
        content = content_of(rows)
    else:
        place = data.draw(st.sampled_from(list(places(made))))
        renamed = data.draw(st.none() | st.sampled_from(BAD_NAMES))
        content = replaced(made, place, data.draw(st.sampled_from(BAD_JSON)), renamed)
    consume(name, written(name, tmp_path, content))


@pytest.mark.parametrize("name", list(registry.READERS))
@mutated
@given(data=st.data())
def test_bytes_that_changed_or_broke_off_never_break_a_reader(
    name: str, data: Any, tmp_path: Path
) -> None:
    content = bytearray(content_of(GOOD[name][1]))
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] = data.draw(st.integers(0, 255))
    else:
        del content[at : at + data.draw(st.sampled_from([1, 7, len(content)]))]
    consume(name, written(name, tmp_path, bytes(content)))


# ---------------------------------------------------------------------- found by the above
def test_what_a_reader_computes_must_be_finite_too(tmp_path: Path) -> None:
    """Watts over a tiny rate overflow; devices of two counts pass what a database can hold."""
    one = GOOD["mlperf"][1][0]
    content = [one | {"Performance_Result": 1e-300, "Power_Result": 1e300},
               one | {"a#": 2**53, "Nodes": 2**53}, one]  # fmt: skip
    path = written("mlperf", tmp_path, json.dumps(content).encode())
    made = import_file(tmp_path / "x.db", path)
    assert (made.stored, made.rejected) == (1, 2)
    assert "not finite" in made.rejections[0][1]
    assert "a count of 8.11296e+31 is no count" in made.rejections[1][1]
    with pytest.raises(RowError):
        Common("1", "m", "e2e").fact("energy_j", float("nan"))


@pytest.mark.parametrize("prompt", ["\u00b2", "9" * 400, "9" * 5000, "0", "-1", "1.5"])
def test_prompt_lengths_that_are_none(prompt: str, tmp_path: Path) -> None:
    """`isdigit` holds for a superscript two, which is no integer; 400 digits are no float."""
    raw = {"o/m": {"runtime_per_output_token": 1, "runtime_for_prompt_tokens": {prompt: 1}}}
    (row,) = consume("helm-fits", written("helm-fits", tmp_path, json.dumps(raw).encode()))
    assert row.rejected is not None
    assert "no number of prompt tokens" in row.rejected


def test_messages_hold_no_control_characters(tmp_path: Path) -> None:
    raw = {"results": {"\x1b[31m\nerror: x": {"acc": "y"}, "\ud800": {"acc": 1}, "ok": {"acc": 1}},
           "model_name": "m"}  # fmt: skip
    path = written("lm-eval", tmp_path, json.dumps(raw).encode())
    made = import_file(tmp_path / "x.db", path)
    assert (made.stored, [row for row, _ in made.rejections]) == (1, ["[31m error: x", "?"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lm-eval", {"results": {"=cmd|x": {"acc": 0.5}, "ok": {"acc": 0.5}}, "model_name": "m"}),
        ("lm-eval", {"results": {"t": {"@x,none": 0.5}, "ok": {"acc": 0.5}}, "model_name": "m"}),
        ("mlperf", [GOOD["mlperf"][1][0], GOOD["mlperf"][1][0] | {"Submitter": "=1+1"}]),
    ],
)
def test_names_and_notes_that_a_spreadsheet_would_run(
    name: str, content: Any, tmp_path: Path
) -> None:
    made = import_file(tmp_path / "x.db", written(name, tmp_path, json.dumps(content).encode()))
    assert (made.stored, made.rejected) == (1, 1)
    assert "would run as a formula" in made.rejections[0][1]


def test_a_file_level_fault_is_an_import_error(tmp_path: Path) -> None:
    raw = GOOD["ml-energy-v3"][1] | {"task": ["x"]}
    path = written("ml-energy-v3", tmp_path, json.dumps(raw).encode())
    with pytest.raises(InputError, match="task is no text"):
        registry.read(path, "ml-energy-v3")


def test_a_pipe_is_no_file_to_wait_for(tmp_path: Path) -> None:
    """Nobody writes into it: a reader that opened it would hang for ever."""
    pipe = tmp_path / "rows.csv"
    os.mkfifo(pipe)
    said: list[str] = []

    def run() -> None:
        for name in (None, *registry.READERS):
            try:
                list(registry.read(pipe, name)[1].rows)
            except InputError as error:
                said.append(str(error))

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    worker.join(30)
    assert len(said) == 1 + len(registry.READERS)
    assert all("no file but a folder, pipe or device" in message for message in said)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("a.zip", b"PK\x03\x04" + b"\x00" * 40, "is a zip archive"),
        ("a.csv", b"", "is empty"),
        ("a.csv", "model,phase,energy_j\n".encode("utf-16"), "NUL bytes"),
        ("a.json", b"[" * (files.MAX_JSON_BYTES + 1), "more than the 32 MiB allowed"),
        ("a.txt", b"hello\n", "no reader knows this file"),
    ],
)
def test_a_file_that_nobody_knows_is_told_why(
    file: str, content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        import_file(tmp_path / "x.db", path)


def test_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"bad\xff.csv")
    try:
        path.write_text("model,phase,energy_j\nm,e2e,1\n")
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(InputError, match=r"its name is not UTF-8"):
        import_file(tmp_path / "x.db", path)


def test_more_rows_than_are_audited_in_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("observatory.importing.MAX_ROWS", 5000)
    path = tmp_path / "long.csv"
    path.write_text("model,phase,energy_j\n" + "m,e2e,1\n" * 5001)
    with pytest.raises(InputError, match="more than 5,000 rows"):
        import_file(tmp_path / "x.db", path)


def test_every_rejected_row_is_counted_and_the_first_are_named(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("model,phase,energy_j\nm,e2e,1\n" + "m,e2e,inf\n" * 5000)
    made = import_file(tmp_path / "x.db", path)
    assert (made.read, made.stored, made.rejected, len(made.rejections)) == (5001, 1, 5000, 20)
    assert made.rejections[0][0] == "3"


def test_a_folder_of_files_that_nobody_knows_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("hello\n")
    assert run(observatory, ["import", "--db", str(tmp_path / "x.db"), str(tmp_path)]) == 2
    assert "of 1 no file is of a form that a reader knows" in capsys.readouterr().err


def test_prose_about_a_log_is_no_log(tmp_path: Path) -> None:
    """A README that explains the format lies beside the logs, and is passed over."""
    prose = tmp_path / "README.md"
    prose.write_text("  `Runtime for {'num_input_tokens': P, 'num_output_tokens': O}: T seconds`\n")
    assert registry.sniff(prose) is None
    assert registry.sniff(written("helm-logs", tmp_path)) == "helm-logs"


@pytest.mark.filterwarnings("error")
def test_values_of_every_size_are_audited_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    rows = [f"m{k % 3},e2e,{k // 3 + 1},{10.0 ** (k * 24 - 300):g}" for k in range(24)]
    path.write_text("\n".join(["model,phase,batch,energy_j", *rows]))
    assert import_file(tmp_path / "x.db", path).stored == 24
