"""Lanes, names and the shipped scores."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import pytest

from observatory.capability.lanes import Lane, axis_of, matches, slug
from observatory.capability.names import architecture, model_name, user_aliases
from observatory.capability.scores import (
    Scored,
    for_precision,
    on_lane,
    shipped,
    shipped_rows,
    together,
)
from observatory.catalog.architecture import Architecture
from observatory.errors import InputError, UnknownNameError

LICENCES = {
    "Apache-2.0", "MIT", "CC BY 4.0 (Epoch AI)", "CC BY 4.0 (Epoch AI compilation)",
    "CC BY 4.0 (LLM-Stats)", "repo Apache-2.0 (bigscience)",
    "Llama community licence on document; numbers used as facts", "single facts, cited",
}  # fmt: skip


def test_a_lane_states_its_protocol_and_what_it_does_not_know() -> None:
    lane = Lane("MMLU", "acc", "5", "lm-eval-0.4.13", "harness-run", "2", precision="int4")
    assert lane.key == "mmlu/acc/5-shot/lm-eval-0.4.13/harness-run/version=2/precision=int4"
    assert axis_of(lane.key) == lane.axis == lane.key.removesuffix("/precision=int4")
    assert Lane("arc", "accuracy").key == "arc/accuracy/?/?/?"
    assert slug("  A/b (C)  ") == "a-b-c"
    assert Lane('"=1+1"', "@x").key == "1+1/x/?/?/?"  # a spreadsheet would run it


def test_patterns_match_whole_parts_only() -> None:
    lane = "mmlu/acc/5-shot/lm-eval/own"
    assert all(matches(p, lane) for p in ("mmlu", "mmlu/acc/...", "MMLU/acc/5-shot/", lane))
    assert not any(matches(p, lane) for p in ("mml", "mmlu_pro", "mmlu/ac", f"{lane}/chat=yes"))


@pytest.mark.parametrize(
    ("reported", "name", "arch"),
    [
        ("meta-llama/Llama-3.1-8B", "Llama-3.1 8B", "Llama-3.1 8B"),
        ("meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1 8B instruct", "Llama-3.1 8B"),
        ("metaai/Llama-2-7b-chat-hf", "Llama-2 7B chat", "Llama-2 7B"),
        ("deepseek-ai/DeepSeek-R1-0528", "DeepSeek-R1 0528", "DeepSeek-R1"),
        ("SmolLM2-135M", "SmolLM2-135M", "SmolLM2-135M"),
        ("llama2-70b-99.9", "Llama-2 70B chat", "Llama-2 70B"),
        ("nobody/knows-this-7b", "knows-this-7b", "knows-this-7b"),
    ],
)
def test_names(reported: str, name: str, arch: str) -> None:
    assert model_name(reported) == name
    assert architecture(name) == arch
    assert model_name(name) == name


def test_the_users_aliases_win(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("alias,name\nnobody/knows-this-7b,Llama-2 7B\nSmolLM2-135M,Mine\n")
    aliases = user_aliases(table)
    assert model_name("nobody/knows-this-7b", aliases) == "Llama-2 7B"
    assert model_name("SmolLM2-135M", aliases) == "Mine"


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "alias,name\nx,\n", "alias,name\nonly\n"])
def test_bad_alias_tables(content: str, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(content)
    with pytest.raises(InputError, match="alias"):
        user_aliases(table)


def test_every_shipped_row_has_a_source_and_a_licence_that_allows_it() -> None:
    rows = shipped()
    assert len(rows) > 3500
    assert {s.licence for s in rows} == LICENCES
    assert all(s.source.strip() and "unsourced" not in s.source.lower() for s in rows)
    keys = Counter((r["model_name"], r["lane"], r["source"]) for r in shipped_rows())
    assert max(keys.values()) == 1
    for s in rows:
        assert s.unit != "fraction" or 0 <= s.score <= 1
        assert s.stderr is None or s.stderr >= 0


def test_shipped_scores_are_those_of_the_reference(reference: Path) -> None:
    with (reference / "catalog/capability.csv").open(newline="") as stream:
        known = {(r["source"], r["benchmark"], r["score"], r["hf_id"] or r["model"])
                 for r in csv.DictReader(stream)}  # fmt: skip
    found = {(s.source, s.lane.benchmark, f"{s.score}", s.extra["reported_name"])
             for s in shipped()}  # fmt: skip
    loose = {(a, b, float(c), d) for a, b, c, d in known}
    assert {(a, b, float(c), d) for a, b, c, d in found} <= loose


def test_cited_facts_stand_for_small_models_or_where_nothing_open_does() -> None:
    cited = {architecture(s.model) for s in shipped() if s.licence == "single facts, cited"}
    open_ = {architecture(s.model) for s in shipped() if s.licence != "single facts, cited"}
    assert all(Architecture.lookup(name).parameters < 3.5e9 for name in cited & open_)


def test_the_two_models_of_the_default_run_share_lanes() -> None:
    lanes = [{s.lane.axis for s in shipped() if s.model == m}
             for m in ("SmolLM2-135M", "Pythia-160M")]  # fmt: skip
    assert len(lanes[0] & lanes[1]) >= 5


def test_two_lanes_are_refused_without_the_switch() -> None:
    rows = shipped_rows()
    with pytest.raises(InputError, match=r"lanes, which do not share an axis.*--mix-lanes"):
        on_lane(rows, "mmlu")
    scores, axes = on_lane(rows, "mmlu", mix=True)
    assert len(axes) > 1 and len(scores) > 100
    with pytest.raises(UnknownNameError, match="did you mean"):
        on_lane(rows, "mmlu/acc/5-shot/lm-evel")


def test_stored_rows_hide_their_shipped_twins() -> None:
    first = shipped_rows()[0]
    assert len(together([first])) == len(shipped_rows())
    assert len(together([first | {"source": "mine"}])) == len(shipped_rows()) + 1


def scored(precision: str | None, low: float | None = None) -> Scored:
    high = None if low is None else 1 - low
    return Scored(
        "m", "x", 0.5, 0.5, low, high, precision, f"source {precision}", "MIT", "fraction"
    )


def test_quantized_cost_joins_quantized_capability_or_inherits() -> None:
    full, four = scored("bfloat16"), scored("nf4")
    assert for_precision([full, four], "nf4") == (four, False)
    assert for_precision([full], "nf4") == (full, True)
    assert for_precision([full, four], "fp16") == (full, False)
    assert for_precision([four], None) == (four, True)
    assert for_precision([scored(None, 0.2), scored(None, 0.4)], None)[0].low == 0.4


def test_perplexity_counts_down() -> None:
    row = {"model_name": "m", "lane": "w/perplexity/?/?/x", "metric": "perplexity", "score": 9.0,
           "stderr": 0.5, "unit": "perplexity", "source": "s", "licence": "l"}  # fmt: skip
    (made,), _ = on_lane([row], "w")
    assert made.quality == -9.0 and made.low is not None and made.high is not None
    assert made.low < made.quality < made.high < 0


def test_an_axis_named_in_full_is_that_one_though_others_begin_with_it() -> None:
    row = dict(shipped_rows()[0])
    rows = [row | {"lane": lane} for lane in ("eci/acc/?/?/epoch", "eci/acc/?/?/epoch/effort=16k")]
    scores, axes = on_lane(rows, "eci/acc/?/?/epoch")
    assert axes == ["eci/acc/?/?/epoch"] and len(scores) == 1
    with pytest.raises(InputError, match="2 lanes"):
        on_lane(rows, "eci/acc")
    assert len(on_lane(rows, "eci/acc/?/?/epoch", mix=True)[0]) == 2


def test_lanes_of_most_models_are_named_first() -> None:
    """A pattern that names a hundred lanes is refused with those that are of use."""
    rows = [
        {"model_name": model, "lane": lane, "metric": "acc", "score": 0.5}
        for lane, models in (("b/acc/1-shot/h/a", "xx"), ("b/acc/1-shot/h/z", "xyz"))
        for model in models
    ]
    with pytest.raises(InputError, match=r"2 lanes.*first: b/acc/1-shot/h/z; b/acc/1-shot/h/a\. "):
        on_lane(rows, "b")


def test_an_alias_table_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin.csv").write_bytes("alias,name\nx,\u00e9\n".encode("latin-1"))
    for name, said in (
        ("pipe", "no plain one"),
        ("absent", "no such file"),
        ("latin.csv", "UTF-8"),
    ):
        with pytest.raises(InputError, match=said):
            user_aliases(tmp_path / name)
