"""Plans: identity, order, what flags and files make of them, and what they refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.errors import InputError
from observatory.records import Device, Phase, Workload
from runners.devices import Chosen, choose_device, visible_devices
from runners.grid import GRIDS, default_grid, fit_within, grid_of, points_of
from runners.memory import estimate, refusal
from runners.models import resolve
from runners.plan import Plan, Point
from runners.plan_file import read_plan_file
from runners.request import ModelRequest, Request, default_models, make_plan

CPU = Chosen("cpu")


def small_plan(seed: int = 0, **how: object) -> Plan:
    request = Request(seed=seed, models=(ModelRequest("SmolLM2-135M"), ModelRequest("Pythia-160M")))
    return replace(make_plan(request, CPU, 2, resolve)[0], **how)  # type: ignore[arg-type]


def test_a_plan_comes_back_equal_from_json() -> None:
    plan = small_plan()
    again = Plan.from_mapping(json.loads(json.dumps(plan.to_mapping())))
    assert again == plan and again.hash == plan.hash


def test_a_mapping_that_is_no_plan_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="stored plan"):
        Plan.from_mapping({"profile": "quick"})


@given(st.integers(0, 10**6), st.integers(0, 5))
def test_order_is_a_permutation_that_seed_and_round_decide(seed: int, index: int) -> None:
    plan = small_plan(seed)
    target = plan.targets[0]
    order = plan.point_order(target, index)
    work = [p for p in target.points if p.role != "idle"]
    assert sorted(p.label for p in order) == sorted(p.label for p in work)
    assert [order[0].name, order[-1].name] == ["anchor start", "anchor end"]
    assert order == plan.point_order(target, index)


def test_another_seed_another_order_and_another_hash() -> None:
    first, second = small_plan(1), small_plan(2)
    assert first.hash != second.hash
    assert first.point_order(first.targets[0], 0) != second.point_order(second.targets[0], 0)
    assert first.point_order(first.targets[0], 0) != first.point_order(first.targets[0], 1)


def test_the_same_point_twice_is_refused() -> None:
    one = Point(Phase.PREFILL, Workload.prefill(8))
    request = Request(models=(ModelRequest("SmolLM2-135M", points=(one, one)),))
    with pytest.raises(InputError, match="twice"):
        make_plan(request, CPU, 1, resolve)


def test_the_default_run_holds_twelve_requests_out_inside_the_fitted_ranges() -> None:
    plan, _ = make_plan(Request(), CPU, 2, resolve)
    assert [t.model for t in plan.targets] == ["SmolLM2-135M", "Pythia-160M"]
    assert plan.processes == 2
    held = [p for t in plan.targets for p in t.points if p.role == "heldout"]
    assert len(held) >= 12
    for target in plan.targets:
        fitted = target.candidates
        prompts = [p.workload.prompt_tokens for p in fitted if p.phase == Phase.PREFILL]
        contexts = {p.workload.context_tokens for p in fitted if p.phase == Phase.DECODE}
        reach = max(p.longest_context for p in fitted if p.phase == Phase.DECODE)
        assert len(contexts) >= 2
        requests = [p for p in target.points if p.role == "heldout"]
        assert len(requests) >= 6
        for point in requests:
            assert min(prompts) < point.workload.prompt_tokens < max(prompts)
            assert point.workload.prompt_tokens not in prompts
            assert point.longest_context <= reach


@pytest.mark.parametrize("key", sorted(GRIDS))
def test_grids_hold_requests_out_between_their_prompts(key: tuple[str, str]) -> None:
    grid = GRIDS[key]
    assert {p for p, _ in grid.requests}.isdisjoint(grid.prompts)
    assert all(grid.prompts[0] < p < grid.prompts[-1] for p, _ in grid.requests)
    assert len(grid.requests) >= 6 and len(grid.contexts) >= 2


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=6, unique=True))
def test_given_prompts_are_fitted_and_midpoints_held_out(prompts: list[int]) -> None:
    grid = grid_of(tuple(prompts), (4, 9), default_grid("cpu", "quick"), None)
    assert list(grid.prompts) == sorted(prompts)
    assert {o for _, o in grid.requests} == {4, 9}
    assert all(min(prompts) <= p <= max(prompts) for p, _ in grid.requests)


def test_grids_end_where_the_context_ends() -> None:
    default = default_grid("cuda", "standard")
    short = fit_within(default, 2048)
    assert max(short.prompts) < 2048 and all(p + o <= 2048 for p, o in short.requests)
    with pytest.raises(InputError, match="context ends at 2048"):
        grid_of((4096,), (), default, 2048)


def test_batches_repeat_the_grid() -> None:
    grid = default_grid("cpu", "quick")
    assert len(points_of(grid, (1, 4))) == 2 * len(points_of(grid, (1,)))
    with pytest.raises(InputError, match="--batch 0"):
        points_of(grid, (0,))


CARDS = [
    Device(0, "cuda", "A", uuid="GPU-aaaa"),
    Device(1, "cuda", "B", uuid="GPU-bbbb"),
]


@pytest.mark.parametrize(
    ("value", "names"),
    [(None, "AB"), ("1", "B"), ("1,0", "BA"), ("GPU-b", "B"), ("", ""), ("7", ""), ("0,x,1", "A"),
     ("GPU-", "")],
)  # fmt: skip
def test_visible_devices_follow_cuda(value: str | None, names: str) -> None:
    environ = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    assert "".join(d.name for d in visible_devices(CARDS, environ)) == names


def test_a_device_that_is_not_there_is_refused() -> None:
    assert choose_device("auto", [], {}).kind == "cpu"
    for asked in ("cuda", "cuda:0", "tpu", "cuda:x"):
        with pytest.raises(InputError, match="--device"):
            choose_device(asked, [], {})


def test_default_models_of_an_accelerator_are_the_two_largest_that_fit() -> None:
    card = Chosen("cuda", CARDS[0])
    assert default_models(card, 80 * 2**30, resolve) == ["Llama-3.1-8B", "Qwen2.5-7B"]
    assert default_models(card, 8 * 2**30, resolve) == ["Llama-3.2-1B", "Qwen2.5-1.5B"]
    assert default_models(card, 2**20, resolve) == ["Qwen2.5-0.5B"]


def test_memory_estimate_holds_weights_and_cache_and_refuses() -> None:
    request = Request(models=(ModelRequest("Llama-3.1-8B"),))
    plan, models = make_plan(request, CPU, 1, resolve)
    target, model = plan.targets[0], models["Llama-3.1-8B"].architecture
    point = Point(Phase.DECODE, Workload.decode(1000, 24, batch=2))
    needed = estimate(model, target, point)
    assert needed.weights == 2 * 8_030_261_248
    assert needed.kv_cache == 2 * 1024 * 2 * 8 * 128 * 32 * 2  # B c 2 K h L bytes
    assert refusal(model, target, point, needed.total) is None
    assert "estimated need" in str(refusal(model, target, point, needed.total - 1))
    assert refusal(model, target, point, None) is None


GOOD = """
profile: standard
timeout: 60
defaults: {dtype: float32}
models:
  - model: SmolLM2-135M
    prompt: [8, 64]
    batch: [1, 4]
  - model: Pythia-160M
    threads: 1
    cells:
      - {phase: prefill, prompt: 128}
      - {phase: decode, context: 512, steps: 16, batch: 8}
      - {phase: e2e, prompt: 100, output: 12, name: short}
