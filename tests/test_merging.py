"""Two copies of a run merge to the same content in either order: the later copy's."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from observatory import answers
from observatory.cli import observatory, run
from observatory.datasets.write import publish
from observatory.errors import InputError
from observatory.merging import merge
from observatory.store.database import open_database, open_read_only
from tests import synthetic

FACTS = {
    "run": "select * from run order by id",
    "cell": "select run_id, plan_key, configuration_key, status, error, expected_s, position "
            "from cell order by run_id, plan_key",
    "window": "select c.run_id, c.plan_key, w.process_index, w.window_index, w.duration_s, "
              "w.started_utc, w.energy_cpu_j from window w join cell c on w.cell_id = c.id "
              "order by 1, 2, 3, 4",
    "configuration": "select * from configuration order by key",
    "peak": "select run_id, device, quantity, dtype, value from peak order by 1, 2, 3, 4",
    "summary": "select configuration_key, phase, prompt_tokens, context_tokens, runtime_s, "
               "n_windows, energy_j from summary order by 1, 2, 3, 4, 5",
    "estimate": "select configuration_key, environment_key, prompt_tokens, output_tokens, batch, "
                "scenario_hash, scenario, edition, bill, low, mid, high, reason, factors "
                "from estimate order by 1, 2, 3, 4, 5, 6, 8, 9",
    "fit": "select configuration_key, quantity, data_hash, parameters from fit order by 1, 2",
}  # fmt: skip


def content(path: Path) -> dict[str, list[Any]]:
    with sqlite3.connect(path) as connection:
        return {name: connection.execute(sql).fetchall() for name, sql in FACTS.items()}


def change(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)


LAST = "(select max(id) from cell)"
#: How a copy looked at an earlier moment than the finished run.
EARLIER: dict[str, tuple[str, ...]] = {
    "interrupted": (
        f"delete from window where cell_id = {LAST}",
        f"update cell set status = 'planned' where id = {LAST}",
        "update run set status = 'interrupted', ended_utc = '2026-01-02', notes = '{\"a\": 1}'",
    ),
    "killed": (
        f"delete from window where cell_id = {LAST}",
        f"update cell set status = 'planned' where id = {LAST}",
        "update run set status = 'running', ended_utc = null",
    ),
    "with a failed cell": (
        f"delete from window where cell_id = {LAST} and process_index = 1",
        f"update cell set status = 'lost', error = 'killed' where id = {LAST}",
        "update run set status = 'done_with_failures', ended_utc = '2026-01-02', "
        "sampler_cpu_share = 0.5",
    ),
    "before its last cell was chosen": (
        f"delete from window where cell_id = {LAST}",
        f"delete from cell where id = {LAST}",
        "update run set status = 'interrupted', ended_utc = '2026-01-02'",
    ),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finished") / "o.db"
    synthetic.record(path)
    change(path, "update run set started_utc = '2026-01-01', ended_utc = '2026-01-09'",
           "update window set started_utc = '2026-01-01T' || printf('%03d', id)")  # fmt: skip
    return path


def both_orders(one: Path, other: Path, folder: Path) -> list[Path]:
    made = []
    for name, order in (("ab.db", (one, other)), ("ba.db", (other, one))):
        open_database(folder / name).dispose()
        for path in order:
            merge(folder / name, path)
        made.append(folder / name)
    return made


def copy(path: Path, folder: Path, name: str, *statements: str) -> Path:
    with sqlite3.connect(path) as source, sqlite3.connect(folder / name) as target:
        source.backup(target)  # what stands in its journal too
    change(folder / name, *statements)
    return folder / name


@pytest.mark.parametrize("how", list(EARLIER))
def test_the_finished_copy_is_right_in_either_order(
    finished: Path, tmp_path: Path, how: str
) -> None:
    early = copy(finished, tmp_path, "early.db", *EARLIER[how])
    assert content(early)["run"] != content(finished)["run"]
    for made in both_orders(early, finished, tmp_path):
        assert content(made) == content(finished)
    assert merge(made, early).total == 0
    assert content(made) == content(finished)
    _, files = publish(made, tmp_path / "set", names=())
    assert b'"status": "done"' in files["runs.json"]


@pytest.mark.parametrize(("early", "late", "status"), [
    # tried again after it had failed, and interrupted meanwhile
    ("status = 'done_with_failures', ended_utc = '2026-01-02'",
     "status = 'interrupted', ended_utc = '2026-01-03'", "interrupted"),
    # gone on with after an interruption and killed: no end, but a later window
    ("status = 'interrupted', ended_utc = '2026-01-01T078z'",
     "status = 'running', ended_utc = null", "running"),
    ("status = 'interrupted', ended_utc = '2026-01-02'",
     "status = 'done_with_failures', ended_utc = '2026-01-03'", "done_with_failures"),
])  # fmt: skip
def test_the_later_of_two_that_are_not_done_is_right(
    finished: Path, tmp_path: Path, early: str, late: str, status: str
) -> None:
    gone = f"delete from window where cell_id = {LAST}"
    one = copy(finished, tmp_path, "one.db", gone, f"update run set {early}")
    other = copy(finished, tmp_path, "other.db", f"update run set {late}")
    first, second = (content(path) for path in both_orders(one, other, tmp_path))
    assert first == second
    assert list(answers.runs(open_read_only(tmp_path / "ab.db"))["status"]) == [status]


def test_cells_that_two_copies_finished_are_all_finished(finished: Path, tmp_path: Path) -> None:
    def without(number: str) -> tuple[str, ...]:
        return (f"delete from window where cell_id = {number}",
                f"update cell set status = 'planned' where id = {number}",
                "update run set status = 'interrupted'")  # fmt: skip

    one = copy(finished, tmp_path, "one.db", *without("1"))
    other = copy(finished, tmp_path, "other.db", *without(LAST))
    first, second = (content(path) for path in both_orders(one, other, tmp_path))
    assert first == second and first["window"] == content(finished)["window"]
    assert {row[3] for row in first["cell"]} == {"ok"}


@pytest.mark.parametrize("turned", [False, True])
def test_two_measurements_under_one_name_are_refused_and_nothing_is_stored(
    finished: Path, tmp_path: Path, turned: bool
) -> None:
    fork = copy(finished, tmp_path, "fork.db", "update window set duration_s = 9 where id = 5")
    mine = copy(finished, tmp_path, "mine.db")
    into, other = (fork, mine) if turned else (mine, fork)
    before = content(into)
    with pytest.raises(InputError, match="gone on with in both databases"):
        merge(into, other)
    assert content(into) == before


BILLS = "select model, zone, bill, mid, edition from v_footprint order by 1, 2, 3"


def bills(path: Path) -> list[Any]:
    with sqlite3.connect(path) as connection:
        return connection.execute(BILLS).fetchall()


def test_the_bills_of_the_runs_come_along(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that were kept, with their factors; and those of a database that kept none."""
    other, bare = tmp_path / "other.db", tmp_path / "all.db"
    synthetic.record(other, run_id="synthetic-2", model_name="Pythia-160M", scale=2.0)
    kept = copy(finished, tmp_path, "kept.db", "update estimate set edition = 'mine'")
    change(other, "delete from estimate")
    merge(bare, kept)
    assert bills(bare) == bills(kept) and {row[4] for row in bills(bare)} == {"mine"}
    assert run(observatory, ["merge", "--db", str(bare), str(kept), str(other)]) == 0
    out = capsys.readouterr().out
    assert "kept.db: nothing new" in out and "bills of one request on every configuration: " in out
    found = {(row[0], row[4]) for row in bills(bare)}
    assert found == {("SmolLM2-135M", "mine"), ("SmolLM2-135M", "2026.1"),
                     ("Pythia-160M", "2026.1")}  # fmt: skip
    mine = [row[:4] for row in bills(bare) if row[0] == "SmolLM2-135M" and row[4] == "2026.1"]
    assert mine == [row[:4] for row in bills(finished)]
    before = bills(bare)
    assert run(observatory, ["merge", "--db", str(bare), str(other), "--json"]) == 0
    assert '"bills_new": 0' in capsys.readouterr().out and bills(bare) == before


def test_bills_are_kept_in_the_scenario_that_was_stated(finished: Path, tmp_path: Path) -> None:
    """A run billed in one zone is no reason to bill three."""
    zone = "delete from estimate where zone <> 'SWE'"
    one, other = copy(finished, tmp_path, "one.db", zone), tmp_path / "other.db"
    synthetic.record(other, run_id="synthetic-2", model_name="Pythia-160M", scale=2.0)
    change(other, "delete from estimate")
    assert run(observatory, ["merge", "--db", str(one), str(other)]) == 0
    assert {row[:2] for row in bills(one)} == {("SmolLM2-135M", "SWE"), ("Pythia-160M", "SWE")}


def test_the_bills_of_the_later_copy_are_right_in_either_order(
    finished: Path, tmp_path: Path
) -> None:
    early = copy(finished, tmp_path, "early.db", *EARLIER["interrupted"],
                 "update estimate set mid = 2 * mid")  # fmt: skip
    for made in both_orders(early, finished, tmp_path):
        assert bills(made) == bills(finished)
