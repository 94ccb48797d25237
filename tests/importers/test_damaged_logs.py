"""Logs with bytes that are no text: each damaged line is named, and what it does not touch stands.

The bytes are planted in the project's own synthetic log.
"""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from observatory.cli import observatory, run
from observatory.errors import InputError
from observatory.importers import files, helm_logs, registry
from observatory.importing import import_file
from observatory.profiling_logs import read_logs, stored_logs
from observatory.store import reader
from observatory.store.database import open_read_only

MINI = Path(__file__).resolve().parent.parent / "data" / "helm" / "mini.log"
LINES = MINI.read_bytes().splitlines(keepends=True)
START = next(i for i, line in enumerate(LINES) if b"- arguments -" in line)
END = next(i for i, line in enumerate(LINES) if b"end of arguments" in line)
POINTS = [i for i, line in enumerate(LINES) if line.startswith(b"Runtime for")]
BAD = [b"\x00", b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\x00" * 4096]


def write(tmp_path: Path, lines: list[bytes], name: str = "mini.log") -> Path:
    path = tmp_path / name
    path.write_bytes(b"".join(lines))
    return path


def planted(index: int, bad: bytes, at: int = 3) -> list[bytes]:
    line = LINES[index]
    return [*LINES[:index], line[:at] + bad + line[at:], *LINES[index + 1 :]]


def argument(name: bytes) -> int:
    return next(i for i, line in enumerate(LINES) if line.startswith(b"  " + name + b" ."))


def points(path: Path) -> dict[tuple[object, ...], tuple[float, float]]:
    """Every value of a log under the configuration and the sizes that it is stored with."""
    return {
        (launch.devices, launch.whole("micro_batch_size"), launch.whole("hidden_size"), *key): (
            point.runtime_s,
            point.std_s,
        )
        for launch in helm_logs.parse(path).launches
        for key, point in launch.points.items()
    }


WHOLE = points(MINI)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("at", [0, 3, 60, -1])
def test_a_damaged_point_is_named_and_the_others_are_stored(
    bad: bytes, at: int, tmp_path: Path
) -> None:
    path = write(tmp_path, planted(POINTS[4], bad, at))
    assert registry.sniff(path) == "helm-logs"
    made = import_file(tmp_path / "x.db", path)
    assert (made.read, made.stored, made.rejected) == (len(POINTS), len(POINTS) - 1, 1)
    ((row, reason),) = made.rejections
    assert row == f"line {POINTS[4] + 1}"
    assert reason.startswith(f"line {POINTS[4] + 1} ")
    assert ("has NUL bytes" in reason) == (b"\x00" in bad)
    assert ("is not UTF-8 (byte 0x" in reason) == (b"\x00" not in bad)
    with open_read_only(tmp_path / "x.db").connect() as connection:
        (log,) = stored_logs(connection)
        assert len(reader.reported(connection)) == len(log.observations) == len(POINTS) - 1


def test_a_fit_of_the_file_names_the_same_lines(tmp_path: Path) -> None:
    logs, broken = read_logs(write(tmp_path, planted(POINTS[0], b"\xff")))
    assert [number for number, _ in broken] == [POINTS[0] + 1]
    assert len(logs[0].observations) == len(POINTS) - 1


def test_prose_between_the_points_may_be_damaged(tmp_path: Path) -> None:
    path = write(tmp_path, [b"caf\xe9\n", *LINES, b"\x00\x00"])
    rows = list(helm_logs.read(path).rows)
    assert [row.id for row in rows if row.rejected] == ["line 1", f"line {len(LINES) + 2}"]
    assert points(path) == WHOLE


@pytest.mark.parametrize("bad", BAD[:2])
def test_damage_far_into_a_long_log(bad: bytes, tmp_path: Path) -> None:
    """Beyond the first block that says whether the file is text."""
    filler = [b"iteration done\n"] * 10_000
    path = write(tmp_path, [*LINES, *filler, b"x" + bad + b"\n"])
    assert path.stat().st_size > 2 * files.HEAD_BYTES
    (bad_row,) = [row for row in helm_logs.read(path).rows if row.rejected]
    assert bad_row.id == f"line {len(LINES) + len(filler) + 1}"


def test_a_packed_log_is_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "mini.log.gz"
    path.write_bytes(gzip.compress(b"".join(planted(POINTS[2], b"\x00"))))
    made = import_file(tmp_path / "x.db", path)
    assert (made.stored, made.rejections[0][0]) == (len(POINTS) - 1, f"line {POINTS[2] + 1}")


# --------------------------------------------------------------- arguments that a line took along
@pytest.mark.parametrize("name", [b"hidden_size", b"tensor_model_parallel_size", b"params_dtype"])
@pytest.mark.parametrize("at", [4, -2])
def test_points_after_a_damaged_argument_are_not_stored_with_a_guess(
    name: bytes, at: int, tmp_path: Path
) -> None:
    """A lost tensor-parallel size would read as one device."""
    index = argument(name)
    path = write(tmp_path, [*planted(index, b"\x00", at), *LINES])
    rows = list(helm_logs.read(path).rows)
    bad = [row for row in rows if row.rejected]
    assert len(bad) == 1 + len(POINTS) and bad[0].id == f"line {index + 1}"
    said = f"line {POINTS[0] + 1} needs {name.decode()}, which line {index + 1} may have held"
    assert bad[1].rejected == said and len(f"{path.name}: {said}") < 100
    assert points(path) == WHOLE  # of the second launch, which is whole


def test_an_argument_that_no_point_needs_may_be_damaged(tmp_path: Path) -> None:
    lines = [*LINES[: END - 1], b"  lr_dec\xffay .......... 0.1\n", b"  seed ....... \x00\n",
             *LINES[END - 1 :]]  # fmt: skip
    path = write(tmp_path, lines)
    assert len(helm_logs.parse(path).broken) == 2
    assert points(path) == WHOLE
    path = write(tmp_path, planted(argument(b"world_size"), b"\xff", -2))
    assert len(helm_logs.parse(path).broken) == 1
    assert points(path) == WHOLE
    assert "world_size" not in [*helm_logs.read(path).rows][1].reported[0].extra


@pytest.mark.parametrize("cut", [b"  tensor_mo", b"  tensor_model_parallel_size ....", b"  hid\n"])
def test_an_argument_that_broke_off_is_named_too(cut: bytes, tmp_path: Path) -> None:
    index = argument(b"hidden_size" if b"hid" in cut else b"tensor_model_parallel_size")
    path = write(tmp_path, [*LINES[:index], cut.strip(b"\n") + b"\n", *LINES[index + 1 :], *LINES])
    (_, reason), *others = helm_logs.parse(path).broken
    assert reason == "is an argument cut off before its value" and len(others) == len(POINTS)
    assert points(path) == WHOLE


@pytest.mark.parametrize(
    "damaged",
    [
        [b"------ argu\x00ments ------\n", *LINES[START + 1 : END + 1]],
        [b"\x00" * 4096 + b"\n", *LINES[END - 3 : END + 1]],
        [b"\x00" * 4096 + b"\n", LINES[END]],
        [b"\xff\n", b"  hidden_size ............ 4096\n", LINES[END]],
    ],
)
def test_points_never_go_to_the_launch_before(damaged: list[bytes], tmp_path: Path) -> None:
    """Where the head of the second block is lost, the arguments of the first are not its own."""
    other = b"Runtime for {'num_input_tokens': 7, 'num_output_tokens': 7}: 9.0 seconds +- 0.1\n"
    smaller = [line.replace(b" 2048", b" 1024") for line in damaged]
    path = write(tmp_path, [*LINES, *smaller, other])
    found = {key: value for key, value in points(path).items() if key not in WHOLE}
    assert found in ({}, {(2, 1, 1024, 7, 7): (9.0, 0.1)})
    assert all(points(path)[key] == value for key, value in WHOLE.items())


damage = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@damage
@given(
    places=st.lists(st.tuples(st.integers(0, len(LINES) - 1), st.integers(0, 60)), max_size=4),
    bad=st.sampled_from(BAD),
    launches=st.integers(1, 2),
)
def test_planted_bytes_never_change_a_value(
    places: list[tuple[int, int]], bad: bytes, launches: int, tmp_path: Path
) -> None:
    """What is stored is some of what the whole log says, and every damaged line is named."""
    lines = list(LINES)
    for index, at in places:
        lines[index] = lines[index][:at] + bad + lines[index][at:]
    path = write(tmp_path, lines * launches)
    split = path.read_bytes().split(b"\n")
    hurt = {number for number, line in enumerate(split, start=1) if bad in line}
    try:
        parsed = helm_logs.parse(path)
    except InputError as error:
        assert f"line {min(hurt)} " in str(error)
        assert min(hurt) <= END + 2  # an argument that every point needs is lost
        return
    assert points(path).items() <= WHOLE.items()
    assert hurt <= {number for number, _ in parsed.broken}


# ------------------------------------------------------------------------------- no text at all
NOISE = random.Random(7).randbytes(9000)


@pytest.mark.parametrize("source", [[], ["helm-logs"]])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (NOISE, "log: line 1 "),
        (b"".join(LINES).decode().encode("utf-16"), "log: line 1 "),
        (b"\n\nplain\n" + NOISE, "this is no UTF-8 text file"),
        ("préfixe\n".encode("latin-1") * 30, "line 1 is not UTF-8 (byte 0xe9): convert it"),
        (b"ok\nok\n\xff\n", "line 3 is not UTF-8 (byte 0xff)"),
    ],
)
def test_a_binary_file_is_refused_with_the_line_of_its_first_bad_byte(
    content: bytes, said: str, source: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("noise.log").write_bytes(content)
    assert run(observatory, ["import", *source, "noise.log", "--db", "x.db"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and len(err) <= 101
    assert err.startswith("error: noise.log: ") and said in err
    if Path("x.db").exists():
        with open_read_only("x.db").connect() as connection:
            assert reader.reported(connection).empty


def test_a_log_whose_every_point_is_damaged_names_the_first(tmp_path: Path) -> None:
    lines = [*LINES[: END + 1], *(line[:9] + b"\x00" + line[9:] for line in LINES[END + 1 : -1])]
    path = write(tmp_path, [*([b"a line\n"] * 100), *lines])
    with pytest.raises(InputError, match=rf"no line .* can be used; line {100 + END + 2} has NUL"):
        import_file(tmp_path / "x.db", path, "helm-logs")


@pytest.mark.parametrize("name", ["generic", "mlperf", "ml-energy-v3", "lm-eval"])
@pytest.mark.parametrize(
    ("bad", "said"), [(b"\x00", "line 3 has NUL bytes"), (b"\xff", "line 3 is not UTF-8")]
)
def test_tables_and_json_are_refused_by_line(
    name: str, bad: bytes, said: str, tmp_path: Path
) -> None:
    """One bad byte may have changed a number: only a log has lines that stand alone."""
    text = b"model,phase,energy_j\nm,e2e,1\nm,e2e,2" if name == "generic" else b'[\n{},\n"x'
    path = write(tmp_path, [text + bad + b"\n"], "x.txt")
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        import_file(tmp_path / "x.db", path, name)


@given(raw=st.lists(st.sampled_from([b"a", b"\n", b"\x00", b"\xff", b"\xc3\xa9", b"\xc3"])))
def test_a_whole_text_and_its_lines_name_the_same_fault(
    raw: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "same.txt"
    path.write_bytes(b"x" + b"".join(raw))
    said = []
    for read in (lambda: files.text(path), lambda: list(files.lines(path))):
        try:
            read()
            said.append("")
        except InputError as error:
            said.append(str(error).rpartition(": ")[0])
    assert said[0] == said[1]
