"""`observatory dea`: the worked examples through the command line, the store, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from observatory.cli import observatory, run
from observatory.errors import InputError
from observatory.importing import import_file
from observatory.tradeoffs.dea import MOST_UNITS, analyse
from tests import synthetic

LANE = "synthetic-bench/accuracy/5-shot/own/generic"
SCORES = """model,phase,benchmark,metric,score,stderr,shots,harness,precision,source,licence
SmolLM2-135M,e2e,synthetic-bench,accuracy,0.40,0.01,5,own,,synthetic,CC0
Pythia-160M,e2e,synthetic-bench,accuracy,0.55,0.01,5,own,,synthetic,CC0
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dea")
    path, scores = folder / "o.db", folder / "scores.csv"
    synthetic.record(path)
    synthetic.record(path, run_id="synthetic-2", model_name="Pythia-160M", scale=2.0)
    scores.write_text(SCORES)
    import_file(path, scores)
    return path


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(observatory, ["dea", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_worked_example_on_the_command_line(
    reference: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    exact = json.loads((reference / "expected/dea_example.json").read_text())["example_exact"]
    path = tmp_path / "units.csv"
    lines = ["name,x1_j,x2_l,y"] + [
        f"{name},{x[0]},{x[1]},{y}"
        for name, x, y in zip(exact["dmus"], exact["inputs"]["values"], exact["output"]["values"],
                              strict=True)
    ]  # fmt: skip
    path.write_text("\n".join(lines))
    named = [str(path), "--input", "x1_j", "--input", "x2_l", "--output", "y"]
    code, out, _ = call(capsys, *named, "--json")
    (found,) = json.loads(out)
    assert code == 0 and [r["rule"] for r in found["results"]] == ["benevolent", "aggressive"]
    for result in found["results"]:
        want = exact[result["rule"]]
        assert result["score"] == pytest.approx(want["score_mean_including_self"], abs=1e-6)
        assert result["ranking"] == want["rank_best_first"]
    code, out, _ = call(capsys, *named, "--rule", "aggressive", "--without-self")
    assert code == 0 and "aggressive" in out and "benevolent" not in out
    assert "the own rating left out" in out
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 100
    code, out, _ = call(capsys, *named)
    assert "the two rules rank differently" in out


def test_models_of_the_store(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["--db", str(database), "--lane", LANE, "--workload", "200,50"]
    code, out, _ = call(capsys, *base, "--zone", "FRA", "--input", "runtime_s",
                        "--input", "energy_j", "--json")  # fmt: skip
    (found,) = json.loads(out)
    assert code == 0 and found["name"] == "FRA"
    (kind, _) = found["results"]
    best = kind["names"].index(next(n for n in kind["names"] if n.startswith("SmolLM2")))
    # twice the runtime and joules for 0.55 / 0.40 of the score
    other = 1 - best
    assert kind["self_efficiency"][best] == pytest.approx(1.0)
    assert kind["self_efficiency"][other] == pytest.approx(0.55 / 0.40 / 2, rel=0.03)
    code, out, _ = call(capsys, *base, "--zone", "FRA", "--input", "energy_j", "--input", "co2e_g")
    assert code == 0 and "the analysis sees one of them" in out
    code, out, _ = call(capsys, *base, "--json")
    assert code == 0 and [made["name"] for made in json.loads(out)] == ["every zone"]
    code, out, _ = call(capsys, *base, "--input", "energy_j", "--input", "water_l", "--json")
    assert code == 0 and len(json.loads(out)) == 3  # example zones


def test_what_is_refused(
    database: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "units.csv"
    path.write_text("name,pue,energy_j,score\na,1.1,2,3\nb,1.2,3,4\n")
    named = [str(path), "--input", "pue", "--input", "energy_j", "--output", "score"]
    code, out, err = call(capsys, *named)
    assert (code, out) == (2, "") and "does not scale with the request" in err
    assert call(capsys, *named, "--allow-ratios")[0] == 0
    for bad, said in (
        ([str(path)], "--input"), ([], "--lane"),
        (["--db", str(database), "--lane", LANE, "--input", "pue"], "no cost"),
        ([str(path), "--input", "x", "--output", "score"], "x"),
        (["--db", str(database), "--lane", "none/such"], "lane"),
    ):  # fmt: skip
        code, out, err = call(capsys, *bad)
        assert (code, out) == (2, "") and said in err and err.count("\n") == 1
    many = [str(i) for i in range(MOST_UNITS + 1)]
    with pytest.raises(InputError, match="choose fewer"):
        analyse("x", many, {"a": [1.0] * len(many)}, {"b": [1.0] * len(many)})


def test_cost_per_correct_needs_a_floor(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["frontier", "--db", str(database), "--cost", "energy_j", "--lane", LANE, "--zone",
            "FRA"]  # fmt: skip
    assert run(observatory, [*base, "--json"]) == 0
    points = json.loads(capsys.readouterr().out)["groups"][0]["points"]
    assert {p["cost_per_correct"] for p in points} == {None}
    assert run(observatory, [*base, "--floor", "0.5", "--json"]) == 0
    points = json.loads(capsys.readouterr().out)["groups"][0]["points"]
    by = {p["model"]: p for p in points}
    assert by["SmolLM2-135M"]["cost_per_correct"] is None  # below the floor
    good = by["Pythia-160M"]
    assert good["cost_per_correct"] == pytest.approx(good["cost"] / 0.55)
    assert run(observatory, [*base, "--floor", "0.5", "--quality", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "per correct" in out and "hypervolume" in out and "a hundredth of score" in out
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 100


def test_an_assumed_error_is_shown_and_can_be_taken_away(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("model,phase,energy_j,per\nSmolLM2-135M,e2e,10,request\n"
                    "Pythia-160M,e2e,10.2,request\n")  # fmt: skip
    scores = tmp_path / "scores.csv"
    scores.write_text(SCORES.replace("0.40", "0.549"))
    path = tmp_path / "o.db"
    import_file(path, rows)
    import_file(path, scores)
    base = ["frontier", "--db", str(path), "--imported", "--lane", LANE]
    assert run(observatory, base) == 0
    out = capsys.readouterr().out
    assert "a relative one of 0.085 is assumed" in " ".join(out.split())
    assert run(observatory, [*base, "--json"]) == 0
    points = json.loads(capsys.readouterr().out)["groups"][0]["points"]
    assert all(p["cost_low"] < p["cost"] < p["cost_high"] for p in points)
    assert all(p["cost_assumed_rel"] == 0.085 for p in points)
    assert all(0.5 < p["p_on_frontier"] < 0.9 for p in points)  # 2 % apart is within the error
    assert run(observatory, [*base, "--assume-error", "0", "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    assert group["exact_costs"] == 2 and group["assumed_costs"] == 0


def test_inputs_that_leave_energy_out_are_marked(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["--db", str(database), "--lane", LANE, "--rule", "benevolent", "--workload", "100,50"]
    least = "lower bound: energy leaves out idle"
    code, out, _ = call(capsys, *base)
    assert code == 0 and "runtime_s, ≥ energy_j against" in out and f"≥ {least}" in out
    code, out, _ = call(capsys, *base, "--json")
    (found,) = json.loads(out)
    assert found["at_least"] == ["energy_j"] and found["lower_bound"] == least
    for whole in (["--boundary", "host"], ["--input", "runtime_s"]):
        code, out, _ = call(capsys, *base, *whole)
        assert code == 0 and "≥" not in out
