"""What each model family's `config.json` means: key names, fixed traits, and the way back.

`read` turns a Hugging Face config into the fields of an `Architecture`; `write` turns an
architecture into a config that `transformers` builds. A new family is one entry in `FAMILIES`.
Traits are facts of the families' published modelling code, checked against the meta-device
parameter count of `transformers` 5 (tests/catalog/test_architecture_transformers.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from observatory.catalog import mixtures, quirks
from observatory.errors import InputError

if TYPE_CHECKING:
    from observatory.catalog.architecture import Architecture

Config = dict[str, Any]

_COMMON = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "intermediate": "intermediate_size",
    "vocab": "vocab_size",
    "max_context": "max_position_embeddings",
}
_GPT2 = {
    "layers": "n_layer",
    "hidden": "n_embd",
    "heads": "n_head",
    "intermediate": "n_inner",
    "vocab": "vocab_size",
    "max_context": "n_positions",
}
_LAYER_NORM: Config = {"norm_weights": 2, "gated": False}
_OPTIONAL = {"kv_heads", "head_dim", "intermediate", "max_context"}


@dataclass(frozen=True)
class Family:
    """keys: our field → config key; traits: fields the family fixes; `read` and `write` add what
    only this family does; tied: whether input and output embeddings are one when unsaid;
    period: every period-th layer is full when the family mixes windows (0 = it does not)."""

    keys: dict[str, str] = field(default_factory=lambda: _COMMON)
    traits: Config = field(default_factory=dict)
    tied: bool = False
    period: int = 0
    mixture: mixtures.MixtureKeys | None = None
    read: Callable[[Config, Config], Config] | None = None
    write: Callable[[Architecture], Config] | None = None


def _without(keys: dict[str, str], *names: str) -> dict[str, str]:
    return {ours: theirs for ours, theirs in keys.items() if ours not in names}


_NO_WIDTH = _without(_COMMON, "head_dim")  # the head width is hidden / heads
_MULTI_HEAD = _without(_NO_WIDTH, "kv_heads")  # and every head has its own keys and values
_NEOX_LIKE: Config = {**_LAYER_NORM, **quirks.BIASED}


def _llama_like(
    keys: dict[str, str] = _COMMON, traits: Config | None = None, **more: Any
) -> Family:
    """RMSNorm, gated MLP, bias flags in the config."""
    read, write = quirks.read_bias_flags, quirks.write_bias_flags
    return Family(keys, traits or {}, read=read, write=write, **more)


def _deepseek() -> Family:
    read, write = mixtures.read_latent, mixtures.write_latent
    return Family(_MULTI_HEAD, mixture=mixtures.DEEPSEEK, read=read, write=write)


FAMILIES: dict[str, Family] = {
    "gpt2": Family(_GPT2, _NEOX_LIKE, tied=True, read=quirks.read_learned),
    "opt": Family(
        {**_MULTI_HEAD, "intermediate": "ffn_dim"}, _NEOX_LIKE, tied=True,
        read=quirks.read_opt, write=quirks.write_opt,
    ),
    "bloom": Family(
        {"layers": "n_layer", "hidden": "hidden_size", "heads": "n_head", "vocab": "vocab_size"},
        {**_NEOX_LIKE, "embedding_norm": True}, tied=True,
    ),
    "gptj": Family(
        _GPT2, {**_LAYER_NORM, "norms_per_layer": 1, "mlp_bias": True, "head_bias": True}
    ),
    "gpt_neox": Family(
        _MULTI_HEAD, _NEOX_LIKE,
        read=quirks.read_neox, write=lambda arch: {"attention_bias": arch.qkv_bias},
    ),
    "falcon": Family(
        {**_MULTI_HEAD, "intermediate": "ffn_hidden_size"}, _LAYER_NORM, tied=True,
        read=quirks.read_falcon, write=quirks.write_falcon,
    ),
    "phi": Family(
        _NO_WIDTH, {**_NEOX_LIKE, "norms_per_layer": 1, "head_bias": True},
        read=quirks.read_phi, write=lambda arch: {"qk_layernorm": arch.qk_norm is not None},
    ),
    "phi3": Family(_NO_WIDTH),
    "llama": _llama_like(),
    "smollm3": _llama_like(_NO_WIDTH, tied=True),
    "granite": _llama_like(_NO_WIDTH),
    "starcoder2": Family(
        _NO_WIDTH, _LAYER_NORM, tied=True,
        read=quirks.read_starcoder2, write=lambda arch: {"use_bias": arch.qkv_bias},
    ),
    "mistral": Family(),
    "qwen2": Family(_NO_WIDTH, {"qkv_bias": True}),
    "qwen3": _llama_like(traits={"qk_norm": "head"}),
    "gemma": _llama_like(tied=True),
    "gemma2": _llama_like(traits={"norms_per_layer": 4}, tied=True, period=2),
    "gemma3_text": _llama_like(
        traits={"norms_per_layer": 4, "qk_norm": "head"}, tied=True, period=6
    ),
    "olmo": _llama_like(_NO_WIDTH, {"norm_weights": 0}),
    "olmo2": _llama_like(_NO_WIDTH, {"qk_norm": "full"}),
    "olmo3": _llama_like(_NO_WIDTH, {"qk_norm": "full"}, period=4),
    "mixtral": Family(mixture=mixtures.MIXTRAL),
    "qwen2_moe": Family(_NO_WIDTH, {"qkv_bias": True}, mixture=mixtures.QWEN2_MOE),
    "qwen3_moe": _llama_like(traits={"qk_norm": "head"}, mixture=mixtures.QWEN3_MOE),
    "olmoe": _llama_like(_NO_WIDTH, {"qk_norm": "full"}, mixture=mixtures.OLMOE),
    "deepseek_v2": _deepseek(),
    "deepseek_v3": _deepseek(),
    "gpt_oss": Family(
        traits={"qkv_bias": True, "out_bias": True, "sinks": True}, period=2,
        mixture=mixtures.GPT_OSS,
    ),
}  # fmt: skip
# Wrappers whose text model sits under `text_config`, and closed GPT-2-like models of papers.
_WRAPPERS = {"gemma3": "gemma3_text"}


def read(config: Config) -> Config:
    """Fields of an `Architecture` (all but its name) from a Hugging Face config dict.

    Raises InputError for an unknown `model_type`, missing keys and values that cannot be; it says
    how to go on with an override file.
    """
    if isinstance(config.get("text_config"), dict) and "vocab_size" not in config:
        inner = dict(config["text_config"])
        inner.setdefault("model_type", _WRAPPERS.get(str(config.get("model_type")), ""))
        config = inner
    model_type = str(config.get("model_type") or "")
    family = FAMILIES.get("gpt2" if model_type == "megatron" else model_type)
    if family is None:
        raise InputError(
            f"unknown model_type {model_type!r}: no family reads it. If it is built like one of "
            f"{', '.join(FAMILIES)}, say so with --override FILE holding "
            '{"model_type": "llama"} and any key that is missing'
        )
    fields: Config = {"model_type": model_type, **family.traits}
    missing = []
    for ours, theirs in family.keys.items():
        value = config.get(theirs)
        if value is None and ours not in _OPTIONAL:
            missing.append(theirs)
        fields[ours] = None if value is None else mixtures.whole(theirs, value)
    if missing:
        raise InputError(
            f"config of model_type {model_type!r} lacks {', '.join(missing)}: "
            "add them with --override FILE"
        )
    _derive(fields)
    fields["tied"] = bool(config.get("tie_word_embeddings", family.tied))
    if family.read:
        fields |= family.read(config, fields)
    if family.mixture:
        fields["moe"] = family.mixture.read(config, fields, model_type)
    fields |= _windows(config, fields["layers"], family)
    fields["quantization"] = _quantization(config)
    if model_type == "megatron":
        fields["gated"] = bool(config.get("gated", False))
    return fields


def _derive(fields: Config) -> None:
    """Fill what configs leave out: equal kv heads, d/H head width, 4d inner width."""
    fields["kv_heads"] = fields.get("kv_heads") or fields["heads"]
    fields["intermediate"] = fields.get("intermediate") or 4 * fields["hidden"]
    if not fields.get("head_dim"):
        if fields["hidden"] % fields["heads"]:
            raise InputError(
                f"hidden size {fields['hidden']} is no multiple of {fields['heads']} heads: give "
                "head_dim with --override FILE"
            )
        fields["head_dim"] = fields["hidden"] // fields["heads"]
    fields.setdefault("max_context", None)


def _windows(config: Config, layers: int, family: Family) -> Config:
    """Window width and the number of layers that use it."""
    if not config.get("sliding_window") or config.get("use_sliding_window") is False:
        return {"window": None, "sliding_layers": 0}
    window = mixtures.whole("sliding_window", config["sliding_window"])
    kinds = config.get("layer_types")
    if kinds:
        if not isinstance(kinds, list):
            raise InputError(f"config key layer_types is {kinds!r}; it must be a list")
        count = sum(kind == "sliding_attention" for kind in kinds[:layers])
    elif family.period:
        given = config.get("sliding_window_pattern") or family.period
        count = layers - layers // mixtures.whole("sliding_window_pattern", given)
    elif config.get("use_sliding_window"):
        full = mixtures.whole("max_window_layers", config.get("max_window_layers") or layers)
        count = max(layers - full, 0)
    else:
        count = layers
    return {"window": window if count else None, "sliding_layers": count}


def _quantization(config: Config) -> str | None:
    """Our name of the config's own weight format, None when it is plain 16 bits."""
    scheme = config.get("quantization_config")
    if not isinstance(scheme, dict):
        return None
    method = str(scheme.get("quant_method", ""))
    if method in {"gptq", "awq"}:
        return "int4" if scheme.get("bits", 4) == 4 else "int8"
    if method == "bitsandbytes":
        return "nf4" if scheme.get("load_in_4bit") else "int8"
    return {"mxfp4": "mxfp4", "fp8": "fp8", "fbgemm_fp8": "fp8"}.get(method)


def write(arch: Architecture) -> Config:
    """A config dict, `model_type` included, from which `transformers` builds the architecture."""
    model_type = "gpt2" if arch.model_type == "megatron" else arch.model_type
    if model_type == "gpt2" and arch.gated:
        raise InputError(f"{arch.name}: no transformers class has its gated GPT-2 layers")
    family = FAMILIES[model_type]
    config: Config = {"model_type": model_type, "tie_word_embeddings": arch.tied}
    for ours, theirs in family.keys.items():
        value = getattr(arch, ours)
        if value is not None:
            config[theirs] = value
    if family.write:
        config |= family.write(arch)
    if family.mixture and arch.moe:
        config |= family.mixture.write(arch.moe, arch.layers)
    if arch.window and arch.sliding_layers:
        config["sliding_window"] = arch.window
        if model_type.startswith("qwen"):
            config |= {"use_sliding_window": True,
                       "max_window_layers": arch.layers - arch.sliding_layers}  # fmt: skip
    elif "sliding" in model_type or model_type in {"mistral", "mixtral", "phi3", "starcoder2"}:
        config["sliding_window"] = None
    return config
