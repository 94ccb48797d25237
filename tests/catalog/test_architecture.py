"""Counts against published and recomputed numbers, and configs that cannot be read."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.catalog import models
from observatory.catalog.architecture import Architecture, attended_pairs, lookup
from observatory.catalog.families import FAMILIES
from observatory.errors import InputError, UnknownNameError


def test_counts_equal_the_reference_table(reference: Path) -> None:
    expected = json.loads((reference / "expected/architecture_counts.json").read_text())
    assert len(expected) > 30
    for name, row in expected.items():
        arch = lookup(name)
        found = {
            "params": arch.parameters,
            "active": arch.active_parameters,
            "active_matmul": arch.active_matmul_parameters,
            "kv_bytes_per_token_fp16": arch.kv_bytes_per_token(2),
        }
        assert found == {key: row[key] for key in found}, name


def test_sliding_layers_follow_the_reference_table(reference: Path) -> None:
    with (reference / "catalog/models.csv").open() as file:
        for row in csv.DictReader(file):
            expected = int(float(row["sliding_layers"] or 0))
            assert lookup(row["name"]).sliding_layers == expected, row["name"]


@pytest.mark.parametrize(
    ("name", "per_token"),
    [
        ("Llama-2 7B", 524288),
        ("Llama-3 8B", 131072),
        ("Llama-2 70B", 327680),
        ("DeepSeek-V3", 70272),
    ],
)
def test_kv_bytes_per_token_published(name: str, per_token: int) -> None:
    assert lookup(name).kv_bytes_per_token(2) == per_token


def test_published_counts_are_near() -> None:
    """Vendors round; a published count more than 4 % away would be another model."""
    for row in models.rows():
        if row["published_parameters"] and "leaves out the embeddings" not in row["note"]:
            ratio = int(row["published_parameters"]) / lookup(row["name"]).parameters
            # LLaMA-1 30B is called 30B by its authors and has 32.5e9 parameters.
            assert abs(ratio - 1) < (0.08 if "LLaMA-1 30B" in row["name"] else 0.045), row["name"]


def test_published_active_counts_are_near() -> None:
    """gpt-oss cards count active parameters without the embedding table."""
    for name, published in (("Mixtral-8x7B", 12.9e9), ("Mixtral-8x22B", 39.1e9)):
        assert lookup(name).active_parameters == pytest.approx(published, rel=0.01)
    assert lookup("gpt-oss-20b").active_matmul_parameters == pytest.approx(3.6e9, rel=0.01)
    assert lookup("gpt-oss-120b").active_matmul_parameters == pytest.approx(5.1e9, rel=0.01)
    assert lookup("DeepSeek-V3").parameters == pytest.approx(671e9, rel=0.001)
    assert lookup("DeepSeek-V3").active_matmul_parameters == pytest.approx(37e9, rel=0.02)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("llama-3.1-8b", "Llama-3.1 8B"),
        ("LLAMA-3.1-8B", "Llama-3.1 8B"),
        ("meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1 8B"),
        ("gpt2", "GPT-2 small"),
        ("openai-community/gpt2", "GPT-2 small"),
        ("smollm2-135m", "SmolLM2-135M"),
        ("pythia_160m", "Pythia-160M"),
        ("EleutherAI/pythia-160m", "Pythia-160M"),
        ("allenai/OLMoE-1B-7B-0924", "OLMoE-1B-7B"),
        ("Qwen/Qwen3-30B-A3B-Thinking-2507", "Qwen3-30B-A3B"),
        ("google/gemma-3-27b-it", "Gemma-3-27B (text)"),
        ("gemma-3-27b", "Gemma-3-27B (text)"),
    ],
)
def test_lookup_by_any_spelling(spelling: str, name: str) -> None:
    assert lookup(spelling).name == name


def test_unknown_name_offers_near_matches() -> None:
    with pytest.raises(UnknownNameError, match=r"Llama-3.1 8B"):
        lookup("Llama-3.1 9B")


@pytest.mark.parametrize("name", models.names())
def test_config_round_trip(name: str) -> None:
    """Writing a config and reading it back changes no count and no window."""
    arch = lookup(name)
    if name == "YaLM-100B":
        with pytest.raises(InputError, match="no transformers class"):
            arch.to_config()
        return
    again = Architecture.from_config(arch.to_config())
    assert again.parameters == arch.parameters
    assert again.active_matmul_parameters == arch.active_matmul_parameters
    assert again.kv_cache_bytes(100_000) == arch.kv_cache_bytes(100_000)
    assert again.prefill_flops(5000) == arch.prefill_flops(5000)


LLAMA = {
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 100,
}  # fmt: skip


def test_hand_counted_llama() -> None:
    """d 64, 4 heads of 16 sharing 2 kv heads, f 128, V 100, two layers: counted on paper."""
    arch = Architecture.from_config(LLAMA)
    layer = 64 * 64 * 2 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64
    assert arch.parameters == 2 * layer + 2 * 100 * 64 + 64
    assert arch.active_matmul_parameters == 2 * (layer - 128) + 100 * 64
    assert arch.kv_bytes_per_token(2) == 2 * 2 * 2 * 16 * 2
    assert arch.decode_flops(10, 3) == 3 * (2 * arch.active_matmul_parameters + 4 * 64 * 2 * 10)
    pairs = 10 * 11 // 2
    linear = 2 * (arch.active_matmul_parameters - 6400) * 10 + 2 * 6400
    assert arch.prefill_flops(10) == linear + 4 * 64 * 2 * pairs
    assert arch.prefill_flops(10, causal=False) == linear + 4 * 64 * 2 * 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, "unknown model_type 'mamba'"),
        ({"model_type": None}, "override"),
        ({"hidden_size": None}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_key_value_heads": 3}, "share 3 kv heads"),
        ({"model_type": "mixtral"}, "num_local_experts"),
        ({"model_type": "deepseek_v3", "n_routed_experts": 8, "num_experts_per_tok": 2,
          "moe_intermediate_size": 32}, "kv_lora_rank"),
        ({"hidden_size": "big"}, "hidden_size"),
        ({"hidden_size": 65}, "no multiple of 4 heads"),
        ({"model_type": "gpt2", "n_layer": 2, "n_embd": 8, "n_head": 2}, "position table"),
        ({"model_type": "mamba"}, "--override FILE"),
    ],
)  # fmt: skip
def test_configs_that_cannot_be_read(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Architecture.from_config({**LLAMA, **change})


JUNK = (None, -1, 0, 1.5, "x", "", [], [1], {}, {"a": 1}, True, 10**30)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_junk_is_refused_in_words(data: st.DataObject) -> None:
    """Any value in any key gives an architecture or an InputError, never a traceback."""
    families = ("GPT-2 small", "OPT-1.3B", "Falcon-40B", "Gemma-2-2B", "Qwen1.5-MoE-A2.7B",
                "DeepSeek-V2-Lite", "gpt-oss-20b")  # fmt: skip
    family = data.draw(st.sampled_from(families))
    config = lookup(family).to_config() | {"sliding_window": 4096}
    keys = [*config, "layer_types", "mlp_only_layers", "decoder_sparse_step", "text_config",
            "sliding_window_pattern", "quantization_config", "num_ln_in_parallel_attn"]  # fmt: skip
    config[data.draw(st.sampled_from(keys))] = data.draw(st.sampled_from(JUNK))
    try:
        arch = Architecture.from_config(config)
    except InputError as error:
        assert str(error)
    else:
        assert arch.parameters > 0 and arch.decode_flops(10) > 0


def test_from_path(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA))
    assert Architecture.from_path(folder).name == "tiny"
    assert Architecture.from_path(folder / "config.json").parameters > 0
    odd = tmp_path / "odd.json"
    odd.write_text(json.dumps({**LLAMA, "model_type": "my_llama"}))
    with pytest.raises(InputError, match="my_llama"):
        Architecture.from_path(odd)
    assert Architecture.from_path(odd, override={"model_type": "llama"}).layers == 2
    for text in ("{", "[]", ""):
        odd.write_text(text)
        with pytest.raises(InputError):
            Architecture.from_path(odd)
    with pytest.raises(InputError, match="cannot read"):
        Architecture.from_path(tmp_path / "absent.json")


def test_text_model_of_a_wrapper() -> None:
    inner = lookup("Gemma-3-4B (text)").to_config()
    inner.pop("model_type")
    wrapped = Architecture.from_config({"model_type": "gemma3", "text_config": inner})
    assert wrapped.parameters == lookup("Gemma-3-4B (text)").parameters


def test_weight_formats() -> None:
    """Quantised matrices shrink, the rest stays at 16 bits; gpt-oss quantises experts alone."""
    llama = lookup("Llama-2 7B")
    assert llama.weight_bytes("bf16") == 2 * llama.parameters
    assert llama.weight_bytes("fp32") == 4 * llama.parameters
    blocks = llama.active_matmul_parameters - llama.head_matmul
    assert llama.weight_bytes("int8") == blocks + 2 * (llama.parameters - blocks)
    # A 4-bit Llama-2-7B checkpoint in groups of 128 is 3.9 GB on disk (TheBloke GPTQ cards).
    assert llama.weight_bytes("gptq") == pytest.approx(3.9e9, rel=0.03)
    # OpenAI's gpt-oss model card (arXiv 2508.10925) Table 1: 12.8 GiB and 60.8 GiB checkpoints.
    assert lookup("gpt-oss-20b").weight_bytes("mxfp4") / 2**30 == pytest.approx(12.8, rel=0.01)
    assert lookup("gpt-oss-120b").weight_bytes("mxfp4") / 2**30 == pytest.approx(60.8, rel=0.01)
    with pytest.raises(UnknownNameError, match="weight format"):
        llama.weight_bytes("int3")


def test_quantisation_named_by_the_config() -> None:
    scheme = {"quant_method": "gptq", "bits": 4}
    arch = Architecture.from_config({**LLAMA, "quantization_config": scheme})
    assert arch.quantization == "int4"
    assert arch.weight_bytes() == arch.weight_bytes("int4") < arch.weight_bytes("bf16")


def test_window_bounds_the_cache() -> None:
    """Mistral's cache stops growing at its window; Gemma-2 grows in half its layers only."""
    mistral = lookup("Mistral-7B-v0.1")
    assert mistral.kv_cache_bytes(32_768) == mistral.kv_cache_bytes(4096)
    gemma = lookup("Gemma-2-2B")
    growth = gemma.kv_cache_bytes(8192) - gemma.kv_cache_bytes(8191)
    assert growth == gemma.kv_bytes_per_token() / 2


