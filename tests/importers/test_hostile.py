"""Files made to break a reader: one clear line each, nothing stored, and fuzz over every reader."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from observatory.derive import derive
from observatory.errors import InputError
from observatory.importers import files, items, reading, registry
from observatory.importing import import_file
from observatory.store import reader, schema
from observatory.store.database import open_database, open_read_only

GOOD = "model,phase,energy_j,boundary,method\nm,e2e,1.5,device,nvml_counter\n"


def refused(path: Path, tmp_path: Path, source: str | None = None) -> str:
    database = tmp_path / "x.db"
    with pytest.raises(InputError) as caught:
        import_file(database, path, source)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    if database.exists():
        with open_read_only(database).connect() as connection:
            assert reader.reported(connection, violations=True).empty
            assert reader.table(connection, __import__(
                "observatory.store.schema", fromlist=["source"]).source).empty  # fmt: skip
    return message


def zipped(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.json", content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "source", "said"),
    [
        (b"[" * 200_000, "ml-energy-v3", "nested too deeply"),
        (b'{"results": {"a": ' * 100_000, "lm-eval", "nested too deeply"),
        (b'{"configurations": [{"model_id"', "ml-energy-v3", "broken JSON at line 1"),
        (b'{"configurations": 3}', "ml-energy-v3", "no list"),
        (b'{"n": ' + b"9" * 6000 + b"}", "mlperf", "broken JSON"),
        ("modèle,phase,energy_j\n".encode("latin-1"), "generic", "not UTF-8"),
        (GOOD.encode("utf-16"), "generic", "NUL bytes"),
        (b"", "generic", "is empty"),
        (b"\x00\x01\x02", "generic", "NUL"),
        (b"model,phase,energy_j,energy_j\n", "generic", "appears twice"),
        (b"model,phase,speed\n", "generic", "no known name or unit"),
        (b"model,phase\n", "generic", "no column with a value"),
        (b"model,energy\n1,2\n", "ml-energy-legacy", "no column"),
        (b'model,phase,energy_j\n"' + b"x" * 200_000, "generic", "broken CSV"),
        (b"PAR1" + b"\x01" * 40, "generic", "Parquet"),
        (zipped(b"0" * 10_000_000), "generic", "zip archive"),
        (gzip.compress(b"0" * 40_000_000, mtime=0), "ml-energy-v3", "unpacks to more than 32 MiB"),
        (gzip.compress(GOOD.encode(), mtime=0)[:-9], "generic", "cannot be unpacked"),
        (b"Time,07-25-2025 15:27:44.482,Watts,12\n", "mlperf-power", "no mlperf_log_detail"),
        (b"Time,yesterday,Watts,12\n", "mlperf-power", "no power sample"),
    ],
)  # fmt: skip
def test_unreadable_files(content: bytes, source: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.json"
    path.write_bytes(content)
    assert said in refused(path, tmp_path, source)


def test_fifty_megabytes_of_nested_json_are_refused_by_size(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_bytes(b'{"configurations": ' + b"[" * 50_000_000)
    assert "more than the 32 MiB allowed" in refused(path, tmp_path, "ml-energy-v3")


@pytest.mark.parametrize("name", list(registry.READERS))
def test_every_reader_refuses_what_is_too_large_or_packed(name: str, tmp_path: Path) -> None:
    """By size and kind alone, before anything is parsed: no reader has a way around the checks."""
    cases = {
        "deep.json": (b"[" * (files.MAX_JSON_BYTES + 1), None),
        "bomb.zip": (zipped(b"0" * 5_000_000), "zip archive"),
        "bomb.json.gz": (gzip.compress(b"[" * (files.MAX_JSON_BYTES + 1)), None),
        "latin.csv": ("modèle,phase\nä,b\n".encode("latin-1"), None),
        "cut.csv.gz": (gzip.compress(GOOD.encode())[:-9], None),
    }  # fmt: skip
    for file, (content, said) in cases.items():
        path = tmp_path / file
        path.write_bytes(content)
        message = refused(path, tmp_path, name)
        assert said is None or said in message


def test_a_gzip_bomb_of_text_is_cut_off_at_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CSV that unpacks beyond the limit is refused, and the rows before it are not stored."""
    monkeypatch.setattr(files, "MAX_TEXT_BYTES", 1 << 20)
    monkeypatch.setattr(files.lines, "__defaults__", (1 << 20,))
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress((GOOD + "m,e2e,2,device,x\n" * 200_000).encode()))
    assert path.stat().st_size < 1 << 20
    assert "unpacks to more than 1 MiB" in refused(path, tmp_path, "generic")


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_json_cut_off_anywhere_is_one_line(cut: int, tmp_path: Path) -> None:
    """A download that broke off: the reader that knew the whole file says where it ends."""
    row = {"model_id": "m", "gpu_model": "g", "avg_power_watts": 5.0, "num_gpus": 1}
    whole = json.dumps({"configurations": [row] * 20})
    path = tmp_path / "v3.json"
    path.write_text(whole[:-cut])
    assert "broken JSON at line 1" in refused(path, tmp_path, "ml-energy-v3")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-32", "cp1252", "shift_jis"])
