"""A damaged set: one line with file and place, exit code 2, nothing stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from observatory.cli import observatory, run
from observatory.datasets.read import SUMS
from observatory.datasets.tables import FACTS
from observatory.datasets.write import publish
from tests import synthetic

Edit = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    synthetic.record(folder / "o.db")
    return publish(folder / "o.db", folder / "set", names=())[1]


def swap(old: bytes, new: bytes) -> Edit:
    def edit(content: bytes) -> bytes:
        assert old in content, old
        return content.replace(old, new, 1)

    return edit


def cell(line: int, column: str, value: str) -> Edit:
    """Put a value into a CSV file (line 1 is the header; these cells hold no commas before it)."""

    def edit(content: bytes) -> bytes:
        rows = content.decode().splitlines()
        at = rows[0].split(",").index(column)
        parts = rows[line - 1].split(",")
        parts[at] = value
        return ("\n".join([*rows[: line - 1], ",".join(parts), *rows[line:]]) + "\n").encode()

    return edit


def lines(edit: Callable[[list[str]], list[str]]) -> Edit:
    return lambda content: ("\n".join(edit(content.decode().splitlines())) + "\n").encode()


DAMAGES: dict[str, tuple[str, Edit, str]] = {
    "nan": ("windows.csv", cell(3, "duration_s", "nan"),
            "windows.csv line 3, column 'duration_s': nan is no finite number"),
    "infinite": ("windows.csv", cell(4, "energy_cpu_j", "-inf"),
                 "windows.csv line 4, column 'energy_cpu_j': -inf is no finite number"),
    "too large a float": ("windows.csv", cell(2, "duration_s", "1e999"), "inf is no finite number"),
    "too large a count": ("windows.csv", cell(2, "iterations", "9" * 30),
                          f"line 2, column 'iterations': {'9' * 30} is no whole"),
    "thousands of digits": ("windows.csv", cell(2, "iterations", "9" * 5000),
                            "column 'iterations': cannot read '9999"),
    "no number": ("windows.csv", cell(2, "duration_s", "fast"),
                  "line 2, column 'duration_s': cannot read 'fast'"),
    "nothing": ("windows.csv", cell(2, "duration_s", ""), "column 'duration_s': cannot read ''"),
    "below 0": ("windows.csv", cell(2, "duration_s", "-1.0"),
                "windows.csv: the store does not take it"),
    "no flags": ("windows.csv", cell(2, "flags", "["), "column 'flags': cannot read '['"),
    "cut off": ("windows.csv", lambda content: content[: len(content) * 2 // 3].rpartition(b",")[0],
                "a cell is missing: the line is cut off"),
    "a cell more": ("cells.csv", lines(lambda rows: [*rows[:2], rows[2] + ",7", *rows[3:]]),
                    "cells.csv line 3: it has more cells than there are columns"),
    "a column more": ("windows.csv", lines(lambda rows: [r + ",x" for r in rows]),
                      "windows.csv: unknown column 'x'"),
    "a column twice": ("peaks.csv",
                       lines(lambda rows: [r + "," + r.rpartition(",")[2] for r in rows]),
                       "is there twice"),
    "a window twice": ("windows.csv", lines(lambda rows: [*rows, rows[-1]]),
                       "windows.csv: 'synthetic-1', "),
    "a cell twice": ("cells.csv", lines(lambda rows: [*rows, rows[1]]), "is there twice"),
    "an unknown run": ("cells.csv", cell(2, "run_id", "elsewhere"),
                       "cells.csv: runs.json has no 'elsewhere'"),
    "an unknown cell": ("windows.csv", cell(2, "run_id", "elsewhere"),
                        "windows.csv: cells.csv has no 'elsewhere', "),
    "an unknown machine": ("runs.json", swap(b'"environment_key": "', b'"environment_key": "x'),
                           "runs.json: environment.json has no 'x"),
    "a NUL byte": ("windows.csv", swap(b"process 1", b"process\0001"),
                   "it holds a NUL byte"),
    "a NUL in JSON": ("runs.json", swap(b'"command": "', b'"command": "\\u0000'),
                      "runs.json entry 1, column 'command': "),
    "no UTF-8": ("cells.csv", swap(b"prefill", b"pre\xff\xfe"), "it is not text (UTF-8)"),
    "no JSON": ("runs.json", lambda content: content[:-20], "runs.json: no JSON"),
    "NaN in JSON": ("runs.json", swap(b'"seed": 0', b'"seed": NaN'), "NaN is no number"),
    "infinity in JSON": ("runs.json", swap(b'"notes": {', b'"notes": {"a": 1e999, '),
                         "1e999 is no finite number"),
    "deep JSON": ("runs.json", lambda _: b"[" * 200_000, "runs.json: no JSON"),
    "no list": ("models.json", lambda _: b"{}", "models.json: expected a list of objects"),
    "null for a text": ("runs.json", swap(b'"profile": "quick"', b'"profile": null'),
                        "runs.json entry 1, column 'profile': it is empty"),
    "a list for a text": ("runs.json", swap(b'"profile": "quick"', b'"profile": []'),
                          "column 'profile': '[]' is no text"),
    "a text for a number": ("models.json", swap(b'"parameters": ', b'"parameters": "x", "y": '),
                            "unknown key 'y'"),
    "an empty file": ("windows.csv", lambda _: b"", "windows.csv: no column"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(DAMAGES))
def test_a_damaged_set_is_one_line_and_nothing_is_stored(
    whole: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file, edit, said = DAMAGES[name]
    assert file in FACTS
    files = {**whole, file: edit(whole[file])}
    assert files[file] != whole[file]
    sums = [f"{hashlib.sha256(files[n]).hexdigest()}  {n}\n" for n in sorted(files) if n != SUMS]
    folder, database = tmp_path / "set", tmp_path / "o.db"
    folder.mkdir()
    for part, content in (files | {SUMS: "".join(sums).encode()}).items():
        (folder / part).write_bytes(content)
    assert run(observatory, ["import", "published", str(folder), "--db", str(database)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and said in err and f"{file}" in err, err
    if database.exists():  # only the store itself can refuse a row, in a transaction
        assert name == "below 0"
        import sqlite3

        with sqlite3.connect(database) as connection:
            assert connection.execute("select count(*) from run").fetchone() == (0,)
