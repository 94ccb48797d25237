"""Every rule on reported values: one case that breaks it, and a sound row that breaks none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from observatory.audit import REPORTED_RULES, audit_reported
from observatory.audit.claims import claims
from observatory.audit.diagnoses import UNIT_RULES
from observatory.audit.reported import table_of
from observatory.records import Finding, Reported
from tests.audit.reported_rows import server


def audit(rows: list[Reported]) -> list[tuple[Finding, Reported]]:
    return [(f, rows[f.subject_id - 1]) for f in audit_reported(table_of(rows))]


def found(rows: list[Reported]) -> set[tuple[str, str]]:
    return {(finding.rule, row.quantity) for finding, row in audit(rows)}


def request(runtime_s: float, **what: Any) -> list[Reported]:
    """One request alone on one H100."""
    facts: dict[str, Any] = {
        "model_name": "Llama-3.1 8B", "phase": "e2e", "prompt_tokens": 1000.0,
        "output_tokens": 100.0, "batch": 1.0, "device_kind": "H100-SXM5", "device_count": 1,
        "dtype": "bf16", "boundary": "device",
    }  # fmt: skip
    return [Reported(row="1", quantity="runtime_s", value=runtime_s, unit="s", **(facts | what))]


def parts(whole_j: float, **part_j: float) -> list[Reported]:
    facts: dict[str, Any] = {"row": "1", "model_name": "x", "phase": "e2e", "unit": "J"}
    rows = {f"energy_{name}_j": value for name, value in part_j.items()} | {"energy_j": whole_j}
    return [Reported(quantity=name, value=value, **facts) for name, value in rows.items()]


def phases(e2e_s: float) -> list[Reported]:
    return [
        Reported(row="1", model_name="x", phase=phase, quantity="runtime_s", value=value, unit="s")
        for phase, value in (("prefill", 1.0), ("decode", 4.0), ("e2e", e2e_s))
    ]


#: Llama-3.1 8B in bf16 takes 16.06 GB, an H100 holds 85.9 GB.
def memory(
    value: float, quantity: str = "peak_memory_bytes", per: str = "request", **what: Any
) -> list[Reported]:
    """What one request kept in memory, beside its time."""
    (time,) = request(0.7, **what)
    return [time, replace(time, quantity=quantity, value=value, unit="B", per=per)]


#: 310.5 J in 1.2 s are 258.75 W: what an H100 may draw.
def spent(
    energy_j: float = 310.5, runtime_s: float = 1.2, power_w: float | None = None, **what: Any
) -> list[Reported]:
    """One request with its joules, and its power where that is stated."""
    (time,) = request(runtime_s, **what)
    rows = [time, replace(time, quantity="energy_j", value=energy_j, unit="J")]
    if power_w is not None:
        rows.append(replace(time, quantity="power_w", value=power_w, unit="W"))
    return rows


def served(factor: float, quantity: str = "itl_median_s") -> list[Reported]:
    """A server's row with the percentiles of its gaps, one of them multiplied."""
    rows, gaps = server(), {"itl_median_s": 0.031, "itl_p90_s": 0.035, "itl_p99_s": 0.04}
    tpot = next(r for r in rows if r.quantity == "tpot_s")
    return rows + [
        replace(tpot, quantity=name, value=value * (factor if name == quantity else 1))
        for name, value in gaps.items()
    ]


