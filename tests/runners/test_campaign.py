"""Campaign files, the shipped GPU campaign and what it is expected to take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from observatory.errors import InputError, UnknownNameError
from observatory.records import Phase
from runners.campaign import RESERVE_S, campaign
from runners.campaign_expect import expectations
from runners.campaign_file import read_campaign

ROOT = Path(__file__).resolve().parents[2]
GPU = ROOT / "results" / "campaigns" / "gpu.yaml"
MODELS = {"Llama-3.2-1B", "Llama-3.1-8B", "Qwen2.5-7B", "OLMoE-1B-7B"}
PART = "profile: quick\nmodels:\n  - model: SmolLM2-135M\n    cells:\n      - {phase: prefill, prompt: 8}\n"  # noqa: E501


def test_the_gpu_campaign_is_what_was_decided() -> None:
    parts = read_campaign(GPU)
    models = [model for part in parts for model in part.request.models]
    assert {m.model for m in models} == MODELS
    assert {(m.dtype, m.compile_mode, m.kv_cache) for m in models} == {
        ("bfloat16", "cuda_graph", "static")
    }
    points = [
        (m.model, point.phase, point.workload, part.request.profile)
        for part in parts for m in part.request.models for point in m.points
    ]  # fmt: skip
    assert len(points) == len({p[:3] for p in points}) == 24
    for model in MODELS:
        mine = [(phase, work) for name, phase, work, _ in points if name == model]
        prompts = sorted(w.prompt_tokens for phase, w in mine if phase == Phase.PREFILL)
        assert prompts == [128, 2048, 3840 if model.startswith("OLMoE") else 8192]
        decode = [w for phase, w in mine if phase == Phase.DECODE]
        assert sorted(w.batch for w in decode) == [1, 16, 64]
        assert {w.context_tokens for w in decode} == {2048}
    assert [p[3] for p in points].count("publishable") == 1
    assert [p[3] for p in points].count("standard") == 23


@pytest.mark.parametrize("device", ["H200", "H100-SXM5", "A100-SXM4-80GB"])
def test_it_fits_its_time_and_each_part_fits_a_piece(device: str) -> None:
    found = expectations(read_campaign(GPU), device)
    assert 22 * 60 < found.total.low_s < 24 * 60 and found.total.high_s < 25 * 60
    assert max(span.high_s for span in found.parts.values()) < 570 - RESERVE_S
    assert not any(cell.refused for cell in found.cells)


def test_the_budgets_hold_it_below_what_windows_beyond_the_least_can_take() -> None:
    unhurried = [
        replace(part, request=replace(part.request, budget_s=None)) for part in read_campaign(GPU)
    ]
    found = expectations(unhurried, "H200")
    assert 35 * 60 < found.total.high_s < 38.5 * 60
    assert max(span.high_s for span in found.parts.values()) < 570 - RESERVE_S


def test_what_does_not_fit_is_refused_with_its_reason_and_not_counted() -> None:
    small, large = (expectations(read_campaign(GPU), name) for name in ("V100-SXM2-32GB", "H200"))
    refused = [cell for cell in small.cells if cell.refused]
    assert refused and all("not enough memory: estimated need" in str(c.refused) for c in refused)
    assert {c.batch for c in refused} == {64}
    assert small.total.low_s < large.total.low_s


def test_expected_times_come_from_the_workload(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        PART.replace("prompt: 8", "prompt: 8192, batch: 64").replace("SmolLM2-135M", "Llama-3.1-8B")
    )
    (slow,) = expectations(read_campaign(file), "H100-SXM5").cells
    (fast,) = expectations(read_campaign(file), "B200").cells
    assert slow.expected_s > 2 * fast.expected_s > 60


@pytest.mark.parametrize(("text", "said"), [
    ("", "holds no part"),
    ("# nothing\n---\n---\n", "holds no part"),
    (PART + "---\n" + PART.replace("quick", "quick\nx: 3"), "part 2: line 8: unknown key 'x'"),
    (PART + "---\nmodels: 3\n", "part 2: line 7: 'models' must be a list"),
    ("profile: [\n", "part 1: line"),
])  # fmt: skip
def test_a_broken_campaign_names_part_and_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        read_campaign(file)
    assert said in str(caught.value) and str(caught.value).startswith(str(file))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read it: No such file"):
        read_campaign(tmp_path / "absent.yaml")


@pytest.mark.parametrize(("arguments", "said"), [
    (["--part", "9"], "has parts 1 to 5"),
    (["--on", "H200"], "--on goes with --dry-run"),
    (["--time-limit", "20"], "give 25 seconds at least"),
])  # fmt: skip
def test_wrong_usage(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(campaign, [str(GPU), *arguments])
    assert isinstance(done.exception, InputError) and said in str(done.exception)


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(UnknownNameError):
        expectations(read_campaign(GPU), "H900")
