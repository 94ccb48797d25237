"""Public measurements break no physical rule; every defect planted in a copy is found and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from observatory.audit import audit_reported
from observatory.audit.claims import claims
from observatory.audit.report import audit_files
from observatory.audit.reported import table_of
from observatory.catalog import hardware
from observatory.records import Reported
from observatory.verbs.audit import command
from tests.audit import reported_rows

#: Llama 3.1 405B in fp8 on four B200, 255 requests at once.
ROW = "lm-arena-chat:200"


@pytest.fixture(scope="module")
def servers(reference: Path) -> list[Reported]:
    return reported_rows.ml_energy_v3(reference)


PEERS: list[tuple[str, str, int]] = [
    ("ml-energy-v3", "ml_energy_v3/tasks/*.json", 3),
    ("ml-energy-v2", "ml_energy_v2/**/bs*.json", 123),
    ("ml-energy-legacy", "ml_energy_v2/legacy/*_benchmark.csv", 8),
    ("optimum-csv", "optimum_benchmark/*.csv", 2),
    ("quant-energy", "quant_energy/*.csv", 2),
    ("nvml-sensors", "nvml_sensors/*.csv", 1),
]


@pytest.fixture(scope="module")
def logs(reference: Path) -> list[Reported]:
    return reported_rows.helm(reference)


def found(rows: list[Reported]) -> dict[str, set[str]]:
    """rule -> rows of the file."""
    named: dict[str, set[str]] = {}
    for finding in audit_reported(table_of(rows)):
        named.setdefault(finding.rule, set()).add(rows[finding.subject_id - 1].row)
    return named


def test_the_public_rows_are_clean(servers: list[Reported], logs: list[Reported]) -> None:
    assert len(servers) == 8 * (187 + 328) and len(logs) == 1950
    assert found(servers) == {} and found(logs) == {}


@pytest.mark.parametrize(("source", "pattern", "files"), PEERS, ids=[p[0] for p in PEERS])
def test_nobody_else_is_accused_wrongly(
    reference: Path, source: str, pattern: str, files: int
) -> None:
    paths = sorted((reference / "peers").glob(pattern))
    assert len(paths) == files
    audit = audit_files(paths, source)
    assert audit.clean and audit.lines == () and audit.rows["reported"] > files


def test_one_measurement_listed_twice_is_said(reference: Path) -> None:
    """MLPerf's -99 and -99.9 entries; nothing else is wrong in that summary."""
    path = reference / "peers/mlperf_inference/summary_results_v4.1.json"
    audit = audit_files([path], "mlperf")
    assert {(line.rule, line.severity) for line in audit.lines} == {("copied_block", "warn")}
    assert all(".9 " in line.row for line in audit.lines), "the later listing is the copy"


def test_they_are_truly_judged(servers: list[Reported], logs: list[Reported]) -> None:
    """A gate that looks at nothing is silent too."""
    for rows, least in ((servers, 0.5), (logs, 1.0)):
        table = claims(table_of(rows))
        timed = table[table["kind"].isin(["time", "rate"])]
        assert timed["roofline_rel"].notna().mean() >= least
        assert 0.5 < timed["roofline_rel"].astype(float).max() < 1.05
    powers = claims(table_of(servers)).query("kind == 'power'")
    assert powers["most_w"].notna().all() and powers["least_w"].notna().all()


def value(rows: list[Reported], quantity: str, row: str = ROW) -> float:
    one = next(r for r in rows if r.row == row and r.quantity == quantity)
    assert one.value is not None
    return one.value


Defect = Callable[[list[Reported]], dict[str, float]]
DEFECTS: list[tuple[str, Defect]] = [
    ("seconds_as_joules", lambda rows: {"energy_per_token_j": value(rows, "itl_median_s")}),
    (
        "seconds_as_joules",
        lambda rows: {"energy_j": value(rows, "energy_j") / value(rows, "power_w")},
    ),
    ("zero_for_missing", lambda rows: {"energy_j": 0.0}),
    ("zero_for_missing", lambda rows: {"power_w": 0.0}),
    ("millijoules_as_joules", lambda rows: {"energy_j": 1000 * value(rows, "energy_j")}),
    (
        "millijoules_as_joules",
        lambda rows: {"energy_per_token_j": 1000 * value(rows, "energy_per_token_j")},
    ),
    ("power_above_limit", lambda rows: {"power_w": 1.16 * tdp_w(rows)}),
    ("mbu_above_one", lambda rows: {"tokens_per_s": 30 * value(rows, "tokens_per_s")}),
]  # fmt: skip


def tdp_w(rows: list[Reported]) -> float:
    one = next(r for r in rows if r.row == ROW)
    assert one.device_kind and one.device_count
    rated = hardware.lookup(one.device_kind).tdp_w
    assert rated
    return rated * one.device_count


