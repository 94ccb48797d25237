"""Context sweeps: what windows, shared heads, fp8 and latent caches change."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from observatory.catalog import hardware
from observatory.catalog.architecture import lookup
from observatory.cli import observatory
from observatory.runtime.long_context import CONTEXTS, compare, sweep, variants

YI, A100 = lookup("Yi-34B"), hardware.lookup("a100")
ROOT = Path(__file__).parents[2]


def test_the_four_costs_grow_with_context() -> None:
    points = sweep(YI, A100, devices=4)
    assert [p.context for p in points] == list(CONTEXTS)
    assert CONTEXTS[0] == 4096 and CONTEXTS[-1] == 2**20
    for before, after in itertools.pairwise(points):
        assert after.prefill_s > 2 * before.prefill_s, "faster than linear"
        assert after.step_s > before.step_s
        assert after.kv_bytes == 2 * before.kv_bytes
        assert after.concurrency <= before.concurrency
        assert after.attention_share > before.attention_share
        assert before.switch_s is not None and after.switch_s == pytest.approx(2 * before.switch_s)


def test_unfused_attention_nears_twice_causal() -> None:
    first, *_, last = sweep(YI, A100, devices=4)
    assert 1 < first.prefill_unfused_s / first.prefill_s < 1.1
    assert 1.85 < last.prefill_unfused_s / last.prefill_s < 2


def test_attention_kinds() -> None:
    points = {(p.case, p.context): p for p in compare(YI, A100, (4096, 2**20), 1)}
    kinds = list(variants(YI))
    multi, grouped, fp8, windows, latent = (points[kind, 2**20] for kind in kinds)
    assert multi.kv_bytes == 7 * grouped.kv_bytes == 14 * fp8.kv_bytes
    assert grouped.prefill_s == fp8.prefill_s, "a smaller cache changes no arithmetic"
    assert windows.prefill_s < grouped.prefill_s / 3
    assert windows.kv_bytes < grouped.kv_bytes / 5
    assert latent.kv_bytes < grouped.kv_bytes / 3, "on one device there is one copy"
    assert latent.step_s < grouped.step_s and latent.prefill_s > grouped.prefill_s
    copied = next(p for p in compare(YI, A100, (2**20,), 4) if p.case == kinds[4])
    assert copied.kv_bytes == 4 * latent.kv_bytes
    short = [points[kind, 4096] for kind in kinds]
    assert short[3].kv_bytes == short[1].kv_bytes, "no window is full yet"


def test_released_context_is_marked() -> None:
    marks = [p.released for p in sweep(lookup("Llama-3.1 8B"), A100)]
    assert marks == [c <= 131072 for c in CONTEXTS]


def test_page_and_plot_are_what_the_code_says() -> None:
    done = subprocess.run([sys.executable, "tools/long_context.py", "--check"], cwd=ROOT,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_sweep_verb() -> None:
    arguments = ["capacity", "--sweep", "--model", "llama-3.1-8b", "--device", "h100"]
    result = CliRunner().invoke(observatory, [*arguments, "--json"])
    rows = json.loads(result.output)
    assert len(rows) == len(CONTEXTS) and {r["provenance"] for r in rows} == {"modelled"}
    text = CliRunner().invoke(observatory, arguments).output
    assert "1,048,576 *" in text and max(map(len, text.splitlines())) <= 100
