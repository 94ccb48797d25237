"""Every fit asked at once gives what each fit gives by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert, select

from observatory import answers
from observatory.answers.laws import read_laws
from observatory.errors import InputError
from observatory.records import Workload
from observatory.runtime.curves import PrefillCurve
from observatory.runtime.fit import Fit
from observatory.runtime.terms import Experts
from observatory.store import schema
from observatory.store.database import open_database
from tests import synthetic

KNOTS, ALPHA = (16.0, 64.0, 256.0, 1024.0), (0.011, 0.02, 0.06, 0.25)
CURVES = (
    PrefillCurve("linear", KNOTS, ALPHA),
    PrefillCurve("linear", KNOTS[:3], ALPHA[:3]),
    PrefillCurve("linear", KNOTS[:1], ALPHA[:1]),
    PrefillCurve("pchip", KNOTS, ALPHA),
    PrefillCurve("quadratic", KNOTS, ALPHA, (0.01, 1e-4, 1e-7)),
    PrefillCurve("roofline", KNOTS, ALPHA, (0.01, 2e-4, 3.0)),
)
STEPS: tuple[dict[str, Any], ...] = (
    {}, {"per_sequence_s": 1e-4}, {"per_context_token_s": None},
    {"experts_s": 2e-3, "experts": Experts(64, 8)},
)  # fmt: skip
ASKED = [(1, 1, 1), (16, 2, 1), (100, 20, 1), (256, 7, 4), (1024, 900, 1), (5000, 50, 2)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[Fit]]:
    """A synthetic store with one fit for each curve and step, and those fits."""
    path: Path = tmp_path_factory.mktemp("laws") / "synthetic.db"
    synthetic.record(path)
    engine = open_database(path)
    f = schema.fit
    with engine.begin() as connection:
        first = dict(
            connection.execute(select(f).where(f.c.quantity == "runtime_s")).mappings().one()
        )
        connection.execute(f.delete().where(f.c.quantity == "runtime_s"))
        base = Fit.from_json(first.pop("parameters"))
        first.pop("id")
        made: list[Fit] = []
        for curve in CURVES:
            for step in STEPS:
                made.append(replace(base, curve=curve, step=replace(base.step, **step),
                                    overhead_s=0.002 * (len(made) % 2)))  # fmt: skip
        for i, fit in enumerate(made):
            connection.execute(insert(f).values(
                first | {"parameters": fit.to_json(), "data_hash": f"synthetic {i}"}
            ))  # fmt: skip
    return engine, made


@pytest.mark.parametrize("request_", ASKED)
def test_one_question_to_all_fits_is_each_fits_own_answer(
    store: tuple[Any, list[Fit]], request_: tuple[int, int, int]
) -> None:
    engine, fits = store
    got = read_laws(engine).runtime.predict(*request_)
    assert len(got.runtime_s) == len(CURVES) * len(STEPS)
    for i, fit in enumerate(fits):
        own = fit.predict(*request_)
        assert got.runtime_s[i] == pytest.approx(own.runtime_s, rel=1e-14)
        assert got.prefill_s[i] == pytest.approx(own.prefill_s, rel=1e-14)
        assert got.ttft_s[i] == pytest.approx(own.ttft_s, rel=1e-14)
        assert got.extrapolated[i] == own.extrapolated
        if own.tpot_s is None:
            assert np.isnan(got.tpot_s[i])
        else:
            assert got.tpot_s[i] == pytest.approx(own.tpot_s, rel=1e-14)


def test_a_table_of_requests_says_what_the_estimates_say(tmp_path: Path) -> None:
    path = tmp_path / "synthetic.db"
    synthetic.record(path, "synthetic-1", noise=0.02)
    synthetic.record(path, "synthetic-2", synthetic.no_energy, model_name="SmolLM2-360M", scale=3)
    engine, workload = open_database(path), Workload.request(3000, 20)
    table = answers.request_table(engine, workload)
    estimates = {e.configuration_key: e for e in answers.estimate(engine, workload)}
    assert list(table["model"]) == ["SmolLM2-135M", "SmolLM2-360M"]
    for row in table.to_dict("records"):
        e = estimates[row["configuration_key"]]
        for name in ("model", "configuration", "runtime_s", "runtime_low_s", "ttft_s", "tpot_s",
                     "error_rel", "extrapolated", "precision", "accelerator_s"):  # fmt: skip
            assert row[name] == getattr(e, name), name
        assert e.extrapolation is not None and "prompt 3000 (measured 16-1024)" in e.extrapolation
    first, second = table["energy_j"]
    assert first == estimates[table["configuration_key"][0]].energy_j
    assert np.isnan(second)
    assert estimates[table["configuration_key"][1]].energy_reason == (
        "no sensor on this synthetic machine"
    )


def test_a_request_needs_tokens(store: tuple[Any, list[Fit]]) -> None:
    laws = read_laws(store[0])
    with pytest.raises(InputError, match="--prompt"):
        laws.requests(Workload.decode(16, 8))
    with pytest.raises(InputError, match="must be 1 or more"):
        laws.runtime.predict(0, 1)
