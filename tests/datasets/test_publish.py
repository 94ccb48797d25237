"""A published set: the same bytes twice, the same numbers where it is loaded, nothing private."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import xml.etree.ElementTree as ET
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import select

from observatory import answers
from observatory.cli import observatory, run
from observatory.datasets.read import SUMS, find_sets, load, read_set
from observatory.datasets.tables import FACTS, columns_of, from_csv, from_json
from observatory.datasets.write import plain_kernel, publish
from observatory.derive import derive
from observatory.errors import InputError
from observatory.store import schema
from observatory.store.database import open_database, open_read_only
from tests import synthetic

NAMES = ("ada-workstation", "lovelace")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of two models, one without joules, with texts that nobody should publish."""
    path = tmp_path_factory.mktemp("store") / "o.db"
    synthetic.record(path, noise=0.02)
    synthetic.record(path, "synthetic-2", synthetic.no_energy, model_name="Pythia-160M")
    with sqlite3.connect(path) as connection:
        connection.execute(
            "update run set command = 'run-benchmark --model /home/lovelace/models/tiny --db "
            "postgresql://lovelace:secret@ada-workstation/db', "
            'notes = \'{"uuid": "GPU-01234567-89ab-cdef-0123-456789abcdef"}\' '
            "where id = 'synthetic-1'"
        )
        connection.execute(
            'update run set notes = \'{"loaded": {"Pythia-160M": {"notes": ["cuda_graph fell back '
            "to eager with a dynamic cache: no capture\"]}}}' where id = 'synthetic-2'"
        )
        connection.execute(
            "update cell set status = 'crashed', error = 'OSError: /home/lovelace/models/tiny/a b "
            "on Ada-Workstation' where run_id = 'synthetic-2' and phase = 'e2e' and position = 0 "
            "and prompt_tokens = 32"
        )
    return path


