"""The verbs footprint, compare, scenario and recompute, through the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import text

from observatory.cli import observatory, run
from observatory.footprint import factors as registry
from observatory.footprint.compat import DEPARTURES
from observatory.footprint.cost import BASES
from observatory.store.database import open_database, open_read_only
from observatory.verbs import billing, compat_modes
from tests import synthetic

Capture = pytest.CaptureFixture[str]
PLAIN = ("footprint", "--it-energy-wh", "4", "--pue", "1.17", "--wue", "0.55",
         "--ewif", "3.142", "--carbon-intensity", "367")  # fmt: skip


def call(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    code = run(observatory, list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def loads(capsys: Capture, *arguments: str) -> Any:
    code, out, err = call(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("bills") / "o.db"
    synthetic.record(path)
    synthetic.record(path, run_id="synthetic-2", model_name="Pythia-160M", scale=2.0)
    return str(path)


def test_plain_numbers(capsys: Capture) -> None:
    (made,) = loads(capsys, *PLAIN)["footprints"]
    assert made["energy_wh"]["value"] == pytest.approx(4.68)
    assert made["co2e_operational_g"]["value"] == pytest.approx(4.68 * 0.367)
    assert made["water_on_site_l"]["value"] == pytest.approx(2.2e-3)
    assert made["water_l"]["value"] == pytest.approx(16.90456e-3)
    assert made["cost_usd"]["value"] is None and "--tariff" in made["cost_usd"]["reason"]
    for name in ("boundary", "zone", "edition", "kind", "method"):
        assert name in made
    assert made["boundary"] == "facility" and made["method"] == "stated"


def test_tables_fit_and_name_what_qualifies_them(capsys: Capture) -> None:
    for arguments in (PLAIN, ("footprint", "--device-wh", "0.14", "--host-wh", "0.06", "--idle-wh",
                              "0.02", "--ladder"), ("compare", "4Wh", "3Wh")):  # fmt: skip
        code, out, _ = call(capsys, *arguments)
        assert code == 0
        assert max(len(line.rstrip()) for line in out.splitlines()) <= 100
        for word in ("boundary facility", "edition 2026.1", "carbon ", "energy stated"):
            assert word in out.replace("\n    ", " "), (arguments, word)


def test_no_zone_shows_three_named_examples(capsys: Capture) -> None:
    made = loads(capsys, "footprint", "--it-energy-wh", "4")["footprints"]
    assert [m["zone"] for m in made] == ["SWE", "USA", "IND"]
    assert all(m["example"] for m in made)
    _, out, _ = call(capsys, "footprint", "--it-energy-wh", "4")
    assert "three example zones" in out


def test_units_of_work(capsys: Capture) -> None:
    one = loads(capsys, *PLAIN)["footprints"][0]["water_l"]["value"]
    per = {
        ("--per", "1000-requests"): 1000.0,
        ("--per", "output-token", "--output", "200"): 1 / 200,
        ("--per", "correct-answer", "--accuracy", "0.5"): 2.0,
    }
    for arguments, factor in per.items():
        made = loads(capsys, *PLAIN, *arguments)["footprints"][0]
        assert made["water_l"]["value"] == pytest.approx(factor * one)


def test_csv_and_sources(capsys: Capture, tmp_path: Path) -> None:
    code, out, _ = call(capsys, *PLAIN, "--csv", "--per", "1000-requests")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0 and len(rows) == 1
    assert float(rows[0]["water_l"]) == pytest.approx(16.90456)
    assert rows[0]["cost_usd"] == "" and "--tariff" in rows[0]["cost_reason"]
    for name in ("boundary", "zone", "edition", "kind", "method"):
        assert name in rows[0]
    _, out, _ = call(capsys, "footprint", "--it-energy-wh", "4", "--zone", "FRA", "--sources")
    flat = " ".join(out.split())
    assert "pue:industry = 1.54 1 (2026.1, assumed): https://" in flat
    made = loads(capsys, "footprint", "--it-energy-wh", "4", "--zone", "FRA")
    assert {f["id"] for f in made["factors"]} == set(made["footprints"][0]["factor_ids"])
    assert all(f["source"] for f in made["factors"])
    (tmp_path / "s.yaml").write_text("request: {it_energy_wh: 4}\nmatrix: {pue: [1.1, 1.5]}\n")
    _, out, _ = call(capsys, "scenario", str(tmp_path / "s.yaml"), "--csv")
    assert [row["pue"] for row in csv.DictReader(io.StringIO(out))] == ["1.1", "1.5"]


def test_a_stated_mix(capsys: Capture) -> None:
    common = ("footprint", "--it-energy-wh", "1000", "--pue", "1", "--zone", "FRA")
    for rule, litres in (("zero", 0.5 * 1.8019), ("allocated", 0.5 * (1.8019 + 17.0003))):
        made = loads(capsys, *common, "--mix", "coal=0.5,hydro=0.5", "--hydro-rule", rule)
        off = made["footprints"][0]["water_off_site_l"]["value"]
        assert off == pytest.approx(litres)


def test_choices_are_numbers_of_their_own(capsys: Capture) -> None:
    made = loads(capsys, "footprint", "--it-energy-wh", "1000", "--pue", "1", "--wue", "0",
                 "--zone", "USA")["footprints"][0]  # fmt: skip
    by = {(c["choice"], c["option"]): c["value"] for c in made["choices"]}
    assert by["hydro rule", "allocated"] == pytest.approx(2.0678)
    assert made["water_l"]["value"] == pytest.approx(1.1317)
    assert by["kind", "average-direct"] != made["co2e_operational_g"]["value"]
    assert by["boundary", "wall"] == pytest.approx(1000)
    assert ("boundary", "device") not in by  # only the sum is known
    assert ("kind", "marginal") not in by
    _, out, _ = call(capsys, "footprint", "--it-energy-wh", "1000", "--pue", "1", "--zone", "SWE")
    assert "7.95 L with hydro rule allocated" in " ".join(out.split())


def test_sci_and_ladder(capsys: Capture) -> None:
    made = loads(capsys, "footprint", "--it-energy-wh", "1000", "--pue", "1", "--carbon-intensity",
                 "300", "--embodied-kg", "1000", "--lifetime-years", "4", "--active-share", "1",
                 "--busy-s", "3600", "--sci", "request", "--ladder")  # fmt: skip
    assert made["sci"][0]["sci_g"] == pytest.approx(328.54, abs=0.01)
    assert made["sci"][0]["functional_unit"] == "request"
    assert [r["boundary"] for r in made["ladder"]] == ["device", "host", "wall", "facility"]


def test_one_hour_with_its_level(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "ci.csv").write_text(
        "datetime,carbon_intensity\n2025-07-01T14:00Z,50\n2025-07-02T14:00Z,150\n"
    )
    common = ("footprint", "--it-energy-wh", "1000", "--pue", "1", "--zone", "FRA", "--kind",
              "average-lifecycle", "--hourly-intensity", str(tmp_path / "ci.csv"))  # fmt: skip
    for moment, grams, level in (("2025-07-01T14:20Z", 50, "hour"), ("2025-07-09T14:00Z", 100,
                                 "month"), ("2025-01-09T14:00Z", 41.44, "year")):  # fmt: skip
        made = loads(capsys, *common, "--at", moment)["footprints"][0]
        assert made["co2e_operational_g"]["value"] == pytest.approx(grams)
        assert any(f"level {level}" in note for note in made["notes"])


def test_scarcity_from_a_users_file(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "aware.csv").write_text(
        "zone,cf_non_irri_yearly,unit\nFR,2.5,m3 world-eq./m3 consumed\n"
    )
    made = loads(capsys, "footprint", "--it-energy-wh", "4", "--zone", "FRA", "--scarcity",
                 str(tmp_path / "aware.csv"))["footprints"][0]  # fmt: skip
    assert made["water_scarcity_l"]["value"] == pytest.approx(2.5 * made["water_l"]["value"])


@pytest.mark.parametrize("mode", sorted(DEPARTURES))
def test_compat_modes(capsys: Capture, mode: str) -> None:
    made = loads(capsys, "footprint", "--as", mode, "--it-energy-wh", "4", "--pue", "1.2", "--wue",
                 "0.569", "--ewif", "3.1321", "--carbon-intensity", "384.4", "--output", "100",
                 "--tokens-per-s", "50", "--ttft-s", "0.4", "--power-kw", "0.7",
                 "--active-params-b", "8.03", "--total-params-b", "8.03")  # fmt: skip
    assert made["mode"] == mode and made["departure"] == DEPARTURES[mode]
    assert made["energy_wh"] > 0 and made["water_l"] > 0
    if mode == "ecologits-0.11.3":
        assert made["energy_wh"] == pytest.approx(8.91889860032445e-3, rel=1e-9)
    code, _, err = call(capsys, "footprint", "--as", mode)
    assert code == 2 and f"--as {mode} needs --" in err


def test_user_factors_and_edition(capsys: Capture, tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("kind,zone,value,unit,source\n"
                    "carbon_intensity.average-lifecycle,FRA,10,gCO2e/kWh,my meter\n")  # fmt: skip
    common = ("footprint", "--it-energy-wh", "1000", "--pue", "1", "--zone", "FRA")
    shipped = loads(capsys, *common)["footprints"][0]
    own = loads(capsys, *common, "--factors", str(mine))["footprints"][0]
    old = loads(capsys, *common, "--edition", "2025.1")["footprints"][0]
    values = [m["co2e_operational_g"]["value"] for m in (shipped, own, old)]
    assert values == pytest.approx([41.44, 10, 56.039])
    assert own["edition"].startswith("2026.1+") and old["edition"] == "2025.1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("footprint",), "no energy"),
        (("footprint", "--it-energy-wh", "4", "--device-wh", "1"), "one sum"),
        (("footprint", "--it-energy-wh", "-4"), "--it-energy-wh -4: must be 0"),
        (("footprint", "--it-energy-wh", "4", "--pue", "0.9"), "--pue 0.9: must"),
        (("footprint", "--it-energy-wh", "4", "--carbon-intensity", "-1"),
         "--carbon-intensity -1: must be 0 or more"),
        (("footprint", "--it-energy-wh", "4", "--zone", "Frankreich"), "unknown zone"),
        (("footprint", "--it-energy-wh", "4", "--zone", "USA", "--zone", "US-TX"), "kinds"),
        (("footprint", "--it-energy-wh", "4", "--edition", "1984"), "unknown factor edition"),
        (("footprint", "--it-energy-wh", "4", "--tariff", "cheap"), "neither a number"),
        (("footprint", "--it-energy-wh", "4", "--per", "output-token"), "--output"),
        (("footprint", "--it-energy-wh", "4", "--per", "correct-answer"), "--accuracy"),
        (("footprint", "--it-energy-wh", "4", "--zone", "FRA", "--at", "noon"), "ISO 8601"),
        (("footprint", "--it-energy-wh", "4", "--zone", "FRA", "--at", "2025-01-01T00:00Z"),
         "--hourly-intensity"),
        (("footprint", "--it-energy-wh", "4", "--mix", "coal=0.5,wind=0.6"), "add to 1.1, not"),
        (("footprint", "--it-energy-wh", "4", "--mix", "coal"), "needs FUEL=SHARE"),
        (("footprint", "--it-energy-wh", "4", "--mix", "coal=x"), "not a number"),
        (("compare", "4Wh", "3Wh", "--zone-b", "SWE"), "exactly one --zone"),
        (("scenario", "none.yaml"), "cannot read"),
        (("recompute", "--db", "none.db"), "no database"),
        (("compare", "x", "y", "--db", "none.db"), "none.db"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_compare_measured_configurations(capsys: Capture, database: str) -> None:
    (made,) = loads(capsys, "compare", "Pythia-160M", "SmolLM2-135M", "--prompt", "100",
                    "--output", "20", "--zone", "FRA", "--db", database)  # fmt: skip
    by = {s["quantity"]: s for s in made["statements"]}
    assert by["energy_wh"]["change"] == pytest.approx(-0.5, abs=0.01)  # the law: half the time
    assert by["energy_wh"]["verdict"] == "B is lower"
    assert made["sentence"].startswith("Moving from Pythia-160M to SmolLM2-135M saves")
    for name in ("boundary", "edition", "kind", "method"):
        assert made[name]
    places = loads(capsys, "compare", "SmolLM2-135M", "SmolLM2-135M", "--zone", "POL", "--zone-b",
                   "SWE", "--db", database)[0]  # fmt: skip
    carbon = next(s for s in places["statements"] if s["quantity"] == "co2e_operational_g")
    assert carbon["change"] == pytest.approx(35.26 / 588.6 - 1)
    assert "SmolLM2-135M in POL" in places["sentence"]
    code, _, err = call(capsys, "compare", "Pythia", "SmolLM2-135M", "--db", database)
    assert code == 2 and "did you mean Pythia-160M" in err


def test_scenario_file(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("request: {it_energy_wh: 4}\nmatrix: {zone: [SWE, USA], pue: [1.1, 1.5]}\n")
    made = loads(capsys, "scenario", str(path))
    assert [p["coordinates"]["zone"] for p in made["points"]] == ["SWE", "SWE", "USA", "USA"]
    assert len(made["changes"]) == 3
    assert all(p["edition"] and p["boundary"] and p["kind"] for p in made["points"])
    code, out, _ = call(capsys, "scenario", str(path))
    assert code == 0 and "Moving from zone=SWE pue=1.1 to zone=USA pue=1.5" in " ".join(out.split())
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 100


def test_recompute_adds_an_edition_and_keeps_the_old(capsys: Capture, tmp_path: Path) -> None:
    path = str(tmp_path / "o.db")
    synthetic.record(Path(path))
    open_database(path).dispose()

    def rows() -> pd.DataFrame:
        query = text("SELECT * FROM estimate ORDER BY id")
        engine = open_read_only(path)
        frame = pd.read_sql_query(query, engine)
        engine.dispose()
        return frame

    before = rows()
    assert set(before["edition"]) == {"2026.1"}
    done = loads(capsys, "recompute", "--edition", "2025.1", "--db", path)
    after = rows()
    assert done["added"] == len(before) == len(after) - len(before)
    pd.testing.assert_frame_equal(after.head(len(before)), before)
    pick = after[(after["bill"] == "co2e_operational_g") & (after["zone"] == "USA")]
    by = pick.set_index("edition")["mid"]
    assert by["2025.1"] / by["2026.1"] == pytest.approx(
        (369.473 * 1.58) / (384.4 * 1.54)  # the industry's average PUE changed with the edition too
    )
    assert loads(capsys, "recompute", "--edition", "2025.1", "--db", path)["added"] == 0


def test_choices_in_help_are_those_of_the_registry() -> None:
    """Verbs keep literal copies so that --help stays fast: they must not drift."""
    assert billing.KINDS == registry.KINDS_OF_CARBON
    assert billing.HYDRO == registry.HYDRO_RULES
    assert billing.COOLING == registry.COOLING
    assert billing.BASES == BASES
    assert set(compat_modes.MODES) == set(DEPARTURES) == set(compat_modes.NEEDS)
