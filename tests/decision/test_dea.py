"""DEA against exact worked examples: the rule is part of the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from observatory.decision.dea import cross_efficiency, self_efficiency
from observatory.errors import InputError


@pytest.fixture(scope="module")
def example(reference: Path) -> dict[str, Any]:
    return json.loads((reference / "expected" / "dea_example.json").read_text())


@pytest.mark.parametrize("rule", ["benevolent", "aggressive"])
def test_every_field_of_the_exact_example(example: dict[str, Any], rule: str) -> None:
    exact = example["example_exact"]
    x, y = exact["inputs"]["values"], exact["output"]["values"]
    made = cross_efficiency(exact["dmus"], x, y, rule)
    want = exact[rule]
    assert made.self_efficiency == pytest.approx(exact["ccr_self_efficiency"]["value"], abs=1e-6)
    assert np.array(made.matrix) == pytest.approx(
        np.array(want["cross_matrix_row_k_rates_col_j"]), abs=1e-6
    )
    assert made.score == pytest.approx(want["score_mean_including_self"], abs=1e-6)
    assert list(made.ranking) == want["rank_best_first"]
    without = cross_efficiency(exact["dmus"], x, y, rule, self_included=False)
    assert without.score == pytest.approx(want["score_mean_excluding_self"], abs=1e-6)


@pytest.mark.parametrize("rule", ["benevolent", "aggressive"])
def test_the_published_inputs_and_the_absolute_impacts(example: dict[str, Any], rule: str) -> None:
    paper = example["example_paper_inputs"]
    y = paper["output"]["values"]
    made = cross_efficiency(paper["dmus"], paper["inputs"]["values"], y, rule)
    assert made.self_efficiency == pytest.approx(paper["ccr_self_efficiency"], abs=1e-6)
    assert made.score == pytest.approx(paper[rule]["score_mean_including_self"], abs=1e-6)
    absolute = paper["same_models_with_absolute_impacts_as_inputs"]
    made = cross_efficiency(paper["dmus"], absolute["inputs"]["values"], y, rule)
    assert made.self_efficiency == pytest.approx(absolute["ccr_self_efficiency"], abs=1e-6)
    assert made.score == pytest.approx(absolute[rule], abs=1e-6)


def test_units_of_inputs_do_not_matter() -> None:
    x = np.array([[1.0, 5.0], [2.0, 2.0], [5.0, 1.0], [4.0, 3.0]])
    y = np.array([40.0, 52.0, 36.0, 60.0])
    scaled = x * np.array([3600.0, 1e-3])
    assert self_efficiency(x, y) == pytest.approx(self_efficiency(scaled, y * 7), abs=1e-9)
    a = cross_efficiency("ABCD", x, y, "aggressive")
    b = cross_efficiency("ABCD", scaled, y, "aggressive")
    assert a.score == pytest.approx(b.score, abs=1e-6)


def test_the_rule_changes_the_ranking() -> None:
    x, y = [[1, 5], [2, 2], [5, 1], [4, 3]], [40, 52, 36, 60]
    assert cross_efficiency("ABCD", x, y, "benevolent").ranking == ("B", "C", "D", "A")
    assert cross_efficiency("ABCD", x, y, "aggressive").ranking == ("B", "A", "C", "D")


@pytest.mark.parametrize(
    ("inputs", "outputs", "rule"),
    [
        ([[1.0], [0.0]], [1.0, 1.0], "benevolent"),
        ([[1.0], [float("nan")]], [1.0, 1.0], "benevolent"),
        ([[1.0], [2.0]], [1.0, -1.0], "benevolent"),
        ([[1.0], [2.0]], [0.0, 0.0], "benevolent"),
        ([[1.0], [2.0]], [1.0, 1.0], "kind"),
    ],
)
def test_bad_tables_are_refused_in_one_line(
    inputs: list[list[float]], outputs: list[float], rule: str
) -> None:
    with pytest.raises(InputError, match=r"^[^\n]+$"):
        cross_efficiency("AB", inputs, outputs, rule)