"""


def read(tmp_path: Path, text: str) -> Request:
    (tmp_path / "plan.yaml").write_text(text)
    return read_plan_file(tmp_path / "plan.yaml")


def test_a_plan_file_says_what_flags_say(tmp_path: Path) -> None:
    request = read(tmp_path, GOOD)
    assert (request.profile, request.timeout_s) == ("standard", 60)
    first, second = request.models
    assert (first.dtype, first.prompts, first.batches) == ("float32", (8, 64), (1, 4))
    assert second.threads == 1 and second.dtype == "float32"
    assert [p.role for p in second.points] == ["fit", "fit", "heldout"]
    assert second.points[1].workload == Workload.decode(512, 16, 8)
    assert second.points[2].label == "short"


BAD = [
    ("profile: standard", "profil: standard", "line 2: unknown key 'profil': did you mean"),
    ("timeout: 60", "timeout: soon", "line 3: timeout 'soon': expected a number"),
    ("timeout: 60", "timeout: -1", "line 3: timeout -1"),
    ("prompt: [8, 64]", "prompt: [8, 0]", "line 7: prompt 0"),
    ("prompt: [8, 64]", "prompt: [8, true]", "line 7: prompt True"),
    ("batch: [1, 4]", "batch: many", "line 8: batch 'many'"),
    ("threads: 1", "threads: 0", "line 10: threads 0"),
    ("phase: prefill,", "phase: prefil,", "line 12: phase 'prefil'"),
    ("context: 512, ", "", "line 13: a decode cell needs 'context'"),
    ("output: 12", "steps: 12", "line 14: a e2e cell"),
    ("name: short", "role: judge", "line 14: role 'judge'"),
    ("  - model: Pythia-160M", "  - modell: Pythia-160M", "line 9: each model needs"),
    ("models:", "models: {", "line"),
    ("timeout: 60", "timeout: 60\ntimeout: 61", "line 4: key 'timeout' is given twice"),
    ("  - {phase: prefill", "  - !!python/object:os.system {phase: prefill", "line 12"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=[b[2] for b in BAD])
def test_a_bad_plan_file_names_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        read(tmp_path, GOOD.replace(old, new))
    assert message in str(caught.value) and "plan.yaml" in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a", "models: []", "models: 3", "3"])
def test_a_plan_file_without_models_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="line"):
        read(tmp_path, text)