@pytest.mark.parametrize("name", ["generic", "ml-energy-v3", "lm-eval"])
def test_wrong_encodings_are_named(encoding: str, name: str, tmp_path: Path) -> None:
    text = "model,phase,energy_j\nm\u00e9,e2e,1\n" if encoding != "shift_jis" else "\u30e2,phase\n"
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode(encoding))
    said = refused(path, tmp_path, name)
    assert "UTF-8" in said or "NUL bytes" in said


def test_a_broken_file_leaves_what_other_files_stored(tmp_path: Path) -> None:
    """One transaction a file: the good one stays whole, the bad one leaves nothing."""
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text(GOOD)
    rows = "".join(f"m{i},e2e,{i + 1},device,x\n" for i in range(5000))  # two batches and more
    bad.write_text(
        "model,phase,energy_j,boundary,method\n" + rows + 'x,e2e,1,device,"' + "y" * 200_000
    )
    assert import_file(tmp_path / "x.db", good).stored == 1
    with pytest.raises(InputError, match="broken CSV"):
        import_file(tmp_path / "x.db", bad)
    with open_read_only(tmp_path / "x.db").connect() as connection:
        assert list(reader.reported(connection)["model_name"]) == ["m"]


def test_absent_folders_and_unknown_sources(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nowhere.csv", tmp_path)
    assert "no file" in refused(tmp_path, tmp_path, "generic")
    with pytest.raises(InputError, match="did you mean mlperf"):
        registry.reader("mlpref")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("m,e2e,inf,device,x", "not a finite number"),
        ("m,e2e,1e999,device,x", "not a finite number"),
        ("m,e2e,twelve,device,x", "is no number"),
        ("m,e2e,nan,device,x", "holds none of the values"),
        ("=HYPERLINK(1),e2e,1,device,x", "would run as a formula"),
        ("@SUM(A1),e2e,1,device,x", "would run as a formula"),
        ("m,e2e,1,device,+cmd|x", "would run as a formula"),
        ("m,sleeping,1,device,x", "phase 'sleeping'"),
        ("m,e2e,1,everything,x", "boundary 'everything'"),
        (",e2e,1,device,x", "model is missing"),
        ("m,e2e,1", "another number of cells"),
        ("m" * 501 + ",e2e,1,device,x", "longer than 500"),
    ],
)
def test_a_bad_row_is_named_and_the_good_ones_are_stored(
    row: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(GOOD + row + "\n")
    made = import_file(tmp_path / "x.db", path)
    assert (made.read, made.stored, made.rejected) == (2, 1, 1)
    assert said in made.rejections[0][1]
    assert made.rejections[0][0] == "3"


def test_a_file_of_bad_rows_alone_stores_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(GOOD.replace("1.5", "inf"))
    assert "none of its 1 rows can be used" in refused(path, tmp_path)


@pytest.mark.parametrize("word", ["nan", "NaN", "NA", "null", "-", ""])
def test_the_documented_words_for_missing_are_empty_cells(word: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"model,phase,energy_j,runtime_s\nm,e2e,{word},2\n")
    assert import_file(tmp_path / "x.db", path).rejected == 0
    with open_read_only(tmp_path / "x.db").connect() as connection:
        assert list(reader.reported(connection)["quantity"]) == ["runtime_s"]
    page = (Path(__file__).parents[2] / "docs/import.md").read_text("utf-8")
    assert word == "" or f"`{word.lower()}`" in page


def test_what_a_csv_states_of_technique_and_cache_is_kept_for_the_audit(tmp_path: Path) -> None:
    """0.3 s for 1000 + 100 tokens of 8B on one H100: only with a draft model."""
    head = "model,phase,device,device_count,dtype,batch,prompt_tokens,output_tokens,runtime_s"
    row = "Llama-3.1 8B,e2e,NVIDIA H100,1,bf16,1,1000,100,0.3"
    path = tmp_path / "rows.csv"
    path.write_text(f"{head},technique,cached_prompt_tokens\n{row},speculative,\n{row},,900\n"
                    f"{row},,\n")  # fmt: skip
    made = import_file(tmp_path / "x.db", path)
    assert made.stored == 3 and made.flagged == {"mbu_above_one": 1, "faster_than_roofline": 1}
    with open_read_only(tmp_path / "x.db").connect() as connection:
        everything = reader.reported(connection, violations=True, stated=("technique",))
        usual = reader.reported(connection)
    assert list(everything["extra"]) == [
        {"technique": "speculative"}, {"cached_prompt_tokens": 900.0}, {},
    ]  # fmt: skip
    assert list(everything["technique"].fillna("")) == ["speculative", "", ""]
    assert list(usual["row"]) == ["2", "3"]


def test_a_file_published_again_in_another_is_said_at_import_as_by_derive(tmp_path: Path) -> None:
    head, row = "model,phase,batch,energy_j,runtime_s\n", "m,e2e,1,310.5271,1.234567\n"
    for name, content in (("a", head + row), ("b", head + "m,e2e,2,400.1234,1.9\n" + row)):
        (tmp_path / f"{name}.csv").write_text(content)
        made = import_file(tmp_path / "x.db", tmp_path / f"{name}.csv")
        assert made.flagged == ({"republished_row": 2} if name == "b" else {})
    engine = open_database(tmp_path / "x.db")
    before = reader.table(engine, schema.finding).drop(columns="id")
    derive(engine)
    assert reader.table(engine, schema.finding).drop(columns="id").equals(before)
    assert set(before["severity"]) == {"info"}


def test_nan_in_json_is_no_value_and_infinity_rejects_its_row(tmp_path: Path) -> None:
    row = {"model_id": "m", "gpu_model": "g", "avg_power_watts": 5.0, "num_gpus": 1}
    content = {"configurations": [row, row | {"avg_power_watts": float("inf")},
                                  row | {"avg_power_watts": float("nan")},
                                  row | {"model_id": "bad \ud800"}]}  # fmt: skip
    path = tmp_path / "v3.json"
    path.write_text(json.dumps(content))
    made = import_file(tmp_path / "x.db", path)
    assert (made.stored, made.rejected) == (1, 3)
    assert [why for _, why in made.rejections] == [
        "avg_power_watts is inf, not a finite number",
        "avg_power_watts is nan, not a finite number",
        "model_id holds broken Unicode",
    ]  # fmt: skip


def test_control_characters_never_reach_a_terminal() -> None:
    assert reading.words({"x": "a\x1b[31mred\x07\u202e"}, "x") == "a [31mred"


def test_a_gzipped_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(GOOD.encode()))
    assert import_file(tmp_path / "x.db", path).stored == 1


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
KEYS = [
    "configurations", "results", "model_id", "gpu_model", "avg_power_watts", "Energy/req (J)",
    "Model", "GPU", "TP", "Performance_Result", "Performance_Units", "Power_Result", "Power_Units",
    "Scenario", "acc,none", "acc_stderr,none", "acc", "config", "model_args", "n-shot", "versions",
    "group_subtasks", "prefill", "latency", "unit", "mean", "energy", "total", "report", "backend",
    "effective_config", "total_energy_j", "n", "model_metrics", "energy_metrics",
    "per_query_joules", "model", "task", "doc_id", "date", "lm_eval_version", "Nodes", "a#",
]  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), inner, max_size=6)
    ),
    max_leaves=25,
)
cells = st.text(max_size=12) | st.floats().map(str) | st.integers().map(str)
COLUMNS = {
    "ml-energy-legacy": ["model", "throughput", "response_length", "latency", "energy"],
    "ml-energy-score": ["model", "arc", "hellaswag", "truthfulqa"],
    "nvml-sensors": ["architecture", "driver", "nvidia_smi_field", "kind", "update_period_ms"],
    "api-prices": ["model", "input_usd_per_mtok", "output_usd_per_mtok"],
    "generic": ["model", "phase", "energy_j", "batch", "score", "benchmark", "metric", "stderr"],
    "quant-energy": ["energy_fp16_j1k", "energy_quant_j1k", "precision", "gpu", "model", "n_runs"],
    "optimum-csv": ["Model", "GPUs", "Experiment Name", "Per Process Batch Size",
                    "Sequence Length", "Prefill Latency (s)", "Decode Latency (s)"],
}  # fmt: skip
fuzz = settings(
    max_examples=40, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


def consume(name: str, path: Path) -> None:
    """Read a file through; only InputError may come out, and rows must be storable."""
    try:
        _, found = registry.read(path, name)
        for row in found.rows:
            for fact in row.reported:
                json.dumps(fact.extra, allow_nan=False).encode()
                assert fact.value is None or abs(fact.value) < float("inf")
            for score in row.scores:
                json.dumps(score.row("m"), allow_nan=False).encode()
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", list(registry.READERS))
@fuzz
@given(raw=st.binary(max_size=300))
def test_bytes_never_break_a_reader(name: str, raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "fuzz.bin"
    path.write_bytes(raw)
    registry.sniff(path)
    consume(name, path)


@pytest.mark.parametrize("name", [n for n in registry.READERS if n not in COLUMNS])
@fuzz
@given(value=values)
def test_json_never_breaks_a_reader(name: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "samples_task.jsonl"
    path.write_text(json.dumps(value))
    consume(name, path)


@pytest.mark.parametrize("name", list(COLUMNS))
@fuzz
@given(rows=st.lists(st.lists(cells, min_size=8, max_size=8), max_size=4))
def test_csv_never_breaks_a_reader(name: str, rows: list[list[str]], tmp_path: Path) -> None:
    path = tmp_path / "fuzz.csv"
    with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS[name])
        writer.writerows(row[: len(COLUMNS[name])] for row in rows)
    consume(name, path)


@fuzz
@given(value=values, rows=st.lists(st.lists(cells, min_size=5, max_size=5), max_size=4))
def test_neither_breaks_the_reader_of_items(
    value: object, rows: list[list[str]], tmp_path: Path
) -> None:
    """The routing lab's tables come from strangers too."""
    path = tmp_path / "items.json"
    with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as stream:
        writer = csv.writer(stream)
        writer.writerow(["item", "model", "correct", "router_score", "cost_j"])
        writer.writerows(rows)
    others = (json.dumps(value), json.dumps({"models": value, "items": value}))
    for content in (path.read_bytes(), *(text.encode() for text in others)):
        path.write_bytes(content)
        try:
            items.read(path)
        except InputError as error:
            assert "\n" not in str(error)
