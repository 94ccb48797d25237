"""The artifact: complete, checked by its sums, the same bytes twice, made again by its words."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shlex
import sqlite3
import zipfile
from pathlib import Path

import pytest
import yaml

from observatory import answers
from observatory.cli import observatory, run
from observatory.errors import InputError
from observatory.exports import bundle as bundle_of
from observatory.exports import rendering
from observatory.exports.bundle import Wanted, bundle
from observatory.exports.card import snippet
from observatory.exports.drawings import DRAWINGS
from observatory.exports.questions import TABLES
from observatory.footprint import Scenario
from observatory.records import Workload
from observatory.store.database import open_database, open_read_only
from tests import synthetic

LANE = "bbh/acc_norm/3-shot/lm-eval/open-llm-leaderboard-v2/chat=no"
HOSTILE = "../../etc/=pass wd"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "o.db"
    synthetic.record(path, noise=0.01)
    synthetic.record(path, run_id="second", model_name="Pythia-160M", scale=1.5, noise=0.01)
    return path


def made(database: Path, out: Path, *arguments: str) -> zipfile.ZipFile:
    call = ["bundle", str(out), "--db", str(database), "--zone", "FRA", *arguments]
    assert run(observatory, call) == 0
    return zipfile.ZipFile(io.BytesIO(out.read_bytes()))


def test_it_is_complete_and_its_sums_are_right(database: Path, tmp_path: Path) -> None:
    archive = made(database, tmp_path / "a.zip", "--no-images", "--lane", LANE)
    names = set(archive.namelist())
    lines = archive.read("SHA256SUMS").decode().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert set(sums) == names - {"SHA256SUMS"}
    assert all(hashlib.sha256(archive.read(n)).hexdigest() == s for n, s in sums.items())
    assert {f"tables/{what}.csv" for what in TABLES} <= names
    assert {"tables/footprint.tex", "figures/frontier.json", "figures/ladder.json",
            "cards/01-SmolLM2-135M.md", "scenario.json"} <= names  # fmt: skip
    assert "licence" in archive.read("factors.csv").decode().splitlines()[0]
    assert "Our World in Data" in archive.read("LICENCES.md").decode()
    (machine,) = json.loads(archive.read("environment.json"))
    assert machine["cpu_model"] == "Synthetic CPU"
    methods = json.loads(archive.read("methods.json"))
    assert methods["factor_edition"] == "2026.1" and methods["recipes"] and methods["audit_rules"]
    citation = yaml.safe_load(archive.read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0" and citation["authors"] and citation["references"]
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(archive.read("store.sql").decode())
        (n,) = connection.execute("select count(*) from v_summary").fetchone()
    assert n == 2 * len(synthetic.points())


def test_two_bundles_are_byte_identical(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With images, where a browser is at hand: their ids and dates are made constant."""
    few = ("decode", "energy", "variance")  # of each kind one, since each image takes a while
    monkeypatch.setattr(bundle_of, "NOT_HERE", set(DRAWINGS) - set(few))
    first = made(database, tmp_path / "a.zip")
    made(database, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    drawn = [name for name in first.namelist() if name.endswith((".svg", ".pdf"))]
    if rendering.available() is None:
        assert "figures/decode.pdf" in drawn and len(drawn) == 6
        assert "No SVG and PDF" not in first.read("README.md").decode()
    else:
        assert not drawn and "No SVG and PDF" in first.read("README.md").decode()


def test_every_command_makes_its_file_again(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("decode", "carbon", "variance", "regions-carbon", "frontier")
    monkeypatch.setattr(bundle_of, "NOT_HERE", set(DRAWINGS) - set(few))
    factors = tmp_path / "mine.csv"
    factors.write_text("kind,zone,value,unit,source\npue,industry,1.3,1,synthetic\n")
    out = tmp_path / "a.zip"
    choices = ["--no-images", "--lane", LANE, "--cost", "co2e_g", "--tariff", "0.2", "--prompt",
               "100", "--output", "20", "--factors", str(factors)]  # fmt: skip
    archive = made(database, out, *choices)
    place = tmp_path / "again"
    place.mkdir()
    for name in ("tables", "figures", "cards", "inputs"):
        (place / name).mkdir()
    inputs = [name for name in archive.namelist() if name.startswith("inputs/")]
    for name in inputs:
        (place / name).write_bytes(archive.read(name))
    with sqlite3.connect(place / "observatory.db") as connection:
        connection.executescript(archive.read("store.sql").decode())
    monkeypatch.chdir(place)
    text = archive.read("README.md").decode().partition("make each file again")[2]
    commands = re.findall(r"^    observatory (.*)$", text, re.M)
    for command in commands:
        assert run(observatory, shlex.split(command)) == 0, command
    files = {f"{p.parent.name}/{p.name}" for p in place.glob("*/*")}
    assert files == {n for n in archive.namelist() if "/" in n} and len(inputs) == 1
    for name in sorted(files):
        assert (place / name).read_bytes() == archive.read(name), name
    # the last command is the bundle's own: the same artifact from the store that it holds
    assert (place / "again.zip").read_bytes() == out.read_bytes()


def test_without_a_zone_it_says_what_is_missing(database: Path) -> None:
    content = bundle(open_read_only(database), Wanted(images=False))
    archive = zipfile.ZipFile(io.BytesIO(content))
    said = archive.read("README.md").decode()
    assert "No zone was chosen" in said and "No frontier" in said and "not asked for" in said
    assert "figures/ladder.json" not in archive.namelist()
    assert "co2_eq_emissions" not in archive.read("cards/00-Pythia-160M.md").decode()


def test_a_hostile_model_name_stays_inside_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    path, real = tmp_path / "o.db", synthetic.model_named
    monkeypatch.setattr(synthetic, "model_named", lambda _: replace(real(), name=HOSTILE))
    synthetic.record(path)
    archive = made(path, tmp_path / "a.zip", "--no-images")
    (card,) = [name for name in archive.namelist() if name.startswith("cards/")]
    assert re.fullmatch(r"cards/00-[\w.-]+\.md", card)
    assert all(not n.startswith("/") and ".." not in n.split("/") for n in archive.namelist())


def test_an_empty_database_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_database(tmp_path / "o.db").dispose()
    out = tmp_path / "x.zip"
    assert run(observatory, ["bundle", str(out), "--db", str(tmp_path / "o.db")]) == 2
    assert "no fit yet" in capsys.readouterr().err and not out.exists()
    with pytest.raises(InputError):
        bundle(open_read_only(tmp_path / "o.db"))


# ---------------------------------------------------------------------- the card
def test_the_card_is_yaml_and_markdown_with_the_numbers_of_the_estimate(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["card", "Pythia-160M", "--db", str(database), "--zone", "NOR", "--prompt", "100",
            "--output", "20"]  # fmt: skip
    assert run(observatory, call) == 0
    text = capsys.readouterr().out
    _, front, body = text.split("---\n", 2)
    block = yaml.safe_load(front)["co2_eq_emissions"]
    (estimate,) = answers.estimate(open_read_only(database), Workload.request(100, 20),
                                   Scenario(zone="NOR"), "Pythia-160M")  # fmt: skip
    assert isinstance(block["emissions"], float)
    assert block["emissions"] == pytest.approx(estimate.footprints[0].co2e_g.value, rel=0.006)
    assert block["geographical_location"] == "Norway" and "inference" in block["training_type"]
    rows = [line for line in body.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1 and "| runtime | energy |" in rows[0]


@pytest.mark.parametrize("value", [4e-5, 4.57e-5, 0.000123, 1.0, 12345678.0])
def test_grams_are_a_number_to_yaml(value: float) -> None:
    from observatory.exports.card import _yaml_number

    read = yaml.safe_load(f"x: {_yaml_number(value)}")["x"]
    assert isinstance(read, int | float) and read == pytest.approx(value, rel=0.006)


def test_a_card_of_nothing_and_of_an_unknown_model_is_refused(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError):
        snippet([])
    assert run(observatory, ["card", "nobody", "--db", str(database)]) == 2
    assert "unknown model 'nobody'" in capsys.readouterr().err
    out = tmp_path / "nowhere" / "x.md"
    assert run(observatory, ["card", "Pythia-160M", "--db", str(database), "--out", str(out)]) == 2
    assert "cannot write" in capsys.readouterr().err
