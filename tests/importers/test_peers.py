"""Every published result file imports, with the counts that its origin states, and only once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import select, text

from observatory.errors import InputError
from observatory.importers import registry
from observatory.importing import ImportReport, import_file
from observatory.store import reader, schema
from observatory.store.database import open_read_only

ROWS = {
    "ml-energy-v3": 187 + 328 + 638, "ml-energy-v2": 123, "ml-energy-legacy": 8 * 21,
    "ml-energy-score": 23, "mlperf": 937, "mlperf-power": 2, "optimum-csv": 2 * 35,
    "quant-energy": 10 + 29, "nvml-sensors": 65,
}  # fmt: skip


@pytest.fixture(scope="module")
def imported(
    reference: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[ImportReport]]:
    database = tmp_path_factory.mktemp("peers") / "peers.db"
    reports = []
    v2 = sorted((reference / "peers/ml_energy_v2/llm_text_generation").rglob("bs*.json"))
    others = sorted(p for p in (reference / "peers").rglob("*") if p.is_file() and p not in v2)
    for path in [*others, *v2[::12]]:
        if registry.sniff(path) is not None:
            reports.append(import_file(database, path))
    return database, reports


@pytest.fixture(scope="module")
def rows(imported: tuple[Path, list[ImportReport]]) -> pd.DataFrame:
    with open_read_only(imported[0]).connect() as connection:
        return reader.reported(connection, violations=True)


def test_every_row_of_every_file_is_stored(reference: Path) -> None:
    read: Counter[str] = Counter()
    for path in sorted((reference / "peers").rglob("*")):
        if not path.is_file() or (name := registry.sniff(path)) is None:
            continue
        _, reading = registry.read(path)
        found = list(reading.rows)
        assert [row.rejected for row in found if row.rejected] == []
        read[name] += len(found)
    assert dict(read) == ROWS


def test_importing_twice_adds_nothing(
    imported: tuple[Path, list[ImportReport]], rows: pd.DataFrame
) -> None:
    database, reports = imported
    for report in reports[:14]:
        again = import_file(database, report.path)
        assert (again.values_new, again.scores_new, again.read) == (0, 0, report.read)
    with open_read_only(database).connect() as connection:
        assert len(reader.reported(connection, violations=True)) == len(rows)


def test_rows_of_v3_that_share_every_identifying_column_all_survive(reference: Path) -> None:
    identity = ("model_id", "gpu_model", "num_gpus", "max_num_seqs", "tensor_parallel",
                "expert_parallel", "data_parallel", "weight_precision", "batch_size",
                "image_height", "image_width", "inference_steps", "ulysses_degree",
                "ring_degree")  # fmt: skip
    pairs = 0
    for path in sorted((reference / "peers/ml_energy_v3/tasks").glob("*.json")):
        content = json.loads(path.read_text())["configurations"]
        keys = Counter(tuple(row.get(name) for name in identity) for row in content)
        pairs += sum(n - 1 for n in keys.values())
        assert len({row.id for row in registry.read(path)[1].rows}) == len(content)
    assert pairs == 3


def test_v3_power_is_joules_a_token_times_tokens_a_second(rows: pd.DataFrame) -> None:
    mine = rows[rows["tool"].eq("ML.ENERGY Benchmark v3") & rows["work_unit"].eq("token")]
    wide = mine.pivot(index=["source_key", "row"], columns="quantity", values="value")
    product = wide["energy_per_token_j"] * wide["tokens_per_s"]
    assert len(wide) == 187 + 328
    assert (product / wide["power_w"]).sub(1).abs().max() < 1e-6
    images = rows[rows["tool"].eq("ML.ENERGY Benchmark v3") & rows["work_unit"].eq("image")]
    assert images["row"].groupby(images["source_key"]).nunique().tolist() == [638]
    assert set(images["per"]) == {"image", "second", "batch"}
    assert mine["prompt_tokens"].isna().all()
    assert set(mine["phase"]) == {"serving"}


def test_mlperf_watts_and_millijoules_come_out_as_joules(rows: pd.DataFrame) -> None:
    mine = rows[rows["tool"].eq("MLPerf Inference")]
    energy = mine[mine["quantity"] == "energy_j"]
    assert set(energy["unit"]) == {"J"}
    assert set(energy["boundary"]) == {"wall"}
    assert len(energy) == 31
    scenario = energy["extra"].map(lambda e: e["Scenario"])
    single = energy[scenario == "SingleStream"]["value"].tolist()
    assert single == pytest.approx([29.238987e-3], rel=1e-6)
    offline = energy[(scenario == "Offline") & (energy["model_name"] == "llama2-70b-99")]
    assert offline["value"].tolist() == pytest.approx([6152.984435 / 25262.1], rel=1e-6)
    assert offline["per"].tolist() == ["token"]


def test_mlperf_twins_are_marked_and_left_out(
    imported: tuple[Path, list[ImportReport]], rows: pd.DataFrame
) -> None:
    mine = rows[rows["tool"].eq("MLPerf Inference") & rows["quantity"].eq("energy_j")]
    twin = mine["extra"].map(lambda e: e.get("twin_of") is not None)
    assert set(mine[twin]["model_name"]) == {
        "3d-unet-99.9", "gptj-99.9", "llama2-70b-99.9",
    }  # fmt: skip
    by_row = mine.set_index("row")["value"]
    for _, row in mine[twin].iterrows():
        assert by_row[row["extra"]["twin_of"]] == row["value"]
    bert = mine[mine["model_name"].isin(["bert-99", "bert-99.9"])]
    assert len(bert) == 4
    assert not twin[bert.index].any()  # these differ: two measurements


def test_published_means_of_the_power_traces(rows: pd.DataFrame) -> None:
    mine = rows[rows["tool"].eq("MLPerf power trace")]
    watts = mine[mine["quantity"] == "power_w"].set_index("model_name")["value"]
    assert watts["whisper"] == pytest.approx(7636.4895833, abs=1e-6)
    assert watts["llama3_1-8b"] == pytest.approx(9011.0666667, abs=1e-6)
    joules = mine[mine["quantity"] == "energy_run_j"].set_index("model_name")["value"]
    assert joules["whisper"] == pytest.approx(7636.4895833 * 623.678, rel=1e-9)
    idle = mine[mine["quantity"] == "power_idle_w"]["value"]
    assert (idle < watts.min() / 2).all()
    assert {e["notice"] for e in mine["extra"]} == {"not verified by MLCommons Association"}


def test_the_short_optimum_report_is_the_same_runs(rows: pd.DataFrame) -> None:
    mine = rows[rows["tool"].eq("optimum-benchmark")]
    twins = mine[mine["extra"].map(lambda e: e.get("twin_of") is not None)]
    assert twins.groupby("source_key")["row"].nunique().tolist() == [35]
    assert not mine["quantity"].str.startswith("energy").any()


def test_quantized_energy_and_perplexity_of_one_run(
    imported: tuple[Path, list[ImportReport]], rows: pd.DataFrame
) -> None:
    mine = rows[rows["source_name"].str.startswith("rtx4090")]
    joules = mine[mine["quantity"] == "energy_per_token_j"]
    assert len(joules) == 20
    assert joules["value"].min() == pytest.approx(1.393944)
    with open_read_only(imported[0]).connect() as connection:
        c = schema.capability
        found = connection.execute(
            select(c.c.precision, c.c.score).where(c.c.unit == "perplexity")
        ).all()
    assert {p for p, _ in found} == {"int8", "nf4", "fp16"}
    assert min(score for _, score in found) == pytest.approx(3.8543)


def test_v2_paths_with_plus_and_blanks(rows: pd.DataFrame) -> None:
    mine = rows[rows["tool"].eq("ML.ENERGY Leaderboard v2")]
    assert set(mine["quantity"]) == {"energy_j", "tpot_s", "tokens_per_s"}
    assert {"NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB"} == set(mine["device_kind"])
    assert {e["task"] for e in mine["extra"]} == {"code"}


def test_sources_keep_licence_tool_and_counts(
    imported: tuple[Path, list[ImportReport]],
) -> None:
    with open_read_only(imported[0]).connect() as connection:
        found = connection.execute(
            text("SELECT tool, licence, rows_read, rows_stored, rows_rejected FROM source")
        ).all()
    assert {(tool, licence) for tool, licence, *_ in found} >= {
        ("ML.ENERGY Benchmark v3", "Apache-2.0"), ("quantization energy data set", "CC BY 4.0"),
        ("NVML sensor survey", "MIT"), ("MLPerf power trace", None),
    }  # fmt: skip
    assert all(read == stored and bad == 0 for *_, read, stored, bad in found)


def test_files_that_are_no_results_are_named(reference: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no reader knows this file"):
        import_file(tmp_path / "a.db", reference / "peers/ml_energy_v3/index.json")
