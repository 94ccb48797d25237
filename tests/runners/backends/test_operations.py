"""What an operation computes is what the model computes: cached steps equal a full forward."""

from __future__ import annotations

import gc
import math
import weakref
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from torch.profiler import ProfilerActivity, profile

from observatory.records import Workload
from runners.backends.base import BackendError
from runners.backends.operations import Loaded
from runners.backends.transformers import TransformersBackend

CONTEXT, STEPS = 11, 6  # beyond mistral's window of 8


class Recorder:
    """Inputs and last logits of every call of a model."""

    def __init__(self, model: Any) -> None:
        self.tokens: list[torch.Tensor] = []
        self.logits: list[torch.Tensor] = []
        self.shapes: list[tuple[int, ...]] = []
        self._hook = model.register_forward_hook(self._record, with_kwargs=True)

    def _record(self, _model: Any, _args: Any, kwargs: Any, output: Any) -> None:
        self.tokens.append(kwargs["input_ids"].clone())
        self.logits.append(output.logits[:, -1].clone())
        self.shapes.append(tuple(output.logits.shape))

    def clear(self) -> None:
        self.tokens.clear(), self.logits.clear(), self.shapes.clear()

    def remove(self) -> None:
        self._hook.remove()


def loaded_of(backend: TransformersBackend) -> Loaded:
    assert backend._loaded is not None
    return backend._loaded


