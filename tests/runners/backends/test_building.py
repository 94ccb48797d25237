"""Random weights are real: written, tied, finite, of the stated spread, the same for a seed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import tiny_models
import torch
from tiny_models import request

from runners.backends import building
from runners.backends.base import BackendError
from runners.backends.importing import import_transformers
from runners.backends.transformers import TransformersBackend

CPU = torch.device("cpu")
TRANSFORMERS = import_transformers()


def build(config: dict[str, Any], **options: Any) -> Any:
    settings = {
        "device": CPU,
        "dtype": torch.float32,
        "attention": "sdpa",
        "seed": 0,
        "workers": 1,
        **options,
    }
    return building.build_random(
        TRANSFORMERS, building.parse_config(TRANSFORMERS, config), **settings
    )


def llama_parameters(c: dict[str, Any]) -> int:
    """METHOD §4: the sum over embeddings, attention, gated MLP and norms."""
    d, f, L, V = c["hidden_size"], c["intermediate_size"], c["num_hidden_layers"], c["vocab_size"]
    h, H, K = d // c["num_attention_heads"], c["num_attention_heads"], c["num_key_value_heads"]
    layer = d * H * h + 2 * d * K * h + H * h * d + 3 * d * f + 2 * d
    return V * d + L * layer + d + (0 if c["tie_word_embeddings"] else V * d)


@pytest.mark.parametrize("tied", [True, False])
def test_count_and_tying(tied: bool) -> None:
    config = {**tiny_models.LLAMA, "tie_word_embeddings": tied}
    model = build(config)
    assert building.parameter_count(model) == llama_parameters(config)
    assert building.weight_bytes(model) == 4 * llama_parameters(config)
    head, embedding = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    assert (head.data_ptr() == embedding.data_ptr()) is tied


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_matrices_have_the_configured_spread_and_norms_are_one(dtype: torch.dtype) -> None:
    model = build({**tiny_models.LLAMA, "initializer_range": 0.02, "vocab_size": 9001}, dtype=dtype)
    for name, tensor in model.named_parameters():
        assert tensor.dtype == dtype
        if tensor.ndim < 2:
            assert torch.equal(tensor, torch.ones_like(tensor)), name
            continue
        values, n = tensor.float(), tensor.numel()
        assert abs(values.mean().item()) < 5 * 0.02 / math.sqrt(n), name
        assert values.std().item() == pytest.approx(0.02, rel=5 / math.sqrt(2 * n)), name
    embedding = model.get_input_embeddings().weight.view(-1)
    assert embedding.unique().numel() > (1000 if dtype != torch.float32 else 200_000)


def test_blocks_and_matrices_do_not_repeat() -> None:
    block = building._BLOCK
    whole = torch.empty(2 * block + 5)
    other = torch.empty(block)
    building.fill_normal([whole, other], 1.0, seed=3, workers=2)
    pieces = [whole[:block], whole[block : 2 * block], other]
    for i, a in enumerate(pieces):
        for b in pieces[:i]:
            correlation = torch.corrcoef(torch.stack([a, b]))[0, 1].item()
            assert abs(correlation) < 6 / math.sqrt(block)


def test_values_depend_on_the_seed_and_not_on_the_workers() -> None:
    def drawn(seed: int, workers: int) -> torch.Tensor:
        tensor = torch.empty(3 * building._BLOCK + 7)
        building.fill_normal([tensor], 1.0, seed, workers)
        return tensor

    assert torch.equal(drawn(5, 1), drawn(5, 4))
    assert not torch.equal(drawn(5, 1), drawn(6, 1))


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_buffers_equal_those_of_a_model_built_without_the_meta_device(family: str) -> None:
    config = tiny_models.FAMILIES[family]
    model = build(config)
    plain = TRANSFORMERS.AutoModelForCausalLM.from_config(
        building.parse_config(TRANSFORMERS, config), dtype=torch.float32
    )
    buffers, expected = dict(model.named_buffers()), dict(plain.named_buffers())
    assert buffers.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(buffers[name], value), name
    assert {n: p.shape for n, p in model.named_parameters()} == {
        n: p.shape for n, p in plain.named_parameters()
    }


def test_rotary_frequencies_stay_single_precision() -> None:
    model = build(tiny_models.LLAMA, dtype=torch.bfloat16)
    frequencies = model.model.rotary_emb.inv_freq
    assert frequencies.dtype == torch.float32
    assert frequencies[0] == 1.0


def test_memory_that_nobody_wrote_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "fill_normal", lambda tensors, *_: [t.zero_() for t in tensors])
    with pytest.raises(BackendError, match="holds no real values") as caught:
        build(tiny_models.LLAMA)
    assert caught.value.status == "crashed"


def test_a_hole_in_the_weights_is_found() -> None:
    matrix = torch.ones(64, 4096)
    building.check_pages([matrix])
    matrix[40:44] = 0.0  # 16 of 256 pages
    with pytest.raises(BackendError, match="pages of the weights were never written"):
        building.check_pages([torch.ones(3, 3), matrix])


def test_vectors_and_buffers_that_were_forgotten_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers.models.llama.modeling_llama import LlamaPreTrainedModel

    monkeypatch.setattr(LlamaPreTrainedModel, "initialize_weights", lambda self: None)
    with pytest.raises(BackendError, match="holds no real values"):
        build(tiny_models.LLAMA)


def test_a_forgotten_buffer_alone_is_found() -> None:
    model = build(tiny_models.LLAMA)
    building.check_weights(model)
    model.model.rotary_emb.inv_freq[1] = float("nan")
    with pytest.raises(BackendError, match=r"inv_freq holds no real values"):
        building.check_weights(model)


def test_untied_embeddings_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    original, calls = LlamaForCausalLM.tie_weights, []

    def tie_once(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(self)
        return original(self, *args, **kwargs) if len(calls) == 1 else None

    monkeypatch.setattr(LlamaForCausalLM, "tie_weights", tie_once)
    with pytest.raises(BackendError, match="weights were untied"):
        build(tiny_models.LLAMA)


def test_fewer_resident_bytes_than_weights_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(tiny_models.LLAMA)
    monkeypatch.setattr(building, "resident_bytes", lambda: building.weight_bytes(model) - 1)
    with pytest.raises(BackendError, match="zero page"):
        building.check_weights(model)


def test_logits_that_are_all_equal_are_found() -> None:
    model = build(tiny_models.LLAMA)
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
    with pytest.raises(BackendError, match="logits"):
        building.check_logits(model, 211)


def test_weights_larger_than_memory_are_oom_before_any_is_taken() -> None:
    giant = {
        **tiny_models.LLAMA,
        "hidden_size": 65536,
        "intermediate_size": 262144,
        "num_hidden_layers": 200,
        "num_attention_heads": 512,
        "num_key_value_heads": 512,
    }
    with pytest.raises(
        BackendError, match=r"weights need \d+\.\d GB, cpu has .* GB free"
    ) as caught:
        TransformersBackend().load(request(giant))
    assert caught.value.status == "oom"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "no 'model_type'"),
        ({"model_type": 3}, "no 'model_type'"),
        ({"model_type": "lama"}, "no architecture 'lama'.*llama"),
        ({"model_type": "t5"}, "not a causal language model"),
        (
            {"model_type": "bloom", "hidden_size": 32, "n_layer": 2, "n_head": 4},
            "no sdpa attention in transformers, use eager",
        ),
        ({**tiny_models.LLAMA, "hidden_size": "many"}, "'llama'"),
        ({**tiny_models.LLAMA, "num_attention_heads": 5}, "'llama'"),
        ({"model_type": "bert", "hidden_size": 24}, "no KV cache"),
    ],
)
def test_configurations_that_cannot_be_built_are_refused_in_one_line(
    config: dict[str, Any], words: str
) -> None:
    with pytest.raises(BackendError, match=words) as caught:
        TransformersBackend().load(request(config))
    assert caught.value.status == "refused"
    assert "\n" not in str(caught.value)


def test_code_of_a_repository_is_not_run() -> None:
    config = {**tiny_models.LLAMA, "auto_map": {"AutoModelForCausalLM": "evil--modeling.Evil"}}
    assert type(build(config)).__module__ == "transformers.models.llama.modeling_llama"
