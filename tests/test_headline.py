"""The sentence that answers first claims no more than errors allow, and says what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from observatory import answers
from observatory.answers import Estimate
from observatory.cli import observatory, run
from observatory.exports.card import snippet
from observatory.footprint import Scenario
from observatory.footprint.result import lower_bound, lower_bound_of
from observatory.headline import faster, headline
from observatory.records import Workload
from observatory.store.database import open_read_only
from tests import synthetic

FRANCE = Scenario(zone="FRA")
LEAST = "lower bound: energy leaves out idle"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("headline") / "two.db"
    synthetic.record(path, "synthetic-1")
    synthetic.record(path, "synthetic-2", model_name="Pythia-160M", scale=1.3)
    return path


def pair(database: Path, error: float, scenario: Scenario = FRANCE) -> list[Estimate]:
    """Two models, the second 1.3 times as slow, whose runtimes are off by `error`."""
    found = answers.estimate(open_read_only(database), Workload.request(128, 32), scenario)
    return [
        replace(e, error_rel=error, runtime_low_s=e.runtime_s * (1 - error),
                runtime_high_s=e.runtime_s * (1 + error))
        for e in found
    ]  # fmt: skip


def test_overlapping_intervals_are_undecided_and_never_level(database: Path) -> None:
    found = pair(database, 0.5)
    said = headline(found)
    assert "level" not in said
    p = faster(*found).p_less
    assert 0.7 < p < 0.9
    assert f"and Pythia-160M perhaps 1.30 times as long (P(slower) = {p:.2f}, undecided)" in said


def test_overlap_does_not_hide_a_difference_that_the_draws_show(database: Path) -> None:
    found = pair(database, 0.15)
    assert found[0].runtime_high_s > found[1].runtime_low_s  # type: ignore[operator]
    p = faster(*found).p_less
    assert 0.95 < p < 0.995
    assert f", and Pythia-160M 1.30 times as long (P(slower) = {p:.2f})" in headline(found)
    assert "P(slower) > 0.99)" in headline(pair(database, 0.01))


def test_without_an_error_there_is_no_probability(database: Path) -> None:
    found = [replace(e, error_rel=None) for e in pair(database, 0.1)]
    assert "Pythia-160M takes 1.30 times as long (no interval)" in headline(found)


def test_joules_name_their_boundary_and_both_units(database: Path) -> None:
    e = pair(database, 0.1)[0]
    assert e.energy_j is not None
    wh = e.footprints[0].energy_wh.value
    assert wh is not None
    said = headline([e])
    assert f"{e.energy_j:.3g} J at the boundary host, at least {wh * 3600:.3g} J (" in said
    assert "mWh) at the boundary facility: at least" in said
    alone = headline([pair(database, 0.1, Scenario(zone="FRA", boundary="host"))[0]])
    assert "at the boundary host: " in alone and "facility" not in alone
    assert "at least" not in alone and "leaves out" not in alone  # nothing of the host is missing


def test_a_lower_bound_is_called_one_everywhere(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = pair(database, 0.1)
    assert found[0].footprints[0].lower_bound == LEAST
    assert LEAST.capitalize() in headline(found)
    card = snippet(found)
    assert f"≥ {LEAST}." in card and f'source: "Inference Observatory ({LEAST})"' in card
    assert card.count("| ≥ ") == 2 * 3  # energy, carbon and water of both
    rented = pair(database, 0.1, Scenario(zone="FRA", gpu_price_usd_per_h=3.0))
    assert snippet(rented).count("| ≥ ") == 2 * 3  # a device hour has no energy in it
    powered = pair(database, 0.1, Scenario(zone="FRA", tariff_usd_per_kwh=0.3))
    assert snippet(powered).count("| ≥ ") == 2 * 4
    asked = ["--db", str(database), "--zone", "FRA", "--prompt", "128", "--output", "32"]
    for verb in (["estimate"], ["compare", "SmolLM2-135M", "Pythia-160M"], ["card", "Pythia-160M"],
                 ["export", "--what", "footprint", "--format", "latex"],
                 ["frontier", "--cost", "energy_j", "--lane",
                  "lambada_openai/acc/0-shot/lm-eval/github-eleutherai-pythia"]):  # fmt: skip
        options = asked
        if verb[0] == "frontier":
            options = [*asked[:4], "--workload", "128,32"]
        assert run(observatory, [*verb, *options]) == 0, capsys.readouterr().err
        said = " ".join(capsys.readouterr().out.split())
        assert LEAST in said, verb
        assert run(observatory, [*verb, *options, "--boundary", "host"]) == 0
        assert "lower bound: energy" not in capsys.readouterr().out, verb


def test_devices_that_leave_out_different_parts_are_told_apart() -> None:
    gpu, cpu = ("H100", ("cpu", "dram", "idle")), ("EPYC", ("idle",))
    assert lower_bound_of([gpu, gpu]) == "lower bound: energy leaves out cpu, dram, idle"
    assert lower_bound_of([gpu, cpu]) == (
        "lower bound: energy leaves out cpu, dram, idle (H100); idle (EPYC): a difference between "
        "these contains the parts that only one has"
    )
    assert lower_bound_of([cpu, ("L4", ())]) == (
        "lower bound: energy leaves out idle (EPYC); nothing (L4): a difference between these "
        "contains the parts that only one has"
    )
    assert lower_bound_of([("L4", ())]) is None and lower_bound([]) is None
