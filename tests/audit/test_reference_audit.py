"""Public measurements break no physical rule; every defect planted in a copy is found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from observatory.audit import audit_reported
from observatory.audit.claims import claims
from observatory.audit.reported import table_of
from observatory.catalog import hardware
from observatory.records import Reported
from tests.audit import reported_rows

#: Llama 3.1 405B in fp8 on four B200, 255 requests at once.
ROW = "lm-arena-chat:200"


@pytest.fixture(scope="module")
def servers(reference: Path) -> list[Reported]:
    return reported_rows.ml_energy_v3(reference)


@pytest.fixture(scope="module")
def logs(reference: Path) -> list[Reported]:
    return reported_rows.helm(reference)


def found(rows: list[Reported]) -> dict[str, set[str]]:
    """rule -> rows of the file."""
    named: dict[str, set[str]] = {}
    for finding in audit_reported(table_of(rows)):
        named.setdefault(finding.rule, set()).add(rows[finding.subject_id - 1].row)
    return named


def test_the_public_rows_are_clean(servers: list[Reported], logs: list[Reported]) -> None:
    assert len(servers) == 5 * (187 + 328) and len(logs) == 1950
    assert found(servers) == {} and found(logs) == {}


def test_they_are_truly_judged(servers: list[Reported], logs: list[Reported]) -> None:
    """A gate that looks at nothing is silent too."""
    for rows, least in ((servers, 0.15), (logs, 1.0)):
        table = claims(table_of(rows))
        timed = table[table["kind"].isin(["time", "rate"])]
        assert timed["roofline_rel"].notna().mean() >= least
        assert 0.5 < timed["roofline_rel"].astype(float).max() < 1.05
    powers = claims(table_of(servers)).query("kind == 'power'")
    assert powers["most_w"].notna().all() and powers["least_w"].notna().all()


def value(rows: list[Reported], quantity: str, row: str = ROW) -> float:
    one = next(r for r in rows if r.row == row and r.quantity == quantity)
    assert one.value is not None
    return one.value


Defect = Callable[[list[Reported]], dict[str, float]]
DEFECTS: list[tuple[str, Defect]] = [
    ("seconds_as_joules", lambda rows: {"energy_per_token_j": value(rows, "tpot_s")}),
    (
        "seconds_as_joules",
        lambda rows: {"energy_j": value(rows, "energy_j") / value(rows, "power_w")},
    ),
    ("zero_for_missing", lambda rows: {"energy_j": 0.0}),
    ("zero_for_missing", lambda rows: {"power_w": 0.0}),
    ("millijoules_as_joules", lambda rows: {"energy_j": 1000 * value(rows, "energy_j")}),
    (
        "millijoules_as_joules",
        lambda rows: {"energy_per_token_j": 1000 * value(rows, "energy_per_token_j")},
    ),
    ("power_above_limit", lambda rows: {"power_w": 1.16 * tdp_w(rows)}),
    ("mbu_above_one", lambda rows: {"tokens_per_s": 30 * value(rows, "tokens_per_s")}),
]  # fmt: skip


def tdp_w(rows: list[Reported]) -> float:
    one = next(r for r in rows if r.row == ROW)
    assert one.device_kind and one.device_count
    rated = hardware.lookup(one.device_kind).tdp_w
    assert rated
    return rated * one.device_count


@pytest.mark.parametrize(("code", "defect"), DEFECTS, ids=[code for code, _ in DEFECTS])
def test_a_planted_defect_is_found_and_named(
    servers: list[Reported], code: str, defect: Defect
) -> None:
    named = found(reported_rows.planted(servers, ROW, defect(servers)))
    assert named[code] == {ROW}
    assert set().union(*named.values()) == {ROW}, "and nobody else is accused"


def test_a_sparse_peak_taken_for_dense(logs: list[Reported]) -> None:
    """A time computed from twice the dense peak: impossible for dense weights."""
    long = next(r for r in logs if r.row.startswith("a100") and r.prompt_tokens == 1536
                and r.output_tokens == 1)  # fmt: skip
    mfu = float(claims(table_of([long]))["mfu"].iloc[0])
    assert long.value is not None and 0.3 < mfu < 1
    named = found(reported_rows.planted(logs, long.row, {"runtime_s": long.value * mfu / 1.6}))
    assert named["sparse_peak_as_dense"] == {long.row} == named["mfu_above_one"]


@pytest.mark.parametrize("decimals", [3, 15])
def test_a_block_at_exactly_1_3_times_another(logs: list[Reported], decimals: int) -> None:
    """As its file prints it, in ms, or with all digits; under the name of another model."""
    block = [r for r in logs if r.device_kind == "a100" and r.model_name == "ai21_j1_large"]
    fake = [
        replace(r, row=f"fake {r.row}", model_name="a new model",
                value=round(1.3 * (r.value or 0), decimals))
        for r in block
    ]  # fmt: skip
    assert found(logs + fake) == {"exact_multiple": {r.row for r in fake}}


def test_a_block_of_servers_at_exactly_1_3_times_another(servers: list[Reported]) -> None:
    """Other batch sizes, other lengths: only the digits give it away."""
    rows = list(dict.fromkeys(r.row for r in servers))
    origin, made = rows[190:196], rows[300:306]
    for source, target in zip(origin, made, strict=True):
        joules = {"energy_per_token_j": 1.3 * value(servers, "energy_per_token_j", source)}
        servers = reported_rows.planted(servers, target, joules)
    named = found(servers)
    assert named["exact_multiple"] == set(made)


def test_a_negative_and_a_zero_repeat_among_ten(servers: list[Reported]) -> None:
    one = next(r for r in servers if r.row == ROW and r.quantity == "energy_j")
    assert one.value
    values = [one.value * (1 + 0.003 * (i % 4)) for i in range(10)]
    values[3], values[8] = -values[3], 0.0
    repeats = [replace(one, row=f"repeat {i}", value=v) for i, v in enumerate(values)]
    assert found(repeats) == {
        "negative_value": {"repeat 3"},
        "zero_for_missing": {"repeat 8"},
        "repeat_not_positive": {"repeat 3", "repeat 8"},
    }
