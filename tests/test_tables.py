"""Tables on a terminal: no name is folded, nothing is wider than the window, one unit a column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from observatory.cli import observatory, run
from observatory.verbs import tables

Capture = pytest.CaptureFixture[str]
README = ("estimate", "--prompt", "500", "--output", "200", "--zone", "FRA")
MODELS = ("Llama-3.2 1B", "OLMoE-1B-7B", "Qwen2.5-7B", "Pythia-410M", "SmolLM2-135M")


def terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Print as on a terminal of this width."""
    monkeypatch.setattr("observatory.verbs.tables.terminal_width", lambda: width)


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("more", [(), ("--tariff", "0.25")], ids=["no price", "tariff"])
def test_the_estimate_of_the_readme_at(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, published: Path, width: int,
    more: tuple[str, ...],
) -> None:  # fmt: skip
    terminal(monkeypatch, width)
    assert run(observatory, [*README, *more, "--db", str(published)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= min(width, 100)
    rows = [line.strip() for line in lines if line.startswith(" ")]
    for name in MODELS:
        assert sum(row.startswith(name + " ") for row in rows) >= 2, name
    cut = [row for row in rows if re.fullmatch(r"\S{1,5}", row)]  # what is left of a folded name
    assert cut == []
    assert len([line for line in lines if line.startswith(("Idealized", "Bills"))]) == 2


def test_configurations_of_one_model_are_told_apart(capsys: Capture, published: Path) -> None:
    run(observatory, [*README, "--db", str(published)])
    out = capsys.readouterr().out
    runtimes, bills = out.split("Bills of that request")
    letters = sorted(re.findall(r"^ Pythia-160M +([a-z]) ", runtimes, re.M))
    assert len(letters) == 2 and letters[0] != letters[1]
    assert sorted(re.findall(r"^ Pythia-160M on ([a-z]) +FRA", bills, re.M)) == letters
    for letter in letters:
        assert f"\n{letter}: " in runtimes  # and the letter is explained


def test_one_unit_a_column_stands_in_its_heading(capsys: Capture, published: Path) -> None:
    run(observatory, [*README, "--tariff", "0.25", "--db", str(published)])
    out = capsys.readouterr().out
    for heading in ("runtime (s)", "TTFT (s)", "TPOT (ms)", "energy (mWh)", "carbon (mgCO2e)",
                    "water (µL)", "money (µ$)"):  # fmt: skip
        assert heading in out
    cells = [line for line in out.splitlines() if line.startswith(" ") and "FRA" in line]
    assert cells and not any(re.search(r"\d\]? ?(m|µ)?(Wh|g|L|\$)", line) for line in cells)


@pytest.mark.parametrize("arguments", [
    ("report", "--zone", "FRA"), ("show", "runs"), ("show", "fits"), ("estimate",),
    ("compare", "OLMoE-1B-7B", "Qwen2.5-7B", "--zone", "FRA"),
], ids=" ".join)  # fmt: skip
def test_nothing_is_wider_than_a_terminal_of_80(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, published: Path, arguments: tuple[str, ...]
) -> None:
    terminal(monkeypatch, 80)
    assert run(observatory, [*arguments, "--db", str(published)]) == 0
    wide = [line for line in capsys.readouterr().out.splitlines() if len(line.rstrip()) > 80]
    notes = [line for line in wide if line.startswith(" ")]
    assert notes == [], "a table or a paragraph"


def test_both_sides_of_a_comparison_have_one_unit(capsys: Capture, published: Path) -> None:
    run(observatory, ["compare", "OLMoE-1B-7B", "Qwen2.5-7B", "--zone", "SWE",
                      "--db", str(published)])  # fmt: skip
    rows = re.findall(r"^ \w[\w, -]+?  +[\d.]+ (\S+) +[\d.]+ (\S+) ", capsys.readouterr().out, re.M)
    assert len(rows) >= 5 and all(a == b for a, b in rows)


def column(name: str, *cells: str) -> tables.Column:
    return tables.Column(name.removeprefix("#"), name.startswith("#"), cells)


def test_text_gives_way_to_its_longest_word_and_no_further() -> None:
    made = [column("name", "an-unbroken-name"), column("#n", "12345"),
            column("why", "some words that may well be wrapped here")]  # fmt: skip
    assert tables.widths(made, 200) == [16, 5, 40]
    assert tables.widths(made, 50) == [16, 5, 23]
    assert [len(part) for part in tables.in_parts(made, 50)] == [3]


def test_parts_repeat_the_names_and_hold_every_column() -> None:
    made = [column("model", "an-unbroken-name"), *(column(f"#c{i}", "1234567890")
            for i in range(5))]  # fmt: skip
    parts = tables.in_parts(made, 45)
    assert all(part[0].name == "model" for part in parts)
    assert [c.name for part in parts for c in part[1:]] == [f"c{i}" for i in range(5)]
    for part in parts:
        assert sum(tables.widths(part, 45)) + 2 * (len(part) - 1) + 2 <= 45


def test_a_word_longer_than_any_name_is_folded_whole(capsys: Capture) -> None:
    tables.print_table("", ["what", "#n"], [["x" * 150, 7]])
    out = capsys.readouterr().out
    assert out.count("x") == 150 and max(len(line.rstrip()) for line in out.splitlines()) <= 100


def test_a_column_of_the_summary_has_one_unit(capsys: pytest.CaptureFixture[str]) -> None:
    """An idle window of seconds beside passes of milliseconds: the unit stands in the heading."""
    from observatory.verbs.show import _summary

    kept = {"model": "Llama-3.2 1B", "context_tokens": None, "output_tokens": 1, "batch": 1,
            "tokens_per_s": 128005.3, "n_processes": 3, "n_windows": 65, "role": "anchor",
            "energy_provenance": "measured", "energy_method": "nvml_counter",
            "energy_boundary": "device", "energy_reason": None}  # fmt: skip
    rows = [
        kept | {"phase": phase, "prompt_tokens": 8192, "runtime_s": s, "runtime_low_s": s / 3,
                "runtime_high_s": 3 * s, "energy_j": j}
        for phase, s, j in (("prefill", 0.0141, 2.49), ("decode", 0.875, 467.0),
                            ("idle", 15.96, 1220.0), ("prefill", 9e-5, None))
    ]  # fmt: skip
    _summary(rows)
    lines = capsys.readouterr().out.splitlines()
    assert "time (ms)" in lines[2] and "energy (J)" in lines[2]
    table = lines[4:8]
    for line, time, energy in zip(table, ("14.1 [4.70–42.3]", "875 [292–2620]",
                                          "16000 [5320–47900]", "0.0900 [0.0300–0.270]"),
                                  ("2.49", "467", "1220", "–"), strict=True):  # fmt: skip
        assert f" {time} " in line and f" {energy} " in line
        assert not any(f" {unit} " in line for unit in ("s", "ms", "µs", "J", "kJ"))
    assert max(map(len, lines)) <= 100
    _summary([rows[0] | {"energy_j": None, "energy_reason": "no sensor"}])
    assert "energy is NULL: no sensor" in capsys.readouterr().out