STEPS_1000 = {"tokens_per_s": 64 * 1000.0}
BREAKS: list[tuple[str, str, list[Reported]]] = [
    ("zero_for_missing", "energy_j", server({"energy_j": 0.0})),
    ("zero_for_missing", "tpot_s", server({"tpot_s": 0.0})),
    ("negative_value", "energy_per_token_j", server({"energy_per_token_j": -0.3})),
    ("energy_power_mismatch", "energy_per_token_j", server({"power_w": 540.0})),
    ("token_count_mismatch", "energy_j", server({"energy_j": 75.0})),
    ("parts_do_not_sum", "energy_j", parts(100.0, gpu=80.0, cpu=40.0)),
    ("parts_do_not_sum", "energy_j", parts(200.0, gpu=80.0, cpu=40.0, ram=5.0)),
    ("parts_do_not_sum", "runtime_s", phases(4.5)),
    ("mfu_above_one", "runtime_s", request(0.001, output_tokens=1.0, batch=4.0)),
    ("mfu_above_one", "tokens_per_s", server({"tokens_per_s": 2e5}, batch=None)),
    ("mbu_above_one", "tokens_per_s", server(STEPS_1000)),
    ("faster_than_roofline", "runtime_s", request(0.3)),
    ("sparse_peak_as_dense", "runtime_s", request(0.010, output_tokens=1.0)),
    ("power_above_limit", "power_w", server({"power_w": 850.0})),
    ("power_above_limit", "energy_per_token_j", server({"energy_per_token_j": 0.425})),
    ("power_below_idle", "power_w", server({"power_w": 30.0})),
    ("power_below_idle", "power_w", server(device_count=32)),
    ("seconds_as_joules", "energy_per_token_j", server({"energy_per_token_j": 0.031})),
    ("seconds_as_joules", "energy_j", server({"energy_j": 0.031 * 500})),
    ("seconds_as_joules", "energy_j", server({"energy_j": 500 * 64 / 2000})),
    ("millijoules_as_joules", "energy_j", spent(310.5e3)),
    ("kilojoules_as_joules", "energy_j", spent(0.3105, power_w=258.7)),
    ("watt_hours_as_joules", "energy_j", spent(310.5 / 3600, power_w=258.7)),
    ("kilowatt_hours_as_joules", "energy_j", spent(310.5 / 3.6e6)),
    ("batch_total_as_request", "energy_j", spent(1050.0, 1.5, batch=16.0)),
    ("kilowatts_as_watts", "power_w", spent(power_w=0.2587)),
    ("milliwatts_as_watts", "power_w", spent(power_w=258.7e3)),
    ("milliseconds_as_seconds", "energy_j", spent(runtime_s=1200.0)),
    ("time_divided_twice", "energy_j", spent(runtime_s=0.0012)),
    ("unit_unclear", "energy_j", spent(310.5 / 3600)),  # or kJ: both give what a card may draw
    ("latency_rate_mismatch", "itl_median_s", served(1000.0)),
    ("latency_rate_mismatch", "tpot_s", server({"tpot_s": 31.0})),
    ("percentile_order", "itl_median_s", served(1000.0)),
    ("percentile_order", "itl_p90_s", served(0.1, "itl_p99_s")),
    ("memory_above_capacity", "peak_memory_bytes", memory(200e9)),
    ("memory_above_capacity", "memory_bytes", memory(90e9, "memory_bytes", "device",
                                                     device_count=2)),
    ("memory_below_weights", "peak_memory_bytes", memory(1e6)),
    ("gib_as_gb", "peak_memory_bytes", memory(14.96e9)),
    ("gib_as_gb", "peak_memory_bytes", memory(80e9 * 1.0737 * 1.0737)),
    ("millijoules_as_joules", "energy_per_token_j", server({"energy_per_token_j": 300.0})),
    ("millijoules_as_joules", "energy_j", server({"energy_j": 150_000.0}, device_kind=None)),
]  # fmt: skip
ELSEWHERE = {
    "repeat_not_positive", "exact_multiple", "copied_block", "duplicate_row", "republished_row",
}  # fmt: skip


@pytest.mark.parametrize(("code", "quantity", "rows"), BREAKS, ids=[b[0] for b in BREAKS])
def test_each_rule_fires_and_names_the_value(
    code: str, quantity: str, rows: list[Reported]
) -> None:
    assert (code, quantity) in found(rows)


def test_every_rule_has_a_case() -> None:
    cases = {code for code, _, _ in BREAKS} | ELSEWHERE
    assert {rule.code for rule in REPORTED_RULES} == cases


@pytest.mark.parametrize(
    "rows",
    [
        server(),
        request(0.7),
        parts(125.0, gpu=80.0, cpu=40.0, ram=5.0),
        parts(200.0, gpu=80.0, cpu=40.0),  # a whole may hold parts that are not listed
        phases(5.0),
        server({"tpot_s": 0.006}),  # a median gap is no mean step
    ],
    ids=["server", "request", "parts", "some parts", "phases", "median gap"],
)
def test_sound_rows_break_nothing(rows: list[Reported]) -> None:
    assert found(rows) == set()
    assert audit_reported(table_of(rows[:0])) == []


@pytest.mark.parametrize(
    "what",
    [
        {"model_name": "an unknown model"},
        {"device_kind": "an unknown card", "boundary": None},
        {"dtype": None},
        {"dtype": "bf16", "quantization": "a new scheme"},
        {"work_unit": "image"},
        {"phase": "e2e"},  # such a rate may count prompt tokens
    ],
    ids=str,
)
def test_what_is_not_known_accuses_nobody(what: dict[str, Any]) -> None:
    fast = {"tokens_per_s": 64 * 1000.0, "energy_per_token_j": 600 / 64_000}
    codes = {rule for rule, _ in found(server(fast | {"energy_j": 500 * 600 / 64_000}, **what))}
    assert not codes & {"mfu_above_one", "mbu_above_one", "faster_than_roofline"}


