"""Bills of routing policies: by hand, from the store, and what is said of what is unknown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from observatory.cli import observatory, run
from observatory.decision import policies
from observatory.decision.items import Items
from observatory.errors import InputError, UnknownNameError
from observatory.footprint import Scenario
from observatory.importers.items import Tables
from observatory.tradeoffs.routing import Choices, decisive, lab
from observatory.tradeoffs.routing_answer import rows
from observatory.tradeoffs.routing_bills import RoutingBills, bill_policies
from observatory.tradeoffs.routing_use import uses
from tests import synthetic

STATED = Scenario(zone=None, carbon_intensity_g_per_kwh=360.0, pue=1.5, wue_l_per_kwh=1.0,
                  ewif_l_per_kwh=2.0, tariff_usd_per_kwh=0.1)  # fmt: skip
CORRECT = [[1, 1], [0, 1], [0, 1], [1, 1], [0, 0]]
JOULES = {"small": 1.0, "large": 10.0}


def items(correct: list[list[int]], **columns: list[list[float]]) -> Tables:
    names, models = [f"q{i}" for i in range(len(correct))], ["small", "large"]
    arrays = {c: np.array(v, dtype=float) for c, v in columns.items()}
    tables = {c: Items.of(names, models, correct, v) for c, v in arrays.items()
              if not np.isnan(v).any()}  # fmt: skip
    return Tables(tables, tuple(float(-i) for i in range(len(names))), arrays)


def joules(correct: list[list[int]] = CORRECT) -> Tables:
    return items(correct, cost_j=[[JOULES["small"], JOULES["large"]]] * len(correct))


def billed(tables: Tables, scenario: Scenario = STATED, **more: Any) -> RoutingBills:
    made = lab(tables.by_cost[decisive(tables.by_cost)], tables.router)
    return bill_policies(made.policies, made.reference,
                         uses(tables, made.table.models, **more), scenario)  # fmt: skip


def test_bills_by_hand() -> None:
    """10 J of IT energy: ×1.5 /3600 Wh; 360 g/kWh; 1 L/kWh of IT and 2 L/kWh at the facility."""
    made = {p.name: p for p in billed(joules()).policies}
    large = made["always large"].bills
    wh = 10 * 1.5 / 3600
    assert large["energy_wh"].value == pytest.approx(wh)
    assert large["co2e_operational_g"].value == pytest.approx(wh / 1000 * 360)
    assert large["water_l"].value == pytest.approx(10 / 3.6e6 * 1.0 + wh / 1000 * 2.0)
    assert large["cost_usd"].value == pytest.approx(wh / 1000 * 0.1)
    oracle = made["oracle"]  # small solves q0 and q3, and is charged for q4, which nobody solves
    assert oracle.bills["energy_wh"].value == pytest.approx((3 * 1 + 2 * 10) / 5 * 1.5 / 3600)
    assert oracle.quality.value == pytest.approx(0.8)
    assert oracle.saved["co2e_operational_g"].value == pytest.approx(1 - 4.6 / 10)
    for policy in made.values():
        for saving in policy.saved.values():
            assert saving.value is not None and saving.low is not None and saving.high is not None
            assert saving.low <= saving.value + 1e-9 and saving.value <= saving.high + 1e-9


def test_what_policies_share_cancels_in_a_saving() -> None:
    """Without sampling (one item) and with exact joules the saving has no width in any grid."""
    made = billed(joules([[0, 1]]), Scenario(zone="FRA"), error_rel=0.0)
    (small,) = (p for p in made.policies if p.name == "always small")
    carbon, saved = small.bills["co2e_operational_g"], small.saved["co2e_operational_g"]
    assert carbon.low is not None and carbon.high is not None and carbon.low < carbon.high
    assert (saved.low, saved.value, saved.high) == pytest.approx((0.9, 0.9, 0.9))
    assert saved.p_saves == 1.0
    wider = billed(joules([[0, 1]]), Scenario(zone="FRA")).policies[0].saved["energy_wh"]
    assert wider.high is not None and wider.low is not None and wider.high > wider.low


def test_more_items_say_more() -> None:
    few, many = (billed(joules(CORRECT * k), error_rel=0.0).policies for k in (4, 400))

    def width(made: Any) -> float:
        saved = next(p for p in made if p.kind == "oracle").saved["energy_wh"]
        return float(saved.high - saved.low)

    assert width(many) == pytest.approx(width(few) / 10, rel=0.15)
    quality: Any = next(p for p in many if p.kind == "oracle").quality
    error = np.sqrt(0.8 * 0.2 / 1999) * 1.645  # of a share among 2000 items
    assert quality.high - quality.value == pytest.approx(error, rel=0.02)


def test_money_by_list_price_and_by_the_file() -> None:
    tables = items(CORRECT, cost_j=[[1, 10]] * 5, prompt_tokens=[[100, 100]] * 5,
                   output_tokens=[[50, 80]] * 5)  # fmt: skip
    bare = Scenario(carbon_intensity_g_per_kwh=1.0)
    prices = {"small": (1.0, 2.0), "large": (10.0, 30.0)}
    made = billed(tables, bare, prices=prices)
    by = {p.name: p for p in made.policies}
    assert made.cost_basis == "api"
    assert by["always large"].bills["cost_usd"].value == pytest.approx((1000 + 2400) / 1e6)
    half = billed(tables, bare, prices={"small": (1.0, 2.0)})
    by = {p.name: p for p in half.policies}
    assert by["always small"].bills["cost_usd"].value == pytest.approx(200 / 1e6)
    assert by["always large"].bills["cost_usd"].value is None
    assert "no price of large" in (by["always large"].bills["cost_usd"].reason or "")
    assert by["oracle"].saved["cost_usd"].value is None
    stated = items(CORRECT, cost_j=[[1, 10]] * 5, cost_usd=[[0.1, 0.3]] * 5)
    made = billed(stated, bare)
    assert made.policies[1].bills["cost_usd"].value == pytest.approx(0.3)
    none = billed(joules(), bare).policies[0].bills["cost_usd"]
    assert none.value is None and "--tariff" in (none.reason or "")


def test_unknown_joules_are_no_zero() -> None:
    nan = float("nan")
    tables = items(CORRECT, cost_usd=[[0.1, 0.3]] * 5, cost_j=[[1.0, nan]] * 5)
    assert list(tables.by_cost) == ["cost_usd"]
    by = {p.name: p for p in billed(tables).policies}
    assert by["always small"].bills["energy_wh"].value is not None
    for name in ("energy_wh", "co2e_operational_g", "water_l"):
        bill = by["oracle"].bills[name]
        assert bill.value is None and "energy of large is unknown" in (bill.reason or "")
        assert by["oracle"].saved[name].value is None
    assert by["always small"].saved["energy_wh"].value is None  # nothing to compare with
    assert by["oracle"].bills["cost_usd"].value == pytest.approx(0.18)  # the file knows it
    electric = replace(STATED, cost_basis="electricity")
    money = billed(tables, electric).policies[1].bills["cost_usd"]
    assert money.value is None and "energy of large" in (money.reason or "")


def test_joules_of_a_facility_hold_its_pue() -> None:
    made = billed(joules(), covers="facility").policies[1].bills["energy_wh"]
    assert made.value == pytest.approx(10 / 3600)
    device = billed(joules(), covers="device", scenario=Scenario(boundary="device", zone="FRA"))
    assert device.policies[1].bills["energy_wh"].value == pytest.approx(10 / 3600)
    for wrong in ({"covers": "rack"}, {"prices": {"other": (1.0, 1.0)}}):
        with pytest.raises(UnknownNameError):
            billed(joules(), **wrong)


def test_a_policy_decided_by_one_cost_pays_every_bill() -> None:
    tables = items(CORRECT, cost_j=[[1, 10]] * 5, cost_usd=[[5.0, 1.0]] * 5)
    made = lab(tables.by_cost["cost_usd"], None)
    asked = policies.oracle(tables.by_cost["cost_usd"])
    assert asked.calls[:, 1].tolist() == [1, 1, 1, 1, 1]  # large is the cheaper one in money
    found = bill_policies(made.policies, made.reference, uses(tables, made.table.models), STATED)
    oracle = next(p for p in found.policies if p.kind == "oracle")
    assert oracle.bills["energy_wh"].value == pytest.approx(10 * 1.5 / 3600)
    assert decisive(tables.by_cost) == "cost_j"
    with pytest.raises(UnknownNameError):
        decisive(tables.by_cost, "cost_eur")
    with pytest.raises(InputError, match="share"):
        lab(tables.by_cost["cost_j"], None, Choices(strong_share=2.0))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("routing") / "o.db"
    synthetic.record(path)
    synthetic.record(path, run_id="synthetic-2", model_name="Pythia-160M", scale=2.0)
    return path


def test_tokens_become_joules_of_a_measured_configuration(
    database: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "items.csv"
    rows = [f"q{i},{m},{c},{p},{o}" for i, (p, o) in enumerate([(100, 50), (300, 20)])
            for m, c in (("small", i), ("large", 1))]  # fmt: skip
    path.write_text("item,model,correct,prompt_tokens,output_tokens\n" + "\n".join(rows))
    base = ["route", str(path), "--db", str(database), "--zone", "FRA", "--boundary", "host"]
    both = ["--configuration", "small=SmolLM2-135M", "--configuration", "large=Pythia-160M"]
    code = run(observatory, [*base, *both, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == 0 and found["decided_by"] == "prompt_tokens"
    (bills,) = found["bills"]
    by = {p["policy"]: p for p in bills["policies"]}
    seconds = (synthetic.runtime_s(100, 50) + synthetic.runtime_s(300, 20)) / 2
    watts = synthetic.CPU_W + synthetic.DRAM_W
    assert by["always small"]["bills"]["energy_wh"]["value"] == pytest.approx(
        seconds * watts / 3600, rel=0.02
    )
    assert by["always small"]["saved"]["energy_wh"]["value"] == pytest.approx(0.5, abs=0.02)
    assert any("joules and seconds of SmolLM2-135M" in note for note in bills["notes"])
    code = run(observatory, [*base, *both[:2]])
    out = capsys.readouterr().out
    assert code == 0 and max(len(line.rstrip()) for line in out.splitlines()) <= 100
    assert "energy of large is unknown" in " ".join(out.split())
    for bad, said in (
        (["--configuration", "small"], "MODEL=KEY"), (["--price", "small=0,1"], "unknown price"),
        (["--configuration", "tiny=SmolLM2-135M"], "tiny"), (["--decide-by", "x_j"], "x_j"),
        (["--zone", "Atlantis"], "Atlantis"),
    ):  # fmt: skip
        code = run(observatory, [*base, *bad])
        captured = capsys.readouterr()
        assert (code, captured.out) == (2, "") and said in captured.err
        assert captured.err.count("\n") == 1


def test_three_example_zones_without_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item,model,correct,cost_wh\nq,a,1,0.1\nq,b,0,0.2\n")
    code = run(observatory, ["route", str(path), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == 0 and len(found["bills"]) == 3 and all(b["example"] for b in found["bills"])
    assert found["bills"][0]["policies"][0]["bills"]["energy_wh"]["value"] == pytest.approx(
        0.1 * 1.54, rel=1e-6
    )


def test_the_example_is_said_to_be_synthetic(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(observatory, ["route", "--example", "--zone", "FRA", "--json"])
    captured = capsys.readouterr()
    assert code == 0 and "synthetic" in captured.err and "nothing was measured" in captured.err
    found = json.loads(captured.out)
    assert found["decided_by"] == "energy_j" and len(found["bills"]) == 1
    for wrong in (["route"], ["route", "--example", "items.csv"]):
        code = run(observatory, wrong)
        captured = capsys.readouterr()
        assert (code, captured.out) == (2, "") and "--example" in captured.err


def test_joules_of_the_device_alone_make_lower_bounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    least = "lower bound: energy leaves out cpu, dram, idle"
    made = billed(joules(), covers="device")
    assert made.lower_bound == least and made.to_json()["lower_bound"] == least
    for policy in made.policies:
        assert all(bill.lower_bound for bill in policy.bills.values())
        assert policy.to_json()["bills"]["energy_wh"]["lower_bound"] is True
    assert {row["lower_bound"] for row in rows(made)} == {least}
    rented = billed(joules(), replace(STATED, cost_basis="api", api_input_usd_per_mtok=1.0,
                                      api_output_usd_per_mtok=1.0), covers="device")  # fmt: skip
    assert not any(p.bills["cost_usd"].lower_bound for p in rented.policies)
    whole = billed(joules())
    assert whole.lower_bound is None and {row["lower_bound"] for row in rows(whole)} == {None}
    assert not any(b.lower_bound for p in whole.policies for b in p.bills.values())
    path = tmp_path / "items.csv"
    path.write_text("item,model,correct,cost_j\na,s,1,1\na,l,1,9\nb,s,0,1\nb,l,1,9\n")
    for covers, many in (("device", 4 * 3), ("wall", 0)):
        assert run(observatory, ["route", str(path), "--zone", "FRA", "--joules", covers]) == 0
        out = capsys.readouterr().out
        assert (f"≥ {least}; what is saved is a share of the rest" in out) is bool(many)
        assert out.count("≥ ") >= many if many else "≥" not in out
        assert max(map(len, out.splitlines())) <= 100
