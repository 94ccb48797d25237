"""What `observatory import` prints fits 100 columns; an error is one line, however long."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.cells import cell_len

from observatory.cli import observatory, run
from observatory.verbs.tables import WIDTH, shortened, told

LONG = "a/lane/of/many/parts/" * 12
MINI = Path(__file__).resolve().parent.parent / "data" / "helm" / "mini.log"


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(observatory, ["import", "--db", "x.db", *words])
    out, err = capsys.readouterr()
    return code, out, err


def fits(text: str) -> bool:
    return all(cell_len(line.rstrip()) <= WIDTH for line in text.splitlines())


def is_one_line(text: str) -> bool:
    """What ends a command is one line, however long its path."""
    return text.endswith("\n") and text.count("\n") == 1


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["short.json", "x" * 200 + ".json", "長い名前" * 15 + ".json"])
def test_long_rows_reasons_and_file_names(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {"ok": {"acc": 0.5}, LONG: {"acc": "no number"}, "t": {f"{LONG},none": "x"},
               "=cmd|" + LONG: {"acc": 1}, "言語" * 60: {"acc": "y"}}  # fmt: skip
    (here / name).write_text(json.dumps({"results": results, "model_name": "m"}))
    code, out, err = call(capsys, name)
    assert (code, err) == (1, "") and fits(out)
    _, full, _ = call(capsys, name, "--json")
    (report,) = json.loads(full)["files"]
    assert len(report["rejections"]) == 4
    assert LONG.strip() in [row for row, _ in report["rejections"]]  # in full for a machine
    squeezed = out.replace("\n", "").replace(" ", "")
    for row, reason in report["rejections"]:
        for whole in (name, shortened(row, 60), reason):  # folded, and nothing left out
            assert whole.replace(" ", "") in squeezed


def test_a_line_of_a_log_is_named_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = MINI.read_text().splitlines()
    lines[14] = lines[14][:70]
    Path("mini.log").write_text("\n".join(lines))
    code, out, _ = call(capsys, "mini.log")
    said = "mini.log: line 15 is truncated or no `Runtime for {...}: T seconds +- S`"
    assert code == 1 and said in out.splitlines()


def test_errors_of_files_deep_in_folders(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deep = here / ("folder" * 12) / ("inner" * 15)
    deep.mkdir(parents=True)
    (deep / "broken.json").write_text("{")
    (deep / "notes.txt").write_text("hello\n")
    for words, said in (
        (["ml-energy-v3", str(deep / "broken.json")], "broken JSON at line 1, column 2"),
        ([str(deep / "none.csv")], "no such file"),
        ([str(deep / "notes.txt"), "--layer-scale", "2"], "no reader knows this file"),
        ([str(deep)], "no file is of a form that a reader knows"),
    ):
        code, out, err = call(capsys, *words)
        assert (code, out) == (2, "") and is_one_line(err)
        assert said in err.rstrip()
        assert str(deep) in err


def test_a_path_longer_than_a_message_leaves_the_reason(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(*["f" * 200] * 4)
    path.mkdir(parents=True)
    (path / "a.csv").write_bytes(b"")
    code, _, err = call(capsys, "generic", str(path / "a.csv"))
    assert code == 2 and is_one_line(err) and err.rstrip().endswith("is empty")
    code, out, _ = call(capsys, "generic", str(path / "a.csv"), "--json")
    assert json.loads(out)["errors"] == [f"{path / 'a.csv'}: is empty"]


def test_lists_and_published_sets(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fits(call(capsys, "--list")[1])
    code, _, err = call(capsys, "published", "nowhere" * 20)
    assert code == 2 and is_one_line(err) and "no published set here" in err.rstrip()


def test_told_keeps_short_lines_whole_and_folds_by_columns() -> None:
    assert told("a.csv", "bad") == "a.csv: bad"
    exact = told("a", "b" * (WIDTH - 3))
    assert len(exact) == WIDTH and "\n" not in exact
    assert told("a", "b " * 50).splitlines()[0] == "a:"
    assert fits(told("語" * 80, "語" * 80)) and fits(told("a", "b" * 300))
    assert told("語" * 49, "x").count("\n") == 1


@pytest.mark.parametrize(("most", "made"), [(9, "abcdefghi"), (8, "abcd…ghi"), (5, "ab…hi")])
def test_the_middle_gives_way(most: int, made: str) -> None:
    assert shortened("abcdefghi", most) == made