@pytest.mark.parametrize(
    "rows",
    [
        memory(16.2e9),
        memory(85.8e9),
        memory(8.1e9, device_count=2),  # the peak of one of two
        memory(170e9, device_count=2),
        memory(14.96e9, dtype="fp8"),
        memory(14.96e9, dtype=None),
        memory(1e9, backend="accelerate, CPU offload"),
        memory(200e9, "cpu_memory_bytes"),
        memory(200e9, device_kind="an unknown card"),
        memory(1e6, model_name="an unknown model"),
    ],
)
def test_memory_is_judged_in_favour_of_the_row(rows: list[Reported]) -> None:
    assert found(rows) == set()


def test_memory_that_no_exchange_of_units_explains_is_only_impossible() -> None:
    assert found(memory(1e6)) == {("memory_below_weights", "peak_memory_bytes")}
    assert found(memory(200e9)) == {("memory_above_capacity", "peak_memory_bytes")}


def test_equal_memory_of_many_rows_is_no_copy() -> None:
    rows = [
        replace(value, row=f"{model} {batch}", batch=float(batch), model_name=model)
        for model in ("a", "b")
        for batch in range(1, 9)
        for value in memory(16.2e9 + batch * 123_456_789)[1:]
    ]
    assert found(rows) == set()


@pytest.mark.parametrize(
    "extra", [{"technique": "speculative"}, {"cached_prompt_tokens": 900.0}], ids=str
)
def test_a_stated_technique_or_cached_prompt_is_not_held_to_the_roofline(
    extra: dict[str, Any],
) -> None:
    fast = request(0.3)
    assert ("faster_than_roofline", "runtime_s") in found(fast)
    assert found([replace(r, extra=extra) for r in fast]) == set()
    plain = [replace(r, extra={"technique": "plain", "cached_prompt_tokens": 0.0}) for r in fast]
    assert ("faster_than_roofline", "runtime_s") in found(plain)


DIAGNOSES = {rule.code for rule in UNIT_RULES}


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        (spent(power_w=0.2587), {("kilowatts_as_watts", "power_w")}),
        (spent(0.3105, power_w=0.2587),
         {("kilojoules_as_joules", "energy_j"), ("kilowatts_as_watts", "power_w")}),
        (spent(runtime_s=0.0012), {("time_divided_twice", "energy_j")}),
        (spent(runtime_s=0.0012, model_name="an unknown model"), {("unit_unclear", "energy_j")}),
        (spent(4968.0, batch=16.0), {("unit_unclear", "energy_j")}),
        (spent(power_w=0.2587, device_kind=None), {("unit_unclear", "energy_j")}),
        (spent(2400.0, power_w=2000.0), set()),  # impossible, and no unit explains it
        (spent(power_w=274.5), set()),
        (spent(2 * 310.5, power_w=258.7), set()),
        (server({"power_w": 1500.0, "energy_j": 375.0, "energy_per_token_j": 0.75}), set()),
    ],
)  # fmt: skip
def test_a_cause_is_said_where_it_alone_fits(
    rows: list[Reported], named: set[tuple[str, str]]
) -> None:
    assert {f for f in found(rows) if f[0] in DIAGNOSES} == named


def test_where_several_causes_fit_all_are_named_and_none_excludes() -> None:
    (finding,) = [f for f, _ in audit(spent(4968.0, batch=16.0)) if f.rule == "unit_unclear"]
    assert "mJ taken for J, or the joules of a batch" in finding.sentence
    assert finding.severity == "warn"


def test_percentiles_in_order_and_gaps_near_the_rate_are_sound() -> None:
    assert found(served(1.0)) == set()
    assert found(served(0.2)) == set()  # tokens streamed several at a time
    assert found(server({"tpot_s": 0.25})) == set()


def test_joules_of_the_whole_node_have_no_upper_bound_from_its_cards() -> None:
    high = {"power_w": 1200.0, "energy_per_token_j": 0.6, "energy_j": 300.0}
    assert found(server(high, boundary="wall")) == set()
    assert ("power_above_limit", "power_w") in found(server(high))


def test_joules_may_happen_to_be_as_many_as_the_seconds() -> None:
    """600 W for 600 sequences: J/token equals the seconds between tokens, and nothing is wrong."""
    same = {"tokens_per_s": 20_000.0, "tpot_s": 0.03, "energy_per_token_j": 0.03, "energy_j": 15.0}
    assert found(server(same, batch=600.0)) == set()
    assert ("seconds_as_joules", "energy_j") in found(server({"energy_j": 0.031 * 500.4}))


def test_the_batch_of_a_shared_request_is_taken_in_its_favour() -> None:
    """Without a batch, joules over seconds may be one of many shares of the power."""
    rows = request(10.0, batch=None)
    rows.append(replace(rows[0], quantity="energy_j", value=100.0, unit="J"))
    assert found(rows) == set()
    alone = [replace(row, batch=1.0) for row in rows]
    assert ("power_below_idle", "energy_j") in found(alone)