@pytest.fixture(scope="module")
def folder(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, _ = publish(database, tmp_path_factory.mktemp("sets") / "set", names=NAMES)
    return made


def test_the_same_database_gives_the_same_bytes(database: Path, folder: Path) -> None:
    _, files = publish(database, folder.parent / "again", names=NAMES)
    assert {n: (folder / n).read_bytes() for n in files} == files
    assert sorted(p.name for p in folder.iterdir()) == sorted(files)


def test_checksums_are_those_of_the_files(folder: Path) -> None:
    lines = (folder / SUMS).read_text().splitlines()
    named = {line.partition("  ")[2]: line.partition("  ")[0] for line in lines}
    assert set(named) == {p.name for p in folder.iterdir()} - {SUMS}
    for name, digest in named.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("private", ["lovelace", "ada-workstation", "secret", "/home/",
                                     "89ab-cdef"])  # fmt: skip
def test_nothing_private_is_in_any_file(folder: Path, private: str) -> None:
    for file in folder.iterdir():
        assert private not in file.read_text().casefold(), file.name


def test_what_is_not_private_stays(folder: Path) -> None:
    (first, _) = json.loads((folder / "runs.json").read_text())
    assert first["command"] == "run-benchmark --model …/tiny --db postgresql://…"
    card = hashlib.sha256(b"01234567-89ab-cdef-0123-456789abcdef").hexdigest()[:8]
    assert first["notes"] == {"uuid": f"GPU-{card}"}


@pytest.mark.parametrize(("release", "plain"), [
    ("6.1.0-18-amd64", "6.1.0"), ("5.15.0-1053-somecloud", "5.15.0"), ("unknown", "unknown"),
])  # fmt: skip
def test_a_kernel_is_its_version(release: str, plain: str) -> None:
    assert plain_kernel(release) == plain


def test_loading_it_gives_the_numbers_that_it_says(folder: Path, tmp_path: Path) -> None:
    (done,) = load(tmp_path / "fresh.db", [folder])
    assert (done.new_runs, done.new_windows) == (2, 2 * 14 * 6)
    engine = open_read_only(tmp_path / "fresh.db")
    said = pd.read_csv(folder / "summary.csv", keep_default_na=False, na_values=[""])
    here = answers.summary(engine)
    assert len(said) == len(here) == 28
    for column in ("runtime_s", "runtime_low_s", "energy_j", "energy_per_token_j", "power_w"):
        pd.testing.assert_series_equal(said[column], here[column], check_exact=True)
    fits = pd.read_csv(folder / "fits.csv")
    assert list(fits["data_hash"]) == list(answers.fits(engine, None)["data_hash"])


def test_every_fact_comes_back_equal(database: Path, folder: Path, tmp_path: Path) -> None:
    load(tmp_path / "fresh.db", [folder])
    before, after = open_read_only(database), open_read_only(tmp_path / "fresh.db")
    for table in (schema.configuration, schema.model, schema.environment, schema.peak):
        names = [table.c[n] for n in columns_of(table)]
        with before.connect() as a, after.connect() as b:
            query = select(*names).order_by(*[c for c in names if str(c.type) != "JSON"])
            assert a.execute(query).all() == b.execute(query).all(), table.name
    w, c = schema.window, schema.cell
    names = [w.c[n] for n in columns_of(w) if n in w.c]
    query = select(c.c.run_id, c.c.plan_key, *names).join(c, w.c.cell_id == c.c.id)
    query = query.order_by(c.c.run_id, c.c.plan_key, w.c.process_index, w.c.window_index)
    with before.connect() as a, after.connect() as b:
        assert a.execute(query).all() == b.execute(query).all()


def test_loading_twice_and_where_it_was_measured_adds_nothing(
    database: Path, folder: Path, tmp_path: Path
) -> None:
    load(tmp_path / "fresh.db", [folder])
    for path in (tmp_path / "fresh.db", database):
        (again,) = load(path, [folder])
        assert (again.new_runs, again.new_windows) == (0, 0)


def test_a_set_loaded_and_published_again_is_the_same_set(folder: Path, tmp_path: Path) -> None:
    load(tmp_path / "fresh.db", [folder])
    _, files = publish(tmp_path / "fresh.db", tmp_path / "again", names=NAMES)
    assert files == {p.name: p.read_bytes() for p in folder.iterdir()}


def test_the_page_says_what_was_measured_how_and_what_failed(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    for part in (
        "SmolLM2-135M", "Pythia-160M", "168 windows", "1 crashed", "estimated", "boundary `host`",
        "no sensor on this synthetic machine", "run-benchmark --model …/tiny", "plot.svg",
        "* Pythia-160M: cuda_graph fell back to eager with a dynamic cache: no capture",
        "| SmolLM2-135M | bfloat16 eager dynamic 2 threads | prefill | 64 | 1 |",
    ):  # fmt: skip
        assert part in page, part
    assert all(f"`{name}`" in page for name in FACTS)


def test_the_plot_is_xml_with_a_mark_for_each_value(folder: Path) -> None:
    root = ET.fromstring((folder / "plot.svg").read_text())
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}circle")) == 14  # times of prefill and decode, two models
    assert len(root.findall(f"{space}polygon")) == 7  # estimated joules of the one that has them


@pytest.mark.parametrize(("name", "change", "said"), [
    ("windows.csv", lambda text: text.replace("0.99", "0.98", 1), "not as it was published"),
    ("runs.json", None, "cannot read it"),
])  # fmt: skip
def test_a_changed_or_incomplete_set_is_refused(
    folder: Path, tmp_path: Path, name: str, change: object, said: str
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    if change is None:
        (copy / name).unlink()
    else:
        (copy / name).write_text(change((copy / name).read_text()))  # type: ignore[operator]
    with pytest.raises(InputError, match=said):
        load(tmp_path / "o.db", [copy])
    assert not (tmp_path / "o.db").exists()


def test_checksums_that_point_elsewhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / SUMS).write_text("0" * 64 + "  ../../etc/passwd\n")
    with pytest.raises(InputError, match="cannot read the line"):
        read_set(tmp_path)


def test_what_cannot_be_published_is_said(database: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run"):
        publish(database, tmp_path / "x", ["nowhere"], names=NAMES)
    with sqlite3.connect(database) as connection:
        connection.execute("update run set status = 'running' where id = 'synthetic-2'")
    try:
        with pytest.raises(InputError, match="has not ended"):
            publish(database, tmp_path / "x", ["synthetic-2"], names=NAMES)
        _, files = publish(database, tmp_path / "x", names=NAMES)
        assert len(json.loads(files["runs.json"])) == 1  # the one that ended
        with sqlite3.connect(database) as connection:
            connection.execute("update run set status = 'interrupted' where id = 'synthetic-2'")
        _, files = publish(database, tmp_path / "y", names=NAMES)
        assert len(json.loads(files["runs.json"])) == 1
        _, files = publish(database, tmp_path / "z", ["synthetic-2"], names=NAMES)
        said = files["README.md"].decode()
        assert "Interrupted, and published as far as they came:" in said
        assert re.search(r"run synthetic-2 \(\w+\): \d+ of \d+ cells complete", said)
        load(tmp_path / "again.db", [tmp_path / "z"])
        engine = open_read_only(tmp_path / "again.db")
        assert list(answers.runs(engine)["status"]) == ["interrupted"]
    finally:
        with sqlite3.connect(database) as connection:
            connection.execute("update run set status = 'done' where id = 'synthetic-2'")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    for replace in (False, True):
        with pytest.raises(InputError, match="not empty"):
            publish(database, tmp_path / "full", names=NAMES, replace=replace)
    assert (tmp_path / "full" / "thesis.tex").read_text() == "mine"


def test_the_commands(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("USER", "lovelace")
    assert run(observatory, ["publish", "--db", str(database), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (made,) = find_sets(Path("results/published"))
    assert Path(told["folder"]) == made and made.name.startswith("synthetic-cpu-")
    assert run(observatory, ["publish", "--db", str(database)]) == 2
    assert "--replace" in capsys.readouterr().err
    assert run(observatory, ["publish", "--db", str(database), "--replace"]) == 0
    for said in ("2 runs, 168 windows", "nothing new"):
        capsys.readouterr()
        assert run(observatory, ["import", "published", "--db", "fresh.db"]) == 0
        out = capsys.readouterr().out
        assert said in out and out.count("\n") == 1
    kept = answers.footprint_table(open_read_only("fresh.db"))  # v_footprint, as after a run
    assert set(kept["zone"]) == {"SWE", "USA", "IND"} and "energy_wh" in set(kept["bill"])
    assert run(observatory, ["import", "published", ".", "--db", "fresh.db"]) == 2
    assert Path("fresh.db").exists()


def test_a_set_from_before_a_column_that_may_be_null_loads_and_one_without_a_needed_one_does_not(
    folder: Path,
) -> None:
    windows = pd.read_csv(folder / "windows.csv", dtype=str, keep_default_na=False)

    def without(column: str) -> bytes:
        return windows.drop(columns=column).to_csv(index=False).encode()

    rows = list(from_csv("windows.csv", without("reference_pass_s"), schema.window))
    assert len(rows) == len(windows) and {row["reference_pass_s"] for row in rows} == {None}
    with pytest.raises(InputError, match=r"windows\.csv: no column 'duration_s'"):
        list(from_csv("windows.csv", without("duration_s"), schema.window))
    runs = json.dumps([{"id": 1}]).encode()
    with pytest.raises(InputError, match=r"runs\.json entry 1: no key '\w+'"):
        list(from_json("runs.json", runs, schema.run))


def test_a_point_without_an_undisturbed_window_is_marked_on_the_page(
    folder: Path, tmp_path: Path
) -> None:
    mark = "| quick † |"
    assert mark not in (folder / "README.md").read_text()
    path = tmp_path / "slow.db"
    synthetic.record(path)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "update window set cpu_share = 0.5 where cell_id in "
            "(select id from cell where phase = 'prefill' and prompt_tokens = 64)"
        )
    derive(open_database(path))
    _, files = publish(path, tmp_path / "set", names=NAMES)
    page = files["README.md"].decode()
    assert page.count(mark) == 1 and "† Every window of the point was disturbed" in page
    assert "* 1: every window beside a busy neighbour" in page