def test_attended_pairs_by_counting() -> None:
    for prompt in (1, 2, 7, 20):
        assert attended_pairs(prompt) == sum(range(1, prompt + 1))
        for window in (1, 4, 30):
            counted = sum(min(i, window) for i in range(1, prompt + 1))
            assert attended_pairs(prompt, window) == counted


def test_arrays_agree_with_scalars() -> None:
    """Vectorised counts equal exact integers, windows and experts included."""
    prompt = np.array([1.0, 100.0, 5000.0])
    for name in ("Mistral-7B-v0.1", "Gemma-3-1B", "Mixtral-8x7B", "DeepSeek-V3", "gpt-oss-20b"):
        arch = lookup(name)
        for counted in (
            arch.prefill_flops,
            arch.decode_flops,
            arch.prefill_bytes,
            arch.decode_bytes,
        ):
            exact = [counted(int(p), 2) for p in prompt]
            assert counted(prompt, 2.0) == pytest.approx(exact, rel=1e-12), (name, counted)


def test_llm_viewer_bug_is_not_ours() -> None:
    """A grouped-query model's cache is read K/H as often as a multi-head model's, not H/H."""
    llama3, llama2 = lookup("Llama-3 8B"), lookup("Llama-2 7B")
    assert llama2.kv_cache_bytes(1000) == 4 * llama3.kv_cache_bytes(1000)


