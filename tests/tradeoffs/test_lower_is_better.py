"""Scores of which less is better, and a measurement that several rows of a file repeat.

Numbers are synthetic: FP16 costs 2 J a token at a perplexity of 8, INT8 5 J at 9, NF4 1 J at 12.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from observatory.cli import observatory, run
from observatory.errors import InputError
from observatory.importers import registry
from observatory.importing import import_file
from observatory.store.database import open_read_only
from observatory.tradeoffs import frontier

LANE = "corpus-perplexity"
PAIRED = """run_id,gpu,model,precision,batch_size,energy_j_per_1k_tok,fp16_energy_j_per_1k_tok,\
perplexity,fp16_perplexity,decode_iterations
a,Synthetic GPU,synthetic,NF4,1,1000,2000,12,8,10
b,Synthetic GPU,synthetic,INT8,1,5000,2000,9,8,10
c,Synthetic GPU,other,NF4,1,1500,2000,13,7,10
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "paired.csv"
    path.write_text(PAIRED)
    assert import_file(tmp_path / "x.db", path).stored == 3
    return tmp_path / "x.db"


def test_a_baseline_that_two_rows_repeat_is_one_measurement(tmp_path: Path, database: Path) -> None:
    rows = list(registry.read(tmp_path / "paired.csv")[1].rows)
    plain = [fact for row in rows for fact in row.reported if fact.row.endswith(":fp16")]
    assert [fact.extra.get("twin_of") for fact in plain] == [None, "2:fp16", None]
    (group,) = frontier(open_read_only(database), "energy_j", LANE, imported=True).groups
    assert sorted((p.model, p.cost) for p in group.points) == [
        ("other", 1.5), ("other", 2.0), ("synthetic", 1.0), ("synthetic", 2.0), ("synthetic", 5.0),
    ]  # fmt: skip


@pytest.mark.parametrize(("bar", "cheapest"), [(12.5, "1.0"), (12, "1.0"), (10, "2.0"), (5, None)])
def test_a_perplexity_asked_for_is_the_most_that_is_allowed(
    bar: float, cheapest: str | None, database: Path
) -> None:
    made = frontier(open_read_only(database), "energy_j", LANE, imported=True, quality=bar)
    (group,) = made.groups
    found = {f"{p.model} ({p.configuration})": f"{p.cost}" for p in group.points}
    assert (found[group.cheapest] if group.cheapest else None) == cheapest


def test_the_reference_of_the_hypervolume_is_a_score(database: Path) -> None:
    """The worst perplexity, not its negative; the area is that of the two steps below it."""
    (group,) = frontier(open_read_only(database), "energy_j", LANE, imported=True).groups
    assert group.lower_is_better and group.score_unit == "perplexity"
    assert (group.cost_reference, group.score_reference) == (10.0, 13.0)
    area = (13 - 12) * math.log10(2 / 1) + (13 - 7) * math.log10(10 / 2)
    assert group.hypervolume == pytest.approx(area)


def test_what_a_person_reads(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["frontier", "--imported", "--cost", "energy_j", "--lane", LANE, "--db",
                 str(database)]  # fmt: skip
    assert run(observatory, arguments) == 0
    out = capsys.readouterr().out
    assert "200 mJ a score lower by 1" in out  # 1 J more for a perplexity of 7 after 12
    assert "to the reference 10.0 J, score 13" in out


def test_scores_that_count_in_two_directions_share_no_axis(database: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.csv"
    scores.write_text(
        "model,phase,benchmark,metric,score,source,licence\n"
        "synthetic,e2e,corpus-perplexity,accuracy,0.5,synthetic,CC0\n"
    )
    import_file(database, scores)
    with pytest.raises(InputError, match="mixes scores of which more is better"):
        frontier(open_read_only(database), "energy_j", LANE, imported=True, mix_lanes=True)
