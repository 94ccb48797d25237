"""Distributions of requests: moments equal the exact sum, plugged-in means do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.errors import InputError
from observatory.runtime.fit import Fit, fit
from observatory.runtime.observations import Point, observed
from observatory.runtime.requests import Requests, estimate_requests, moments, read_requests


def fitted() -> Fit:
    points = [Point("e2e", p, o) for p in (1, 128, 512, 1024) for o in (1, 8, 64)]
    return fit([
        observed(q, 0.02 + 1e-4 * q.prompt_tokens + 0.02 * q.steps + 1e-5 * q.context_sum)
        for q in points
    ])  # fmt: skip


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 64)), min_size=1, max_size=40))
@settings(max_examples=30, deadline=None)
def test_moments_equal_the_exact_mean(pairs: list[tuple[int, int]]) -> None:
    model = fitted()
    told = estimate_requests(model, Requests.of(pairs))
    by_hand = sum(model.predict(p, o).runtime_s for p, o in pairs) / len(pairs)
    assert told.exact_s == pytest.approx(by_hand, rel=1e-9)
    assert told.by_moments_s == pytest.approx(told.exact_s, rel=1e-9)
    assert told.requests == len(pairs)


def test_plugging_in_means_is_biased_and_says_by_how_much() -> None:
    told = estimate_requests(fitted(), Requests.of([(1, 1), (1000, 64)]))
    assert told.plug_in_bias < -0.05  # long prompts come with long answers: the product is missed
    assert told.plug_in_s == pytest.approx(told.exact_s * (1 + told.plug_in_bias))


def test_moments_by_hand() -> None:
    found = moments(Requests.of([(10, 3), (10, 3), (20, 1)]))
    assert found.steps == pytest.approx(4 / 3)
    assert found.prompt_steps == pytest.approx(40 / 3)
    assert found.own_context == pytest.approx(2.0)


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 64)), min_size=1, max_size=40))
@settings(max_examples=30, deadline=None)
def test_percentiles_are_of_the_requests_and_not_of_distinct_pairs(
    pairs: list[tuple[int, int]],
) -> None:
    model = fitted()
    told = estimate_requests(model, Requests.of(pairs))
    times = sorted(model.predict(p, o).runtime_s for p, o in pairs)
    for share, got in ((0.5, told.p50_s), (0.95, told.p95_s)):
        place = -(-round(share * 100) * len(times) // 100) - 1  # ceil, in whole numbers
        assert got == pytest.approx(times[place])
    assert told.mean_prompt == pytest.approx(sum(p for p, _ in pairs) / len(pairs))


def test_requests_outside_the_range_are_counted() -> None:
    told = estimate_requests(fitted(), Requests.of([(10, 3), (4000, 3)]))
    assert told.extrapolated_share == pytest.approx(0.5)


def test_a_trace_is_read_by_any_of_the_usual_names(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("when,num_prefill_tokens,num_decode_tokens\n0.1,12,3\n0.2,12,3\n0.5,9,1\n")
    found = read_requests(path)
    assert sorted(zip(found.prompt, found.output, found.count, strict=True)) == [
        (9.0, 1.0, 1.0), (12.0, 3.0, 2.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p,o\n", "none"),
        ("p,o\n5,0\n", "line 2"),
        ("p,o\n5,2\n5,-1\n", "line 3"),
        ("p,o\n5,2.5\n", "line 2"),
        ("p,o\n5\n", "line 2"),
        ("p,o\n5,²\n", "line 2"),
        ("p,x\n5,2\n", "no column"),
        ("", "no column"),
    ],
)
def test_bad_traces_are_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_requests(path)
    with pytest.raises(InputError):
        read_requests(tmp_path / "absent.csv")
