"""Cost beside capability over a store: own measurements, imported rows, HELM's two runtimes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from observatory.cli import observatory, run
from observatory.decision.frontier import Option, frontier_mask
from observatory.errors import InputError, UnknownNameError
from observatory.footprint import Scenario
from observatory.importing import import_file
from observatory.records import Workload
from observatory.store.database import open_read_only
from observatory.tradeoffs import Limits, frontier, rankings
from observatory.tradeoffs.candidates import ASSUMED_REL
from observatory.tradeoffs.helm import disagreement
from tests import synthetic

LANE = "synthetic-bench/accuracy/5-shot/own/generic"
SCORES = """model,phase,benchmark,metric,score,stderr,shots,harness,precision,source,licence
SmolLM2-135M,e2e,synthetic-bench,accuracy,0.40,0.01,5,own,,synthetic,CC0
Pythia-160M,e2e,synthetic-bench,accuracy,0.55,0.01,5,own,,synthetic,CC0
"""
LEGACY = "arc_challenge/accuracy/?/?/ml-energy-2023"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tradeoffs")
    path, scores = folder / "o.db", folder / "scores.csv"
    synthetic.record(path)
    synthetic.record(path, run_id="synthetic-2", model_name="Pythia-160M", scale=2.0)
    scores.write_text(SCORES)
    assert import_file(path, scores).scores_new == 2
    return path


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(observatory, list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_own_measurements_in_a_zone(database: Path) -> None:
    made = frontier(open_read_only(database), "co2e_g", LANE, Workload.request(500, 200),
                    Scenario(zone="FRA"), quality=0.5)  # fmt: skip
    (group,) = made.groups
    assert group.name == "FRA" and group.workload == "p=500 o=200 B=1"
    cheap, dear = group.points
    assert (cheap.model, dear.model) == ("SmolLM2-135M", "Pythia-160M")
    assert dear.cost == pytest.approx(2 * cheap.cost, rel=0.02)
    assert cheap.cost_low is not None and cheap.cost_low < cheap.cost < (cheap.cost_high or 0)
    assert cheap.on_frontier and dear.on_frontier and dear.p_on_frontier > 0.99
    (step,) = group.steps
    assert step.cost_per_quality == pytest.approx((dear.cost - cheap.cost) / 0.15)
    assert group.cheapest and group.cheapest.startswith("Pythia-160M")
    assert group.cheapest_robust == group.cheapest


def test_without_a_zone_three_example_zones_stand_side_by_side(database: Path) -> None:
    made = frontier(open_read_only(database), "water_l", LANE, Workload.request(128, 64))
    assert len(made.groups) == 3
    assert all(g.name.endswith("(example)") for g in made.groups)
    (one,) = frontier(
        open_read_only(database), "energy_j", LANE, Workload.request(128, 64)
    ).groups  # a country has no PUE of its own
    assert one.name == "every zone"
    (sweden,) = frontier(open_read_only(database), "energy_j", LANE, Workload.request(128, 64),
                         Scenario(zone="SWE")).groups  # fmt: skip
    assert one.points == sweden.points


def test_shared_factors_do_not_blur_the_order(database: Path) -> None:
    """Carbon intervals of the two models overlap, yet their order is sure: they share the grid."""
    made = frontier(open_read_only(database), "co2e_g", LANE, Workload.request(500, 200),
                    Scenario(zone="FRA"))  # fmt: skip
    cheap, dear = made.groups[0].points
    assert (cheap.cost_high or 0) > (dear.cost_low or 1e9)
    assert cheap.p_on_frontier > 0.99


def test_a_scenario_of_few_draws_still_gives_two_thousand_to_the_frontier(database: Path) -> None:
    made = [
        frontier(open_read_only(database), "co2e_g", LANE, Workload.request(500, 200),
                 Scenario(zone="FRA", draws=draws)).groups[0].points
        for draws in (100, 2000)
    ]  # fmt: skip
    assert made[0] == made[1]


def test_a_price_that_is_not_known_is_no_cost(database: Path) -> None:
    engine = open_read_only(database)
    with pytest.raises(InputError, match="--tariff"):
        frontier(engine, "cost_usd", LANE, Workload.request(128, 64), Scenario(zone="FRA"))
    priced = Scenario(zone="FRA", tariff_usd_per_kwh=0.1)
    made = frontier(engine, "cost_usd", LANE, Workload.request(128, 64), priced)
    assert all(p.cost > 0 for p in made.groups[0].points)


def test_limits_come_before_the_frontier(database: Path) -> None:
    engine, request = open_read_only(database), Workload.request(128, 64)
    free = frontier(engine, "runtime_s", LANE, request).groups[0]
    budget = (free.points[0].cost + free.points[1].cost) / 2
    for limits in (Limits(max_cost=budget), Limits(max_tpot_s=0.02), Limits(max_ttft_s=0.05)):
        group = frontier(engine, "runtime_s", LANE, request, limits=limits).groups[0]
        assert [p.model for p in group.points] == ["SmolLM2-135M"]
        assert group.left_out[0][0] == "Pythia-160M" and "over" in group.left_out[0][1]
    with pytest.raises(InputError, match=r"no model meets the limits: .*memory"):
        frontier(engine, "runtime_s", LANE, request, limits=Limits(max_memory_bytes=1.0))


def test_unknown_costs_and_lanes(database: Path) -> None:
    engine = open_read_only(database)
    with pytest.raises(UnknownNameError, match="did you mean co2e_g"):
        frontier(engine, "co2_g", LANE)
    with pytest.raises(UnknownNameError, match="lane"):
        frontier(engine, "energy_j", "synthetic-benchh")


def test_verb_gives_json_alone_and_tables_that_fit(
    capsys: pytest.CaptureFixture[str], database: Path
) -> None:
    arguments = ["frontier", "--db", str(database), "--cost", "co2e_g", "--lane",
                 "synthetic-bench/...", "--workload", "500,200", "--zone", "FRA"]  # fmt: skip
    code, out, _ = call(capsys, *arguments, "--json", "--against", "runtime_s")
    found = json.loads(out)
    assert code == 0 and found["groups"][0]["points"][0]["model"] == "SmolLM2-135M"
    assert found["lanes"] == [LANE] and found["badge"] is None
    code, out, _ = call(capsys, *arguments)
    assert code == 0 and max(len(line.rstrip()) for line in out.splitlines()) <= 100
    for bad, said in ((["--workload", "500"], "--workload"), (["--lane", "nothing"], "lane"),
                      (["--aliases", "nowhere.csv"], "aliases")):  # fmt: skip
        code, out, err = call(capsys, *arguments, *bad)
        assert (code, out) == (2, "") and said in err and err.count("\n") == 1


def test_two_lanes_carry_a_badge(capsys: pytest.CaptureFixture[str], database: Path) -> None:
    arguments = ["frontier", "--db", str(database), "--cost", "runtime_s", "--lane", "ifeval"]
    code, _, err = call(capsys, *arguments)
    assert code == 2 and "--mix-lanes" in err
    code, out, _ = call(capsys, *arguments, "--mix-lanes")
    assert code == 0 and "MIXED LANES" in out
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 100


@pytest.fixture(scope="module")
def legacy(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("legacy") / "l.db"
    folder = reference / "peers/ml_energy_v2/legacy"
    for name in ("A100_chat_benchmark.csv", "V100_chat_benchmark.csv", "score.csv"):
        import_file(path, folder / name)
    return path


def test_legacy_cost_against_capability_per_gpu(legacy: Path) -> None:
    made = frontier(open_read_only(legacy), "energy_j", LEGACY, imported=True)
    assert sorted(g.name.split(", ")[-1] for g in made.groups) == ["A100", "V100"]
    for group in made.groups:
        assert len(group.points) == 21
        mask = frontier_mask([p.cost for p in group.points], [p.score for p in group.points])
        assert [p.on_frontier for p in group.points] == mask.tolist()
        assert (group.exact_costs, group.exact_scores, group.assumed_costs) == (0, 21, 21)
        assert {p.cost_assumed_rel for p in group.points} == {ASSUMED_REL}
    billed = frontier(open_read_only(legacy), "co2e_g", LEGACY, imported=True,
                      scenario=Scenario(zone="FRA"))  # fmt: skip
    assert len(billed.groups) == 2 and all(p.cost > 0 for p in billed.groups[0].points)


def test_imported_costs_in_grams_need_a_place(legacy: Path) -> None:
    with pytest.raises(InputError, match="--zone"):
        frontier(open_read_only(legacy), "co2e_g", LEGACY, imported=True)


def test_rankings_of_two_costs(legacy: Path) -> None:
    engine = open_read_only(legacy)
    joules, seconds = (
        frontier(engine, c, LEGACY, imported=True) for c in ("energy_j", "runtime_s")
    )
    found = rankings(joules, seconds)
    assert len(found) == 2
    for _, agreed in found:
        assert agreed.pairs == 210 and agreed.tau_b is not None and 0 < agreed.tau_b < 1
        assert agreed.flipped > 0
    for _, agreed in rankings(joules, joules):
        assert agreed.tau_b == pytest.approx(1.0) and agreed.flipped == 0


def test_a_run_listed_twice_counts_once(reference: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    import_file(path, reference / "peers/mlperf_inference/summary_results_v4.1.json")
    scores = tmp_path / "s.csv"
    scores.write_text(SCORES.replace("SmolLM2-135M", "llama2-70b-99"))
    import_file(path, scores)
    made = frontier(open_read_only(path), "energy_j", LANE, imported=True)
    assert [[p.model for p in g.points] for g in made.groups] == [["llama2-70b-99"]] * 2


def test_helm_raw_and_idealized_runtimes_disagree(
    reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = reference / "helm/csv/inference_runtimes_and_accuracies_public.csv"
    made = disagreement(path)
    assert len(made.models) == 5 and made.models[0].scenarios == 73
    assert made.between.tau_b == pytest.approx(0.4) and made.between.flipped == 3
    assert made.between.flipped_share == pytest.approx(0.3)
    assert made.within.flipped == 356 and made.within.pairs == 1316
    assert set(made.frontier_raw) != set(made.frontier_idealized)
    assert ("openai_curie", "ai21_j1-large") in made.flipped_models
    code, out, _ = call(capsys, "frontier", "--helm", str(path), "--json")
    assert code == 0 and json.loads(out)["between"]["flipped_share"] == pytest.approx(0.3)


def test_helm_empty_accuracy_is_missing_and_not_zero(tmp_path: Path) -> None:
    header = "scenario,inference_runtime,inference_idealized_runtime,exact_match\n"
    rows = [
        "a:model=x,1,3,0.5",
        "a:model=y,2,1,0.6",
        "b:model=x,1,1,",
        "b:model=y,5,5,0.9",
        "c,1,1,1",
    ]
    path = tmp_path / "h.csv"
    path.write_text(header + "\n".join(rows) + "\n")
    made = disagreement(path)
    assert made.runs == 4 and [m.scenarios for m in made.models] == [1, 1]
    assert made.frontier_raw == ("x", "y") and made.frontier_idealized == ("y",)
    path.write_text(header)
    with pytest.raises(InputError, match="no scenario"):
        disagreement(path)


def test_route_verb(reference: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = reference / "expected/routing_example.json"
    code, out, _ = call(capsys, "route", str(path), "--json", "--judge-error", "0.2")
    found = json.loads(out)["cost_j"]
    assert code == 0 and found["router"]["apgr"] == pytest.approx(0.816667, abs=1e-6)
    assert found["router"]["aiq"]["range"] == pytest.approx(0.755, abs=1e-6)
    cascade = next(p for p in found["policies"] if p["policy"].startswith("cascade"))
    assert (cascade["cost"], cascade["quality"]) == pytest.approx((5.7, 0.78), abs=1e-6)
    items = tmp_path / "items.csv"
    items.write_text("item,model,correct,cost_usd,co2e_g\nq,a,1,0.1,2\nq,b,0,0.2,1\n")
    code, out, _ = call(capsys, "route", str(items), "--json")
    both = json.loads(out)
    assert code == 0 and set(both) == {"cost_usd", "co2e_g", "decided_by", "bills"}
    assert both["cost_usd"]["frontier"] == ["a"] and both["co2e_g"]["frontier"] == ["b", "a"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"), ("item,model\n", "no column"), ("{}", "`models` is no object"),
        ("item,model,correct,cost_j\nq,a,1,x\n", "is no number"),
        ("item,model,correct,cost_j\nq,a,1,1\nq,a,1,1\n", "repeats item"),
        ("item,model,correct,cost_j\nq,a,1,1\np,b,1,1\n", "every model must answer"),
        ("item,model,correct,cost_j\nq,a,7,1\n", "share between"),
        ('{"models": {"a": {}}, "items": {"q": {"a": 1}}}', "no cost"),
    ],
)  # fmt: skip
def test_bad_item_tables(
    content: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "items.csv"
    path.write_text(content)
    code, out, err = call(capsys, "route", str(path))
    assert (code, out) == (2, "") and said in err and err.count("\n") == 1


def test_import_verb_exit_codes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    database, good, bad = (str(tmp_path / n) for n in ("x.db", "good.csv", "bad.csv"))
    Path(good).write_text("model,phase,energy_j\nm,e2e,2\n")
    Path(bad).write_text("model,phase,energy_j\nm,e2e,3\nm,e2e,inf\n")
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    code, out, _ = call(capsys, "import", "--db", database, good, "--json")
    assert code == 0 and json.loads(out)["files"][0]["values_new"] == 1
    code, out, _ = call(capsys, "import", "--db", database, bad)
    assert code == 1 and "row 3: energy_j is inf" in out
    code, out, err = call(capsys, "import", "--db", database, "ml-energy-v3", str(broken))
    assert code == 2 and "broken JSON" in err
    assert max(len(line.rstrip()) for line in out.splitlines() or [""]) <= 100
    code, out, _ = call(capsys, "import", "--db", database, good)
    assert code == 0
    for wrong in ([], [str(tmp_path / "none.csv")], ["ml-energy-v9", good]):
        code, _, err = call(capsys, "import", "--db", database, *wrong)
        assert code == 2 and err.startswith("error:")


def test_ties_stay_on_the_frontier() -> None:
    one = Option("a", 1.0, 1.0)
    twin = replace(one, name="b")
    assert frontier_mask([one.cost, twin.cost], [one.quality, twin.quality]).all()


def test_break_even_against_a_list(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["breakeven", "SmolLM2-135M", "--db", str(database), "--zone", "FRA", "--prompt", "100",
            "--output", "50", "--json"]  # fmt: skip
    stated = ["--api-input-price", "1", "--api-output-price", "2"]
    code, out, _ = call(capsys, *base, *stated, "--gpu-price", "0.05")
    (found,) = json.loads(out)
    seconds = synthetic.runtime_s(100, 50)
    assert code == 0
    assert found["usd"]["requests_per_h"] == pytest.approx(0.05 / (200e-6))
    assert found["usd"]["capacity_per_h"] == pytest.approx(3600 * 0.5 / seconds, rel=0.01)
    assert found["co2e_g"] is None and "--provider-wh" in found["energy_reason"]
    code, out, _ = call(capsys, *base, *stated)
    (found,) = json.loads(out)
    assert found["usd"] is None and "--gpu-price" in found["usd_reason"]
    code, out, _ = call(capsys, *base, *stated, "--gpu-price", "0.05", "--embodied-kg", "50",
                        "--provider-wh", "0.1,0.5")  # fmt: skip
    (found,) = json.loads(out)
    carbon = found["co2e_g"]
    assert carbon["low_per_h"] > 0 and carbon["own_at_capacity"] > 0
    assert carbon["high_per_h"] is None or carbon["high_per_h"] > carbon["low_per_h"]
    for bad in (["--utilisation", "0"], ["--provider-wh", "x"], ["--api", "no-such-model-9"]):
        arguments = base if "--api" in bad else [*base, *stated]
        code, out, err = call(capsys, *arguments, *bad)
        assert (code, out) == (2, "") and err.count("\n") == 1


def test_an_unlisted_price_gives_no_volume(database: Path) -> None:
    from observatory.catalog.prices import ApiPrice
    from observatory.tradeoffs.breakeven import against
    from observatory.verbs.breakeven import _volume

    offer = ApiPrice("p", "m", None, 2.0, None, None, None, None, None, False, "synthetic")
    (made,) = against(open_read_only(database), "SmolLM2-135M", Workload.request(100, 50), [offer],
                      0.5, Scenario(zone="FRA", gpu_price_usd_per_h=1.0))  # fmt: skip
    assert made.usd is not None and made.usd.requests_per_h is None
    assert made.usd.reason == "the provider's cost is unknown"
    assert _volume(made.usd) is None  # not "never", which would say that the provider is cheaper


def test_a_break_even_on_a_part_of_the_energy_is_a_lower_bound(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["breakeven", "SmolLM2-135M", "--db", str(database), "--zone", "FRA", "--prompt", "100",
            "--output", "50", "--api-input-price", "1", "--api-output-price", "2"]  # fmt: skip
    least = "lower bound: energy leaves out idle"
    bought = ["--capex", "100", "--tariff", "0.1", "--provider-wh", "0.1,0.5", "--embodied-kg", "1"]
    code, out, _ = call(capsys, *base, *bought)
    assert code == 0 and f"≥ {least}" in out and "at best from the first" in out
    assert out.count("≥ ") == 3  # money, carbon and the note
    code, out, _ = call(capsys, *base, *bought, "--json")
    (found,) = json.loads(out)
    assert found["lower_bound"] == least
    assert all(found[name]["lower_bound"] for name in ("usd", "co2e_g", "water_l"))
    for whole in (["--gpu-price", "0.05"], [*bought, "--boundary", "host"]):
        code, out, _ = call(capsys, *base, *whole)
        assert code == 0 and "≥" not in out and "at best" not in out
