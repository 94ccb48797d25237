"""Paired ratios: what a run measured of two configurations in the same rounds."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest

from observatory import answers
from observatory.cli import observatory, run
from observatory.ingest import Recorder, utc_now
from observatory.pairs import frame_of, paired_points
from observatory.records import Cell, Energy, Run, Window, Workload
from observatory.store.database import open_read_only
from tests import synthetic

RATIO = 1.25  #: of the law below: B takes this times the time and the energy of A
MODELS = ("SmolLM2-135M", "Pythia-160M")


def record(path: Path, rounds: int = 3, drift: float = 0.3, run_id: str = "r1",
           broken: bool = False, models: tuple[str, ...] = MODELS) -> list[str]:  # fmt: skip
    """One synthetic run of two models in rounds that drift: both are slower in the same round."""
    rng = random.Random(5)
    made = [synthetic.model_named(name) for name in models]
    stacks = [synthetic.configuration_of(model) for model in made]
    start = Run(run_id, "synthetic", f"hash {run_id}", {}, "0.1.0", synthetic.ENVIRONMENT.key,
                "quick", 0, utc_now())  # fmt: skip
    recorder = Recorder.start(path, start, synthetic.ENVIRONMENT)
    recorder.add_models(made)
    recorder.add_configurations(stacks)
    slow = [math.exp(rng.gauss(0, drift)) for _ in range(rounds)]
    for which, stack in enumerate(stacks):
        for phase, workload, role, seconds, tokens in synthetic.points():
            key = f"{stack.key} {phase} {workload.label()}"
            recorder.plan([Cell(run_id, key, stack.key, phase, workload, role)])
            for process in range(rounds):
                for index in range(3):
                    n = max(1, round(0.3 / seconds))
                    law = seconds * n * slow[process] * (RATIO if which else 1.0)
                    took = law * (1 + rng.gauss(0, 0.004))
                    energy = Energy(cpu_j=took * 30.0, method="synthetic", boundary="host",
                                    provenance="estimated")  # fmt: skip
                    bad = 1 if broken and which and process == 0 else 0
                    recorder.store(key, Window(
                        process, index, n, took, utc_now(), tokens * n, energy,
                        process_id=f"process {process} {which}", cpu_share=0.99,
                        failed_iterations=bad,
                    ))  # fmt: skip
            recorder.finish(key, "ok")
    recorder.close("done")
    return [stack.key for stack in stacks]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    path = tmp_path_factory.mktemp("pairs") / "o.db"
    return path, record(path)


def test_drift_that_both_share_is_no_part_of_the_ratio(database: tuple[Path, list[str]]) -> None:
    path, (a, b) = database
    engine = open_read_only(path)
    found = paired_points(engine, a, b)
    assert len(found) == 2 * len(synthetic.points())  # runtime and energy
    for point in found:
        assert point.ratio == pytest.approx(RATIO, rel=0.02) and point.pairs == 3
        assert point.ratio_low is not None and point.ratio_high is not None
        assert 1.1 < point.ratio_low < point.ratio < point.ratio_high < 1.4
        assert point.verdict == "A is lower"
    # unpaired, the same windows cannot tell the two apart: their intervals overlap
    rows = answers.summary(engine)
    first = rows[(rows["phase"] == "prefill") & (rows["prompt_tokens"] == 256)]
    low = first.set_index("configuration_key")["runtime_low_s"]
    high = first.set_index("configuration_key")["runtime_high_s"]
    assert low[b] < high[a]


def test_the_other_way_round_is_the_inverse(database: tuple[Path, list[str]]) -> None:
    path, (a, b) = database
    engine = open_read_only(path)
    there, back = paired_points(engine, a, b), paired_points(engine, b, a)
    for x, y in zip(there, back, strict=True):
        assert x.ratio == pytest.approx(1 / y.ratio, rel=1e-3)
        assert (x.value_a, x.value_b) == (y.value_b, y.value_a)
        assert y.verdict == "B is lower"


def test_processes_of_different_runs_make_no_pair(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    (a,) = record(path, models=MODELS[:1])
    (b,) = record(path, models=MODELS[1:], run_id="r2")
    assert paired_points(open_read_only(path), a, b) == ()
    assert list(frame_of(()).columns)[-1] == "verdict"


def test_windows_that_a_finding_leaves_out_make_no_pair(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    a, b = record(path, broken=True)
    found = paired_points(open_read_only(path), a, b)
    assert {point.pairs for point in found} == {2}


def test_one_round_claims_nothing(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    a, b = record(path, rounds=1)
    found = paired_points(open_read_only(path), a, b)
    assert {(p.pairs, p.ratio_low, p.verdict) for p in found} == {(1, None, "undecided")}


def test_compare_says_it(
    database: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = database
    call = ["compare", *MODELS, "--db", str(path), "--zone", "FRA"]
    assert run(observatory, call) == 0
    said = capsys.readouterr().out
    assert "Measured side by side" in said and "#" not in said.partition("Measured")[2]
    assert max(len(line) for line in said.splitlines()) <= 100
    assert run(observatory, [*call, "--json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    point = next(p for p in document["paired"] if p["phase"] == "prefill")
    assert point["ratio"] == pytest.approx(RATIO, rel=0.02) and point["pairs"] == 3
    assert point["verdict"] == "A is lower"


def test_three_are_compared_with_the_first(
    database: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    path, (a, b) = database
    call = ["compare", a, b, "0.002Wh", "--db", str(path), "--zone", "FRA", "--json"]
    assert run(observatory, call) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["a"]["name"], first["b"]["name"]) == (a, b)
    assert (second["a"]["name"], second["b"]["name"]) == (a, "0.002Wh")
    assert first["paired"] and second["paired"] == []
    assert run(observatory, ["compare", "1Wh", "2Wh", "3Wh", "4Wh", "5Wh", "--zone", "FRA"]) == 2
    assert "two to four" in capsys.readouterr().err


def test_workloads_keep_their_parts(database: tuple[Path, list[str]]) -> None:
    path, (a, b) = database
    labels = {(p.phase, p.prompt_tokens, p.context_tokens, p.output_tokens, p.batch)
              for p in paired_points(open_read_only(path), a, b)}  # fmt: skip
    expected = {(phase, w.prompt_tokens, w.context_tokens, w.output_tokens, w.batch)
                for phase, w, *_ in synthetic.points()}  # fmt: skip
    assert labels == expected
    assert ("decode", None, 16, 16, 1) in labels
    assert Workload.prefill(16).output_tokens == 1
