"""Joules by phase: of each prompt token of prefill, of each output token of decode, mean watts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import text

from observatory.store.database import open_read_only
from tests import synthetic


def test_joules_of_each_token_and_mean_power_by_phase(tmp_path: Path) -> None:
    synthetic.record(tmp_path / "o.db")
    engine = open_read_only(tmp_path / "o.db")
    rows = pd.read_sql_query(text("SELECT * FROM v_phase_energy"), engine)
    watts = synthetic.CPU_W + synthetic.DRAM_W
    assert sorted(rows["phase"].unique()) == ["decode", "prefill"]
    assert rows["power_w"].to_numpy() == pytest.approx(watts)  # joules and times share the noise
    for row in rows.to_dict("records"):
        if row["phase"] == "prefill":
            prompt = int(row["prompt_tokens"])
            joules = watts * synthetic.runtime_s(prompt, 1) / prompt
            assert row["energy_per_prompt_token_j"] == pytest.approx(joules, rel=1e-4)
            assert pd.isna(row["energy_per_output_token_j"])
        else:
            steps = synthetic.STEPS
            joules = watts * synthetic.decode_s(int(row["context_tokens"]), steps) / steps
            assert row["energy_per_output_token_j"] == pytest.approx(joules, rel=1e-4)
            assert pd.isna(row["energy_per_prompt_token_j"])


def test_what_was_not_measured_is_null_with_its_reason(tmp_path: Path) -> None:
    synthetic.record(tmp_path / "o.db", energy=synthetic.no_energy)
    engine = open_read_only(tmp_path / "o.db")
    rows = pd.read_sql_query(text("SELECT * FROM v_phase_energy"), engine)
    columns = ["energy_per_prompt_token_j", "energy_per_output_token_j", "power_w"]
    assert rows[columns].isna().all().all()
    assert set(rows["energy_reason"]) == {"no sensor on this synthetic machine"}