@pytest.mark.parametrize(("code", "defect"), DEFECTS, ids=[code for code, _ in DEFECTS])
def test_a_planted_defect_is_found_and_named(
    servers: list[Reported], code: str, defect: Defect
) -> None:
    named = found(reported_rows.planted(servers, ROW, defect(servers)))
    assert named[code] == {ROW}
    assert set().union(*named.values()) == {ROW}, "and nobody else is accused"


def test_a_sparse_peak_taken_for_dense(logs: list[Reported]) -> None:
    """A time computed from twice the dense peak: impossible for dense weights."""
    long = next(r for r in logs if r.row.startswith("a100") and r.prompt_tokens == 1536
                and r.output_tokens == 1)  # fmt: skip
    mfu = float(claims(table_of([long]))["mfu"].iloc[0])
    assert long.value is not None and 0.3 < mfu < 1
    named = found(reported_rows.planted(logs, long.row, {"runtime_s": long.value * mfu / 1.6}))
    assert named["sparse_peak_as_dense"] == {long.row} == named["mfu_above_one"]


@pytest.mark.parametrize("decimals", [3, 15])
def test_a_block_at_exactly_1_3_times_another(logs: list[Reported], decimals: int) -> None:
    """As its file prints it, in ms, or with all digits; under the name of another model."""
    block = [r for r in logs if r.device_kind == "a100" and r.model_name == "ai21_j1_large"]
    fake = [
        replace(r, row=f"fake {r.row}", model_name="a new model",
                value=round(1.3 * (r.value or 0), decimals))
        for r in block
    ]  # fmt: skip
    assert found(logs + fake) == {"exact_multiple": {r.row for r in fake}}


def test_a_block_of_servers_at_exactly_1_3_times_another(servers: list[Reported]) -> None:
    """Other batch sizes, other lengths: only the digits give it away."""
    rows = list(dict.fromkeys(r.row for r in servers))
    origin, made = rows[190:196], rows[300:306]
    for source, target in zip(origin, made, strict=True):
        joules = {"energy_per_token_j": 1.3 * value(servers, "energy_per_token_j", source)}
        servers = reported_rows.planted(servers, target, joules)
    named = found(servers)
    assert named["exact_multiple"] == set(made)


def test_a_negative_and_a_zero_repeat_among_ten(servers: list[Reported]) -> None:
    one = next(r for r in servers if r.row == ROW and r.quantity == "energy_j")
    assert one.value
    values = [one.value * (1 + 0.003 * (i % 4) + 1e-4 * i) for i in range(10)]
    values[3], values[8] = -values[3], 0.0
    repeats = [replace(one, row=f"repeat {i}", value=v) for i, v in enumerate(values)]
    assert found(repeats) == {
        "negative_value": {"repeat 3"},
        "zero_for_missing": {"repeat 8"},
        "repeat_not_positive": {"repeat 3", "repeat 8"},
    }


# ---------------------------------------------------------------------- copies of a file
FILE_DEFECTS: list[tuple[str, dict[str, float], str]] = [
    ("zero_for_missing", {"energy_per_request_joules": 0.0}, "energy_j"),
    ("negative_value", {"avg_power_watts": -250.0}, "power_w"),
    ("power_above_limit", {"avg_power_watts": 9000.0}, "power_w"),
    ("seconds_as_joules", {"energy_per_token_joules": 0.06340548800653779}, "energy_per_token_j"),
    ("millijoules_as_joules", {"energy_per_token_joules": 1354.4944581}, "energy_per_token_j"),
]


@pytest.mark.parametrize(("code", "change", "quantity"), FILE_DEFECTS, ids=lambda x: str(x)[:24])
def test_a_defect_in_a_copied_file_is_named_by_the_verb(
    reference: Path, tmp_path: Path, code: str, change: dict[str, float], quantity: str
) -> None:
    content = json.loads(
        (reference / "peers/ml_energy_v3/tasks/lm-arena-chat.json").read_text(encoding="utf-8")
    )
    content["configurations"][200] |= change
    copy = tmp_path / "copy.json"
    copy.write_text(json.dumps(content))
    done = CliRunner().invoke(
        command, [str(copy), "--source", "ml-energy-v3", "--json"], standalone_mode=False
    )
    assert done.return_value == 1
    lines = json.loads(done.output)["findings"]
    model = "meta-llama/Llama-3.1-405B-Instruct-FP8"
    assert (code, f"copy.json:200 {model} {quantity}") in {(f["rule"], f["row"]) for f in lines}
    assert {f["row"].split()[0] for f in lines} == {"copy.json:200"}
    for line in lines:
        assert line["severity"] in ("exclude", "warn") and line["remedy"] and line["sentence"]


def test_a_row_that_its_importer_refuses_is_listed(reference: Path, tmp_path: Path) -> None:
    content = json.loads((reference / "peers/ml_energy_v3/tasks/gpqa.json").read_text())
    content["configurations"][3]["avg_power_watts"] = "much"
    copy = tmp_path / "copy.json"
    copy.write_text(json.dumps(content))
    (line,) = audit_files([copy], "ml-energy-v3").lines
    assert (line.rule, line.row) == ("row_refused", "copy.json:3") and "much" in line.sentence