def test_a_repeat_that_is_not_positive_is_named_beside_the_others() -> None:
    values = [310.0, 305.0, 312.0, 0.0, 308.0, 311.0, -4.0, 309.0, 307.0, 306.0]
    rows = [r for i, v in enumerate(values) for r in server(row=str(i)) if r.quantity == "energy_j"]
    rows = [
        replace(r, value=v, row=str(i)) for i, (r, v) in enumerate(zip(rows, values, strict=True))
    ]
    named = {(f.rule, row.row) for f, row in audit(rows)}
    assert named == {
        ("zero_for_missing", "3"), ("repeat_not_positive", "3"),
        ("negative_value", "6"), ("repeat_not_positive", "6"),
    }  # fmt: skip
    sentence = next(f.sentence for f, _ in audit(rows) if f.rule == "repeat_not_positive")
    assert "10 repeats" in sentence and "307.5" in sentence


def block(model: str, factor: float = 1.0) -> list[Reported]:
    facts = {"model_name": model, "phase": "e2e", "unit": "s", "quantity": "runtime_s"}
    return [
        Reported(row=f"{model} {i}", value=factor * v, batch=float(i), **facts)  # type: ignore[arg-type]
        for i, v in enumerate([1.2345678, 2.1347651, 3.9481265, 4.4713288, 5.8123341], 1)
    ]


def test_multiples_and_copies_of_a_block() -> None:
    assert found(block("a") + block("b", 1.3)) == {("exact_multiple", "runtime_s")}
    finding, row = audit(block("a") + block("b", 1.3))[0]
    assert row.model_name == "b" and finding.value == 1.3 and "that of a," in finding.sentence
    assert found(block("a") + block("b")) == {("copied_block", "runtime_s")}


def digits(row: str, **what: Any) -> list[Reported]:
    return [replace(r, row=row) for r in spent(310.5271, 1.234567, **what)]


def test_a_row_listed_again_is_found_in_its_later_listings() -> None:
    named = {(f.rule, row.row) for f, row in audit([*digits("1"), *digits("2"), *digits("3")])}
    assert named == {("duplicate_row", "2"), ("duplicate_row", "3")}
    few = [replace(r, row=str(i)) for i in range(3) for r in spent(310.0, 1.2)]
    assert found(few) == set(), "repeats may share three digits"
    five = [replace(r, row=str(i)) for i in range(5) for r in spent(310.52, 1.234)]
    assert found(five) == {("duplicate_row", "energy_j"), ("duplicate_row", "runtime_s")}
    assert found([*digits("1"), *digits("2", output_tokens=101.0)]) == set(), "another workload"
    marked = [replace(r, extra={"twin_of": "1"}) for r in digits("2")]
    assert found([*digits("1"), *marked]) == set(), "its importer has said so"


def test_a_block_of_few_digits_listed_twice_is_taken_together() -> None:
    base = [(64, 200.12, 1.02), (128, 311.77, 1.31), (256, 520.31, 2.21), (512, 991.41, 4.13)]
    rows = [
        replace(r, row=f"{listing} {o}")
        for listing in ("a", "b")
        for o, joules, seconds in base
        for r in spent(joules, seconds, prompt_tokens=64.0, output_tokens=float(o))
    ]
    named = {row.row for f, row in audit(rows) if f.rule == "duplicate_row"}
    assert named == {f"b {o}" for o, _, _ in base}
    assert found(rows[:8] + rows[8:10]) == set(), "one such row alone may be a repeat"


def test_a_rate_alone_may_be_what_a_load_test_set() -> None:
    rate = next(r for r in server({"tokens_per_s": 2000.1234567}) if r.quantity == "tokens_per_s")
    assert found([rate, replace(rate, row="2")]) == set()


def test_a_row_of_an_earlier_source_is_said_to_be_published_again() -> None:
    table = pd.concat([table_of(digits("1"), "a"), table_of(digits("7"), "b")], ignore_index=True)
    table = table.assign(id=range(1, 5))
    together = audit_reported(table)
    assert {(f.rule, f.severity, f.subject_id) for f in together} == {
        ("republished_row", "info", 3), ("republished_row", "info", 4)
    }  # fmt: skip
    assert "row 1 of a" in together[0].sentence
    assert audit_reported(table[2:], table[:2]) == together
    assert audit_reported(table[:2], table[2:]) == [], "the earlier one is not marked"


def test_joules_and_seconds_of_one_row_are_put_side_by_side() -> None:
    table = claims(table_of(server())).set_index("quantity")
    token, whole = table.loc["energy_per_token_j"], table.loc["energy_j"]
    assert token["time_s"] == pytest.approx(1 / 2000) and whole["time_s"] == pytest.approx(0.25)
    assert token["power_w"] == pytest.approx(600) and whole["power_w"] == pytest.approx(600)
    assert table.loc["tokens_per_s", "time_s"] == pytest.approx(0.032)
    assert whole["tokens_counted"] == pytest.approx(whole["tokens_stated"])
