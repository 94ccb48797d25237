"""Findings of a store: derived, marked, left out by default; and the verb that prints them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from observatory import answers
from observatory.audit import RULES
from observatory.audit.page import markdown
from observatory.audit.report import audit_store
from observatory.derive import derive
from observatory.ingest import Recorder, utc_now
from observatory.records import (
    Cell,
    Configuration,
    Device,
    Energy,
    Environment,
    Reported,
    Run,
    Source,
    Window,
    Workload,
)
from observatory.store import reader, writer
from observatory.store.database import open_database, open_read_only
from observatory.verbs.audit import command
from tests import synthetic
from tests.audit.reported_rows import server

ROOT = Path(__file__).resolve().parents[2]
CARD = "NVIDIA H100 80GB HBM3"


def source_of(name: str) -> Source:
    return Source(name, f"{name}.json", "test", None, None, None, utc_now(), utc_now())


def store_reported(path: Path, name: str, rows: Sequence[Reported]) -> None:
    with open_database(path).begin() as connection:
        writer.add_source(connection, source_of(name))
        writer.add_reported(connection, name, rows)


def gpu_run(path: Path, limit_w: float, power_w: float, prefill_s: float, **stack: Any) -> Recorder:
    """A synthetic run on one card: idle at 80 W, then prefills of 8 × 2048 tokens."""
    card = Device(0, "cuda", CARD, power_limit_w=limit_w)
    machine = Environment("CPU", 8, 16, 2**37, "Linux", "6.1", "3.11", {}, devices=(card,))
    model = synthetic.model_named("Llama-3.1 8B")
    configuration = Configuration(
        model.key, "random_weights", "transformers", "1", CARD, 1, "bfloat16", "sdpa", "static",
        "cuda_graph", None, **stack,
    )  # fmt: skip
    run = Run("gpu", "synthetic", "hash", {}, "0.1.0", machine.key, "quick", 0, utc_now())
    recorder = Recorder.start(path, run, machine)
    recorder.add_models([model])
    recorder.add_configurations([configuration])
    for key, phase, workload, watts, seconds, tokens in (
        ("idle", "idle", Workload(None, None), 80.0, 10.0, None),
        ("prefill", "prefill", Workload.prefill(2048, 8), power_w, 40 * prefill_s, 40 * 8 * 2048),
    ):
        recorder.plan([Cell("gpu", key, configuration.key, phase, workload)])
        energy = Energy(device_j=watts * seconds, method="nvml_counter", provenance="measured",
                        boundary="device")  # fmt: skip
        count = 1 if phase == "idle" else 40
        recorder.store(key, Window(0, 0, count, seconds, utc_now(), tokens, energy))
        recorder.finish(key, "ok")
    recorder.close("done")
    return recorder


def rules_of(path: Path) -> list[str]:
    return list(answers.findings(open_read_only(path))["rule"])


@pytest.mark.parametrize(
    ("limit_w", "power_w", "prefill_s", "expected"),
    [
        (700.0, 650.0, 0.5, []),
        (500.0, 530.0, 0.5, ["power_above_limit"]),  # its own limit, not the catalogue's TDP
        (700.0, 70.0, 0.5, ["power_below_idle"]),
        (700.0, 650.0, 0.16, ["faster_than_roofline", "mfu_above_one", "sparse_peak_as_dense"]),
    ],
)
def test_a_stored_run_is_held_to_its_own_card(
    tmp_path: Path, limit_w: float, power_w: float, prefill_s: float, expected: list[str]
) -> None:
    path = tmp_path / "o.db"
    gpu_run(path, limit_w, power_w, prefill_s)
    assert sorted(rules_of(path)) == expected
    rows = answers.summary(open_read_only(path), phase="prefill")
    assert len(rows) == (0 if expected else 1), "a row in violation is left out of summaries"
    assert len(audit_store(open_read_only(path)).lines) == len(expected)


@pytest.mark.parametrize("stack", [{"technique": "prefix_caching"}, {"layer_scale": 3.0}], ids=str)
def test_a_stack_that_does_other_work_has_no_roofline(
    tmp_path: Path, stack: dict[str, Any]
) -> None:
    gpu_run(tmp_path / "o.db", 700.0, 650.0, 0.16, **stack)
    assert rules_of(tmp_path / "o.db") == []


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "o.db"
    synthetic.record(path, noise=0.001)
    store_reported(path, "good", server())
    store_reported(path, "bad", server({"power_w": 900.0}))
    derive(open_database(path))
    return path


def test_reported_rows_in_violation_are_kept_marked_and_left_out(database: Path) -> None:
    engine = open_read_only(database)
    found = answers.findings(engine)
    assert set(found["rule"]) == {"power_above_limit", "energy_power_mismatch"}
    assert set(found["subject"]) == {"reported"}
    everything = reader.reported(engine, violations=True)
    usual = reader.reported(engine)
    assert len(everything) == 10 and len(usual) == 9, "a warning does not leave a row out"
    left_out = everything[~everything["id"].isin(usual["id"])]
    assert list(left_out[["source_key", "quantity"]].itertuples(index=False, name=None)) == [
        ("bad", "power_w")
    ]
    assert set(reader.reported(engine, ["good"])["source_key"]) == {"good"}


def test_deriving_again_or_a_part_gives_the_same_findings(database: Path) -> None:
    def dump() -> list[tuple[Any, ...]]:
        rows = answers.findings(open_read_only(database))
        return sorted(rows.itertuples(index=False, name=None))

    before = dump()
    assert derive(open_database(database)).findings == len(before) > 0
    assert dump() == before
    keys = set(answers.summary(open_read_only(database))["configuration_key"])
    derive(open_database(database), keys)
    assert dump() == before, "a run that ends leaves the findings on reported rows alone"


# ---------------------------------------------------------------------- the verb
def audit(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, standalone_mode=False)


def test_the_verb_says_clean_with_0_and_found_with_1(database: Path, tmp_path: Path) -> None:
    clean = tmp_path / "clean.db"
    synthetic.record(clean, noise=0.001)
    done = audit("--db", str(clean))
    assert done.return_value == 0 and "nothing found in 84 windows, 14 cells" in done.output
    done = audit("--db", str(database))
    assert done.return_value == 1
    assert "power_above_limit" in done.output and "bad.json:1" in done.output
    assert max(len(line) for line in done.output.splitlines() if "─" in line) <= 100


def test_json_lists_rule_row_value_and_bound(database: Path) -> None:
    done = audit("--db", str(database), "--json")
    report = json.loads(done.output)
    assert done.return_value == 1 and report["clean"] is False
    assert report["audited"] == {"window": 84, "cell": 14, "reported": 10}
    (line,) = [f for f in report["findings"] if f["rule"] == "power_above_limit"]
    assert set(line) == {
        "rule", "version", "severity", "subject", "row", "value", "bound", "sentence", "remedy",
    }  # fmt: skip
    assert line["value"] == 900.0 and line["bound"] == pytest.approx(805.0)
    assert line["row"] == "bad.json:1 meta-llama/Llama-3.1-8B-Instruct power_w"
    assert line["severity"] == "exclude" and line["sentence"].endswith(".")


def test_auditing_writes_nothing(database: Path) -> None:
    before = database.read_bytes()
    audit("--db", str(database))
    assert database.read_bytes() == before


def test_an_empty_store_is_clean(tmp_path: Path) -> None:
    open_database(tmp_path / "o.db").dispose()
    done = audit("--db", str(tmp_path / "o.db"))
    assert done.return_value == 0 and "nothing found" in done.output


# ---------------------------------------------------------------------- the page
def test_the_page_says_what_the_rules_say() -> None:
    page = (ROOT / "docs/audit.md").read_text()
    assert page == markdown(), "run `observatory audit --rules > docs/audit.md`"
    assert audit("--rules").output == page


@pytest.mark.parametrize("subject", RULES)
def test_rules_are_complete_sentences_with_a_source(subject: str) -> None:
    codes = [rule.code for rule in RULES[subject]]
    assert len(codes) == len(set(codes))
    for rule in RULES[subject]:
        assert rule.sentence.endswith(".") and rule.remedy.endswith("."), rule.code
        assert rule.source and rule.severity in ("exclude", "avoid", "warn", "info"), rule.code