def full_logits(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Logits of every position, without any cache."""
    with torch.inference_mode():
        return model(input_ids=tokens, use_cache=False).logits


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kv_cache", ["dynamic", "static"])
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_decode_equals_full_forward(family: str, kv_cache: str, attention: str, batch: int) -> None:
    backend = tiny_models.load(tiny_models.FAMILIES[family], kv_cache=kv_cache, attention=attention)
    loaded = loaded_of(backend)
    operation = backend.prepare("decode", Workload.decode(CONTEXT, STEPS, batch))
    context = loaded.tokens(batch, CONTEXT)[0]
    recorder = Recorder(loaded.model)
    first: list[torch.Tensor] = []
    for iteration in range(5):  # the fifth starts with the first one's token again
        recorder.clear()
        operation.run()
        assert len(recorder.tokens) == STEPS
        steps = [x.clone() for x in recorder.logits]
        fed = list(recorder.tokens)
        for logits, following in zip(steps, [*fed[1:], operation.token], strict=True):
            assert torch.equal(logits.argmax(-1, keepdim=True), following)
        whole = full_logits(loaded.model, torch.cat([context, *fed], dim=1))[:, CONTEXT:]
        assert torch.allclose(torch.stack(steps, 1), whole, atol=2e-4, rtol=1e-3)
        if iteration == 0:
            first = steps
    assert all(torch.equal(a, b) for a, b in zip(first, steps, strict=True))


@pytest.mark.parametrize("kv_cache", ["dynamic", "static"])
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_request_equals_generate(family: str, kv_cache: str) -> None:
    backend = tiny_models.load(tiny_models.FAMILIES[family], kv_cache=kv_cache)
    loaded, batch, prompt_tokens, output_tokens = loaded_of(backend), 2, 9, 7
    operation = backend.prepare("e2e", Workload.request(prompt_tokens, output_tokens, batch))
    prompts = loaded.tokens(batch, prompt_tokens)
    for prompt in [*prompts, prompts[0]]:
        operation.run()
        generated = loaded.model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=output_tokens,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        assert generated.shape == (batch, prompt_tokens + output_tokens)
        assert torch.equal(operation.token, generated[:, -1:])  # type: ignore[attr-defined]


@pytest.mark.parametrize("kv_cache", ["dynamic", "static"])
def test_prefill_starts_from_nothing_and_makes_last_logits_only(kv_cache: str) -> None:
    backend = tiny_models.load(tiny_models.LLAMA, kv_cache=kv_cache)
    loaded = loaded_of(backend)
    operation = backend.prepare("prefill", Workload.prefill(10, batch=2))
    recorder = Recorder(loaded.model)
    for _ in range(6):
        operation.run()
    recorder.remove()
    assert recorder.shapes == [(2, 1, 211)] * 6
    assert torch.equal(recorder.tokens[0], recorder.tokens[4])
    assert not torch.equal(recorder.tokens[0], recorder.tokens[1])
    for tokens, logits in zip(recorder.tokens, recorder.logits, strict=True):
        assert tokens.shape == (2, 10)
        whole = full_logits(loaded.model, tokens)[:, -1]
        assert torch.allclose(logits, whole, atol=2e-4, rtol=1e-3)


def test_static_cache_has_the_positions_of_its_workload() -> None:
    backend = tiny_models.load(tiny_models.LLAMA, kv_cache="static")
    operation = backend.prepare("decode", Workload.decode(5, 3))
    assert operation._stream._cache.layers[0].keys.shape[2] == 8  # type: ignore[attr-defined]


def test_units_of_work() -> None:
    backend = tiny_models.load(tiny_models.LLAMA)
    units = {
        "prefill": backend.prepare("prefill", Workload.prefill(10, 3)).tokens_per_iteration,
        "decode": backend.prepare("decode", Workload.decode(10, 4, 3)).tokens_per_iteration,
        "e2e": backend.prepare("e2e", Workload.request(10, 4, 3)).tokens_per_iteration,
    }
    assert units == {"prefill": 30, "decode": 12, "e2e": 42}


@pytest.mark.parametrize("kv_cache", ["dynamic", "static"])
@pytest.mark.parametrize("phase", ["prefill", "decode", "e2e"])
def test_closing_frees_at_once_and_leaves_the_model_usable(phase: str, kv_cache: str) -> None:
    backend = tiny_models.load(tiny_models.LLAMA, kv_cache=kv_cache)
    decode = phase == "decode"
    operation = backend.prepare(phase, Workload.decode(4, 2) if decode else Workload(4, 2))
    operation.run()
    keys = weakref.ref(operation._stream._cache.layers[0].keys)  # type: ignore[attr-defined]
    gc.disable()
    try:
        assert keys() is not None
        operation.close()
        assert keys() is None
    finally:
        gc.enable()
    again = backend.prepare("prefill", Workload.prefill(4))
    again.run()
    assert again.token.shape == (1, 1)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("phase", "workload", "words"),
    [
        ("decode", Workload.decode(0, 3), "context of at least 1"),
        ("decode", Workload.prefill(4), "context of at least 1"),
        ("decode", Workload.decode(4, 0), "at least 1"),
        ("prefill", Workload.prefill(0), "prompt of at least 1"),
        ("prefill", Workload.prefill(4, batch=0), "at least 1"),
        ("e2e", Workload.request(-2, 3), "prompt of at least 1"),
        ("idle", Workload.prefill(4), "no operation for phase 'idle'"),
        ("prefill", Workload.prefill(129), "takes 129 positions, the model has 128"),
        ("decode", Workload.decode(120, 9), "takes 129 positions, the model has 128"),
    ],
)
def test_workloads_that_make_no_sense_are_refused(
    phase: str, workload: Workload, words: str
) -> None:
    backend = tiny_models.load(tiny_models.LLAMA)
    with pytest.raises(BackendError, match=words) as caught:
        backend.prepare(phase, workload)
    assert caught.value.status == "refused"


def test_unknown_cache_layers_are_refused_for_decode() -> None:
    from runners.backends.caches import CacheMark

    class ConvolutionLayer:
        pass

    class Cache:
        layers = (ConvolutionLayer(),)

    with pytest.raises(BackendError, match="ConvolutionLayer cannot be set back"):
        CacheMark(Cache())


def test_a_failed_allocation_inside_an_iteration_is_oom(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = tiny_models.load(tiny_models.LLAMA)
    operation = backend.prepare("decode", Workload.decode(4, 2))

    def fail(_tokens: object) -> None:
        torch.empty(1 << 60)

    monkeypatch.setattr(operation._stream, "step", fail)  # type: ignore[attr-defined]
    with pytest.raises(BackendError, match="out of memory: decode") as caught:
        operation.run()
    assert caught.value.status == "oom"


def test_keys_and_values_that_cannot_fit_are_oom_before_they_are_allocated() -> None:
    backend = tiny_models.load(tiny_models.LLAMA)
    with pytest.raises(BackendError, match="keys and values of c=100 o=2 B=1000000000") as caught:
        backend.prepare("decode", Workload.decode(100, 2, batch=10**9))
    assert caught.value.status == "oom"


def test_nothing_records_gradients() -> None:
    backend = tiny_models.load(tiny_models.LLAMA)
    model = loaded_of(backend).model
    assert not model.training
    for phase, workload in (
        ("prefill", Workload.prefill(5)),
        ("decode", Workload.decode(5, 3)),
        ("e2e", Workload.request(5, 3)),
    ):
        operation = backend.prepare(phase, workload)
        operation.run()
        assert operation.token.is_inference()
        assert all(keys.is_inference() for keys in operation._stream.key_tensors())


@pytest.mark.parametrize("from_checkpoint", [False, True])
def test_the_output_head_is_not_copied_to_make_the_last_logits(
    from_checkpoint: bool, tmp_path: Path
) -> None:
    """What `generate` runs on a model that transformers loaded; see `runners.backends.building`."""
    backend = tiny_models.load(tiny_models.LLAMA, dtype="bfloat16")
    if from_checkpoint:
        loaded_of(backend).model.save_pretrained(tmp_path)
        backend = tiny_models.load(tiny_models.LLAMA, dtype="bfloat16", checkpoint=str(tmp_path))
    operation = backend.prepare("prefill", Workload.prefill(16))
    head = loaded_of(backend).model.get_output_embeddings().weight
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as traced:
        operation.run()
    copied = [
        event.input_shapes[0]
        for event in traced.events()
        if event.name == "aten::copy_" and math.prod(event.input_shapes[0]) >= head.numel()
    ]
    assert copied == []
