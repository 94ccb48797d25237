"""Fits from windows: which terms are offered, and joules that come with the seconds they took."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from observatory.ceilings import Ceilings
from observatory.errors import InputError
from observatory.fitting import fit_all, fit_group
from observatory.runtime.terms import Experts
from observatory.store.database import open_read_only
from tests import synthetic

MIXTURE = Experts(8, 2)
TIMES = dict.fromkeys(("energy_boundary", "energy_method", "energy_provenance"))


def mixture_s(batch: int) -> float:
    """Seconds of a decode step of a mixture of experts: a floor, and the experts that B touch."""
    return 0.010 + 0.030 * (1 - (1 - 2 / 8) ** batch)


def windows(step_s: Callable[[int], float], power_w: float = 100.0) -> pd.DataFrame:
    """One window of each point, as `reader.windows` and the audit leave them."""
    rows: list[dict[str, Any]] = []

    def add(phase: str, prompt: int | None, context: int | None, output: int, b: int, s: float
            ) -> None:  # fmt: skip
        rows.append({
            "configuration_key": "c", "environment_key": "e", "run_id": "r", "process_index": 0,
            "process_id": "p", "phase": phase, "prompt_tokens": prompt, "output_tokens": output,
            "context_tokens": context, "batch": b, "role": "fit", "excluded": False,
            "iterations": 4, "duration_s": 4 * s, "energy_device_j": 4 * s * power_w,
            "energy_cpu_j": None, "energy_dram_j": None, **TIMES,
        })  # fmt: skip

    for batch in (1, 2, 4, 8, 16):
        for prompt in (64, 256, 1024):
            add("prefill", prompt, None, 1, batch, 0.01 + 1e-5 * prompt * batch)
        for context in (64, 1024):
            add("decode", None, context, 16, batch, 16 * step_s(batch))
    return pd.DataFrame(rows)


def accepted(rows: pd.DataFrame, experts: Experts | None) -> set[str]:
    (made, *_) = fit_all(rows, experts={} if experts is None else {"c": experts})
    return {e.name for e in made.fit.evidence if e.accepted}


def test_a_mixture_of_experts_is_offered_its_term() -> None:
    rows = windows(mixture_s)
    assert "experts" in accepted(rows, MIXTURE)
    made = fit_group(rows, experts=MIXTURE)
    for batch in (1, 3, 16):
        told = made.fit.predict(64, 17, batch)
        assert told.decode_s == pytest.approx(16 * mixture_s(batch), rel=0.01)


def test_a_dense_model_is_not_and_evidence_decides() -> None:
    assert "experts" not in accepted(windows(mixture_s), None)
    assert accepted(windows(lambda b: 0.01 + 1e-3 * b), MIXTURE) == {"batch"}
    assert accepted(windows(lambda _: 0.01), MIXTURE) == set()


def test_the_store_knows_its_mixtures(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    synthetic.record(path, "synthetic-1", model_name="Mixtral-8x7B-v0.1")
    synthetic.record(path, "synthetic-2")
    key = synthetic.configuration_of(synthetic.model_named("Mixtral-8x7B-v0.1")).key
    with open_read_only(path).connect() as connection:
        assert Ceilings(connection).mixtures() == {key: MIXTURE}


def test_joules_come_with_the_seconds_that_measuring_them_took() -> None:
    rows = windows(lambda _: 0.01)
    time, joules = fit_group(rows), fit_group(rows, "energy_device_j")
    assert joules.fit.device_s == pytest.approx(time.fit.device_s)
    assert joules.fit.b0_s == pytest.approx(100 * time.fit.b0_s)
    assert min(joules.fit.curve.alpha_s) > 0


def test_joules_never_go_below_zero() -> None:
    with pytest.raises(InputError, match="negative"):
        fit_group(windows(lambda _: 0.01), "energy_device_j", "ols")


def test_what_is_missing_is_left_out() -> None:
    found = [made.quantity for made in fit_all(windows(lambda _: 0.01))]
    assert found == ["runtime_s", "energy_device_j"]  # no sensor saw the host
    assert not list(fit_all(pd.DataFrame()))
    decode_only = windows(lambda _: 0.01)
    assert not list(fit_all(decode_only[decode_only["phase"] == "decode"]))


def of_two_sensors(rows: pd.DataFrame) -> pd.DataFrame:
    """The same points seen again by a sensor of the whole host, which reads twice the joules."""
    device = rows.assign(energy_boundary="device", energy_method="nvml_counter",
                         energy_provenance="measured")  # fmt: skip
    host = device.assign(energy_boundary="host", energy_method="nvml_counter+rapl",
                         energy_device_j=2 * rows["energy_device_j"], process_index=1,
                         process_id="q")  # fmt: skip
    return pd.concat([device, host], ignore_index=True)


def test_joules_are_fitted_from_one_boundary_and_provenance() -> None:
    rows = windows(lambda _: 0.01)
    both = of_two_sensors(rows)
    made = fit_group(both, "energy_device_j")
    assert (made.energy_boundary, made.energy_method) == ("host", "nvml_counter+rapl")
    assert made.fit.b0_s == pytest.approx(200 * fit_group(rows).fit.b0_s)
    most = fit_group(both.drop(both.index[-1]), "energy_device_j")
    assert most.energy_boundary == "device"
    assert most.fit.b0_s == pytest.approx(100 * fit_group(rows).fit.b0_s)
    guess = both.assign(energy_provenance=both["energy_boundary"].map(
        {"device": "measured", "host": "estimated"}))  # fmt: skip
    assert fit_group(guess, "energy_device_j").energy_provenance == "measured"


def test_a_few_readings_do_not_take_away_the_fit_of_the_estimate() -> None:
    rows = windows(lambda _: 0.01).assign(
        energy_boundary="host", energy_method="codecarbon", energy_provenance="estimated"
    )
    few = rows[:2].assign(energy_method="rapl", energy_provenance="measured")
    made = fit_group(pd.concat([rows, few], ignore_index=True), "energy_device_j")
    assert made.energy_provenance == "estimated"
