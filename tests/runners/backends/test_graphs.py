"""Captured decode steps: taken where they fill the cache rightly, else eager, and it is said why.

There is no GPU here: captures are stand-ins, except for the one that fails because there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import tiny_models
import torch

from observatory.records import Workload
from runners.backends import operations, transformers
from runners.backends.base import BackendError
from runners.backends.graphs import settle
from runners.backends.operations import Loaded

Forward = Callable[[Any], Any]


class Faithful:
    """Does in a replay what was captured."""

    def __init__(self, forward: Forward, token: Any, mark: Any) -> None:
        forward(token)
        mark.restore()
        self.forward = forward

    def __call__(self, token: Any) -> Any:
        return self.forward(token)


class Standing(Faithful):
    """Writes every step to the place of the first, as where a length is counted on the host."""

    def __init__(self, forward: Forward, token: Any, mark: Any) -> None:
        super().__init__(forward, token, mark)
        self.mark = mark

    def __call__(self, token: Any) -> Any:
        self.mark.restore()
        return self.forward(token)


def graphed(config: dict[str, Any]) -> Loaded:
    loaded = tiny_models.load(config, kv_cache="static")._loaded
    assert loaded is not None
    return replace(loaded, compile_mode="cuda_graph")


def use(monkeypatch: pytest.MonkeyPatch, capture: object) -> None:
    monkeypatch.setattr(operations, "CapturedStep", capture)


@pytest.mark.parametrize("family", ["llama", "qwen2", "olmoe", "gpt_neox"])
def test_a_faithful_capture_is_taken(monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    use(monkeypatch, Faithful)
    loaded = graphed(tiny_models.FAMILIES[family])
    assert settle(loaded) == (loaded, None)


def test_a_replay_that_stands_still_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Standing)
    settled, reason = settle(graphed(tiny_models.LLAMA))
    assert (settled.compile_mode, settled.kv_cache) == ("eager", "dynamic")
    assert reason == (
        "cuda_graph fell back to eager with a dynamic cache: "
        "replayed steps fill the cache otherwise than eager ones"
    )


def test_a_sliding_window_is_not_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Faithful)
    settled, reason = settle(graphed(tiny_models.MISTRAL))
    assert settled.compile_mode == "eager" and "sliding layer" in str(reason)


def test_a_capture_that_fails_falls_back_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: object) -> None:
        raise BackendError("refused", "this decode step cannot be captured: it waits for the host")

    use(monkeypatch, refusing)
    settled, reason = settle(graphed(tiny_models.OLMOE))
    assert settled.compile_mode == "eager" and "it waits for the host" in str(reason)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine that has no CUDA")
def test_without_cuda_the_real_capture_fails_and_eager_is_left() -> None:
    settled, reason = settle(graphed(tiny_models.LLAMA))
    assert settled.compile_mode == "eager" and reason


def test_no_memory_is_no_reason_to_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    use(monkeypatch, full)
    with pytest.raises(BackendError) as caught:
        settle(graphed(tiny_models.LLAMA))
    assert caught.value.status == "oom"


@pytest.mark.parametrize("mode", ["eager", "compile"])
def test_nothing_is_tried_where_no_graph_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    use(monkeypatch, None)
    loaded = replace(graphed(tiny_models.LLAMA), compile_mode=mode)
    assert settle(loaded) == (loaded, None)


def test_the_facts_say_what_runs_and_the_note_why(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = transformers._device

    def on_cpu(request: Any) -> torch.device:
        return plain(replace(request, compile_mode="eager"))

    monkeypatch.setattr(transformers, "_device", on_cpu)
    use(monkeypatch, Standing)
    backend = transformers.TransformersBackend()
    asked = tiny_models.request(tiny_models.LLAMA, compile_mode="cuda_graph", kv_cache="static")
    facts = backend.load(asked)
    assert (facts.compile_mode, facts.kv_cache) == ("eager", "dynamic")
    assert any(note.startswith("cuda_graph fell back to eager") for note in facts.notes)
    assert "prefill runs uncompiled, as in generate()" not in facts.notes
    backend.prepare("decode", Workload.decode(4, 2)).run()
    use(monkeypatch, Faithful)
    facts = transformers.TransformersBackend().load(asked)
    assert (facts.compile_mode, facts.kv_cache) == ("cuda_graph", "static")
    assert not any("fell back" in note for note in facts.notes)


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_static_cache_gives_the_numbers_of_a_dynamic_one(family: str, batch: int) -> None:
    """Greedy tokens and the logits that chose them, over a prompt and seven steps."""
    found = []
    for kind in ("dynamic", "static"):
        backend = tiny_models.load(tiny_models.FAMILIES[family], kv_cache=kind)
        loaded = backend._loaded
        assert loaded is not None
        logits: list[torch.Tensor] = []
        hook = loaded.model.get_output_embeddings().register_forward_hook(
            lambda _module, _inputs, output, kept=logits: kept.append(output[:, -1].clone())
        )
        operation = backend.prepare("e2e", Workload.request(12, 8, batch))
        logits.clear()
        operation.run()
        hook.remove()
        found.append((torch.stack(logits, 1), operation.token))  # type: ignore[attr-defined]
    (dynamic, last), (static, same) = found
    assert dynamic.shape[1] == 8
    torch.testing.assert_close(static, dynamic, rtol=1e-4, atol=1e-4)
    assert torch.equal(last, same)
