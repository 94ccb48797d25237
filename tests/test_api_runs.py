"""Layer scales on import, published parameters, and HELM's idealized runtime beside ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from observatory.api_runs import api_runs
from observatory.cli import observatory, run
from observatory.derive import plain_rows
from observatory.errors import InputError
from observatory.importers import helm_fits, registry
from observatory.importing import import_file
from observatory.profiling_logs import read_logs, stored_logs
from observatory.store.database import open_database, open_read_only

MINI = Path(__file__).resolve().parent / "data" / "helm" / "mini.log"
HEAD = (
    "scenario,inference_runtime,inference_idealized_runtime,num_tokens_in_prompt,"
    "num_output_tokens,exact_match\n"
)
TABLE = {
    "runtime_per_output_token": 0.02,
    "runtime_for_prompt_tokens": {"1": 0.02, "100": 0.05, "200": 0.07},
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    open_database(path).dispose()
    return path


def csv_file(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "runs.csv"
    path.write_text(HEAD + "".join(f"{row}\n" for row in rows))
    return path


def json_file(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "published.json"
    path.write_text(json.dumps(content))
    return path


# ---------------------------------------------------------------------- partial layers
def test_a_third_of_the_layers_is_scaled_and_says_so(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["import", "helm-logs", str(MINI), "--layer-scale", "3", "--db", str(store)]
    assert run(observatory, arguments) == 0
    with open_read_only(store).connect() as connection:
        (log,) = stored_logs(connection)
    (whole,), _ = read_logs(MINI)
    assert (log.model, log.layer_scale, log.profiled_layers) == ("megatron-72x2048", 3.0, 24)
    assert "24 layers × 3" in log.words
    scaled = {o.point: o for o in log.observations}
    for point in whole.observations:
        assert scaled[point.point].runtime_s == pytest.approx(3 * point.runtime_s)
        assert scaled[point.point].std_s == pytest.approx(3 * (point.std_s or 0))
    capsys.readouterr()
    assert run(observatory, ["fit", "--db", str(store), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["fit"]["step"]["c0_s"] == pytest.approx(3 * 0.0155, rel=1e-3)


def test_the_same_log_read_both_ways_is_caught_by_the_audit(store: Path) -> None:
    assert import_file(store, MINI).flagged == {}
    assert import_file(store, MINI, layer_scale=3.0).flagged == {"exact_multiple": 16}
    with open_read_only(store).connect() as connection:
        assert [log.layer_scale for log in stored_logs(connection)] == [1.0]


@pytest.mark.parametrize(("scale", "words"), [("0", "--layer-scale 0"), ("-1", "--layer-scale -1")])
def test_a_scale_that_is_not_positive_stores_nothing(
    store: Path, scale: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(observatory, ["import", str(MINI), "--layer-scale", scale, "--db", str(store)]) == 2
    assert words in capsys.readouterr().err
    with open_read_only(store).connect() as connection:
        assert not stored_logs(connection)


def test_a_scale_means_nothing_to_other_files(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = csv_file(tmp_path, "boolq:model=a_b,0.5,0.2,100,1,")
    assert run(observatory, ["import", str(path), "--layer-scale", "3", "--db", str(store)]) == 2
    assert "--layer-scale means nothing to the reader helm-runs" in capsys.readouterr().err


# ---------------------------------------------------------------------- published parameters
def test_published_parameters_are_read(tmp_path: Path) -> None:
    path = json_file(tmp_path, {"a/b": TABLE, "c/d": {**TABLE, "overhead": 0.2}})
    assert registry.sniff(path) == "helm-fits"
    first, second = helm_fits.read(path).rows
    facts = {(f.quantity, f.prompt_tokens): f.value for f in first.reported}
    assert facts == {
        ("tpot_s", None): 0.02, ("ttft_s", 1.0): 0.02, ("ttft_s", 100.0): 0.05,
        ("ttft_s", 200.0): 0.07,
    }  # fmt: skip
    assert ("overhead_s", 0.2) in {(f.quantity, f.value) for f in second.reported}


@pytest.mark.parametrize(
    "broken",
    [
        {"a/b": []},
        {"a/b": {**TABLE, "runtime_for_prompt_tokens": {}}},
        {"a/b": {**TABLE, "runtime_for_prompt_tokens": {"many": 0.1}}},
        {"a/b": {**TABLE, "runtime_for_prompt_tokens": {"0": 0.1}}},
        {"a/b": {**TABLE, "runtime_per_output_token": 0}},
        {"a/b": {**TABLE, "runtime_per_output_token": "soon"}},
        {"": TABLE},
    ],
)
def test_broken_parameters_are_rejected(broken: Any, tmp_path: Path) -> None:
    (row,) = helm_fits.read(json_file(tmp_path, broken)).rows
    assert row.rejected and not row.reported


def test_parameters_that_are_no_object_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no JSON object"):
        helm_fits.read(json_file(tmp_path, [TABLE]))


# ---------------------------------------------------------------------- theirs beside ours
def test_ours_is_the_fit_of_the_log_of_that_name(store: Path, tmp_path: Path) -> None:
    import_file(store, MINI)
    import_file(store, csv_file(
        tmp_path, "boolq:model=mini,0.5,0.2,256,11,0.7", "boolq:model=mini,0.5,,4096,1,",
        "boolq:model=other,0.5,0.2,256,11,0.7", "boolq:model=mini,0.5,0.2,,11,",
    ))  # fmt: skip
    rows = list(plain_rows(api_runs(open_read_only(store))))
    first, far, unknown, blind = rows
    assert first["ours_s"] == pytest.approx(0.018 + 5e-5 * 256 + 10 * 0.0155, rel=0.01)
    assert first["theirs_s"] == 0.2 and first["extrapolated"] is False
    assert first["ours_over_theirs"] == pytest.approx(first["ours_s"] / 0.2)
    assert first["ours_basis"] == "relative fit of mini.log: 2 devices, fp16"
    assert first["lookup_s"] != pytest.approx(first["ours_s"], rel=0.01)
    assert far["extrapolated"] is True and far["theirs_s"] is None  # empty is not 0
    assert unknown["ours_s"] is None and "named other" in unknown["reason"]
    assert unknown["theirs_s"] == 0.2
    assert blind["ours_s"] is None and "mean tokens" in blind["reason"]


def test_published_parameters_serve_where_there_is_no_log(store: Path, tmp_path: Path) -> None:
    import_file(store, json_file(tmp_path, {"ai/mini": TABLE, "ai/table-1": TABLE}))
    import_file(store, csv_file(tmp_path, "boolq:model=ai_table-1,0.5,0.2,150,3,0.7"))
    (row,) = api_runs(open_read_only(store)).to_dict("records")
    assert row["ours_s"] == pytest.approx(0.06 + 0.04)  # interpolated
    assert row["lookup_s"] == pytest.approx(0.07 * 150 / 200 + 0.04)  # the saw-tooth
    assert row["ours_basis"].startswith("published parameters of ai/table-1")


def test_show_says_what_is_null_and_why(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(observatory, ["show", "api-runs", "--db", str(store)]) == 2
    assert "no API runs" in capsys.readouterr().err
    import_file(store, MINI)
    import_file(store, csv_file(
        tmp_path, "boolq:model=mini,0.5,0.2,256,11,0.7", "boolq:model=other,0.5,0.2,256,11,0.7"
    ))  # fmt: skip
    assert run(observatory, ["show", "api-runs", "--db", str(store)]) == 0
    shown = capsys.readouterr().out
    assert "named other" in shown and "relative fit of mini.log" in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 100
    assert run(observatory, ["show", "api-runs", "--db", str(store), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told[1]["ours_s"] is None and told[1]["reason"]


def test_on_the_public_runs_ours_is_a_little_below_theirs(store: Path, reference: Path) -> None:
    """Their look-up takes alpha from the next longer prompt; at the means both are plug-ins."""
    import_file(store, reference / "helm/logs/a100/openai_davinci.log")
    import_file(store, reference / "helm/csv/inference_runtimes_and_accuracies_public.csv")
    found = api_runs(open_read_only(store))
    davinci = found[(found["model"] == "openai_davinci") & found["ours_over_theirs"].notna()]
    assert len(davinci) > 100
    assert 0.95 < davinci["ours_over_theirs"].astype(float).median() < 1.0
    others = found[found["model"] == "openai_curie"]
    assert others["ours_s"].isna().all() and others["reason"].notna().all()