@settings(max_examples=50, deadline=None)
@given(
    layers=st.integers(1, 8), heads=st.sampled_from([1, 2, 4, 8]), width=st.sampled_from([8, 64]),
    group=st.sampled_from([1, 2]), vocab=st.integers(10, 1000), tied=st.booleans(),
    context=st.integers(1, 10_000), batch=st.integers(1, 64),
)  # fmt: skip
def test_algebra(
    layers: int,
    heads: int,
    width: int,
    group: int,
    vocab: int,
    tied: bool,
    context: int,
    batch: int,
) -> None:
    """A prefill of c tokens costs what its c decode steps cost, less the heads it does not need."""
    kv = max(heads // group, 1)
    arch = Architecture.from_config(
        {**LLAMA, "num_hidden_layers": layers, "num_attention_heads": heads,
         "hidden_size": heads * width, "num_key_value_heads": kv, "vocab_size": vocab,
         "tie_word_embeddings": tied}
    )  # fmt: skip
    context = min(context, 200)
    steps = sum(arch.decode_flops(c) for c in range(1, context + 1))
    assert arch.prefill_flops(context) == steps - 2 * arch.head_matmul * (context - 1)
    assert arch.decode_flops(context, batch) == batch * arch.decode_flops(context)
    assert arch.active_matmul_parameters <= arch.active_parameters == arch.parameters
    assert arch.kv_cache_bytes(context) == context * arch.kv_bytes_per_token()


def test_experts_touched() -> None:
    mixtral = lookup("Mixtral-8x7B")
    assert mixtral.experts_touched(1) == pytest.approx(2)
    assert mixtral.experts_touched(1000) == pytest.approx(8)
    assert mixtral.weights_read(10**6) == pytest.approx(
        mixtral.weight_bytes() + 2 * (10**6 - mixtral.vocab) * mixtral.hidden
    )


def test_every_family_is_in_the_documentation() -> None:
    text = Path(__file__).parents[2].joinpath("docs/architectures.md").read_text()
    for family in FAMILIES:
        assert f"`{family}`" in text, family
