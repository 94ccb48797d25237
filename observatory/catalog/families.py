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

from observatory.catalog import mixtures
from observatory.errors import InputError, UnknownNameError

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
_BIASED: Config = {"qkv_bias": True, "out_bias": True, "mlp_bias": True}
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


def _read_opt(config: Config, fields: Config) -> Config:
    biased = config.get("enable_bias", True)
    last = config.get("do_layer_norm_before", True) and not config.get("_remove_final_layer_norm")
    width = config.get("word_embed_proj_dim") or fields["hidden"]
    return {
        "positions": fields["max_context"] + 2,  # two rows that fairseq reserved for padding
        "embedding_dim": width if width != fields["hidden"] else None,
        "final_norms": int(bool(last)),
        **dict.fromkeys(_BIASED, biased),
    }


def _write_opt(arch: Architecture) -> Config:
    return {
        "do_layer_norm_before": bool(arch.final_norms),
        "word_embed_proj_dim": arch.embedding_dim or arch.hidden,
        "enable_bias": arch.qkv_bias,
    }


def _read_falcon(config: Config, fields: Config) -> Config:
    new = bool(config.get("new_decoder_architecture"))
    if new:
        kv = config.get("num_kv_heads") or fields["heads"]
        norms = config.get("num_ln_in_parallel_attn") or 2
    else:
        kv = 1 if config.get("multi_query", True) else fields["heads"]
        norms = 1 if config.get("parallel_attn", True) else 2
    biased = bool(config.get("bias"))
    return {"kv_heads": kv, "norms_per_layer": norms, **dict.fromkeys(_BIASED, biased)}


def _write_falcon(arch: Architecture) -> Config:
    new = 1 < arch.kv_heads < arch.heads or (arch.kv_heads == 1 and arch.norms_per_layer == 2)
    return {
        "new_decoder_architecture": new,
        "num_kv_heads": arch.kv_heads,
        "multi_query": arch.kv_heads == 1,
        "num_ln_in_parallel_attn": arch.norms_per_layer if new else None,
        "parallel_attn": new or arch.norms_per_layer == 1,
        "bias": arch.qkv_bias,
    }


def _read_bias_flags(config: Config, fields: Config) -> Config:
    attention = bool(config.get("attention_bias", False))
    return {
        "qkv_bias": attention,
        "out_bias": attention,
        "mlp_bias": bool(config.get("mlp_bias", False)),
    }


def _write_bias_flags(arch: Architecture) -> Config:
    return {"attention_bias": arch.qkv_bias, "mlp_bias": arch.mlp_bias}


def _read_neox(config: Config, fields: Config) -> Config:
    attention = bool(config.get("attention_bias", True))
    return {"qkv_bias": attention, "out_bias": attention}


def _read_phi(config: Config, fields: Config) -> Config:
    return {"qk_norm": "head_layer" if config.get("qk_layernorm") else None}


def _read_starcoder2(config: Config, fields: Config) -> Config:
    return dict.fromkeys(_BIASED, bool(config.get("use_bias", True)))


def _read_learned(config: Config, fields: Config) -> Config:
    return {"positions": fields["max_context"]}


_LLAMA = Family(read=_read_bias_flags, write=_write_bias_flags)
FAMILIES: dict[str, Family] = {
    "gpt2": Family(_GPT2, {**_LAYER_NORM, **_BIASED}, tied=True, read=_read_learned),
    "opt": Family(
        {**_without(_COMMON, "kv_heads", "head_dim"), "intermediate": "ffn_dim"},
        {**_LAYER_NORM, **_BIASED}, tied=True, read=_read_opt, write=_write_opt,
    ),
    "bloom": Family(
        {"layers": "n_layer", "hidden": "hidden_size", "heads": "n_head", "vocab": "vocab_size"},
        {**_LAYER_NORM, **_BIASED, "embedding_norm": True}, tied=True,
    ),
    "gptj": Family(
        _GPT2, {**_LAYER_NORM, "norms_per_layer": 1, "mlp_bias": True, "head_bias": True}
    ),
    "gpt_neox": Family(
        _without(_COMMON, "kv_heads", "head_dim"), {**_LAYER_NORM, **_BIASED},
        read=_read_neox, write=lambda arch: {"attention_bias": arch.qkv_bias},
    ),
    "falcon": Family(
        {**_without(_COMMON, "kv_heads", "head_dim"), "intermediate": "ffn_hidden_size"},
        _LAYER_NORM, tied=True, read=_read_falcon, write=_write_falcon,
    ),
    "phi": Family(
        _without(_COMMON, "head_dim"),
        {**_LAYER_NORM, **_BIASED, "norms_per_layer": 1, "head_bias": True},
        read=_read_phi, write=lambda arch: {"qk_layernorm": arch.qk_norm is not None},
    ),
    "phi3": Family(_without(_COMMON, "head_dim")),
    "llama": _LLAMA,
    "smollm3": Family(_without(_COMMON, "head_dim"), tied=True, read=_read_bias_flags,
                      write=_write_bias_flags),
    "granite": Family(_without(_COMMON, "head_dim"), read=_read_bias_flags,
                      write=_write_bias_flags),
    "starcoder2": Family(
        _without(_COMMON, "head_dim"), _LAYER_NORM, tied=True,
        read=_read_starcoder2, write=lambda arch: {"use_bias": arch.qkv_bias},
    ),
    "mistral": Family(),
    "qwen2": Family(_without(_COMMON, "head_dim"), {"qkv_bias": True}),
    "qwen3": Family(traits={"qk_norm": "head"}, read=_read_bias_flags, write=_write_bias_flags),
    "gemma": Family(tied=True, read=_read_bias_flags, write=_write_bias_flags),
    "gemma2": Family(traits={"norms_per_layer": 4}, tied=True, period=2, read=_read_bias_flags,
                     write=_write_bias_flags),
    "gemma3_text": Family(
        traits={"norms_per_layer": 4, "qk_norm": "head"}, tied=True, period=6,
        read=_read_bias_flags, write=_write_bias_flags,
    ),
    "olmo": Family(_without(_COMMON, "head_dim"), {"norm_weights": 0}, read=_read_bias_flags,
                   write=_write_bias_flags),
    "olmo2": Family(_without(_COMMON, "head_dim"), {"qk_norm": "full"}, read=_read_bias_flags,
                    write=_write_bias_flags),
    "olmo3": Family(_without(_COMMON, "head_dim"), {"qk_norm": "full"}, period=4,
                    read=_read_bias_flags, write=_write_bias_flags),
    "mixtral": Family(mixture=mixtures.MIXTRAL),
    "qwen2_moe": Family(_without(_COMMON, "head_dim"), {"qkv_bias": True},
                        mixture=mixtures.QWEN2_MOE),
    "qwen3_moe": Family(traits={"qk_norm": "head"}, mixture=mixtures.QWEN3_MOE,
                        read=_read_bias_flags, write=_write_bias_flags),
    "olmoe": Family(_without(_COMMON, "head_dim"), {"qk_norm": "full"}, mixture=mixtures.OLMOE,
                    read=_read_bias_flags, write=_write_bias_flags),
    "deepseek_v2": Family(_without(_COMMON, "kv_heads", "head_dim"), mixture=mixtures.DEEPSEEK,
                          read=mixtures.read_latent, write=mixtures.write_latent),
    "deepseek_v3": Family(_without(_COMMON, "kv_heads", "head_dim"), mixture=mixtures.DEEPSEEK,
                          read=mixtures.read_latent, write=mixtures.write_latent),
    "gpt_oss": Family(
        traits={"qkv_bias": True, "out_bias": True, "sinks": True}, period=2,
        mixture=mixtures.GPT_OSS,
    ),
}  # fmt: skip
# Wrappers whose text model sits under `text_config`, and closed GPT-2-like models of papers.
_WRAPPERS = {"gemma3": "gemma3_text"}


def read(config: Config) -> Config:
    """Fields of an `Architecture` (all but its name) from a Hugging Face config dict.

    Raises UnknownNameError for an unknown `model_type`, InputError for missing keys; both say how
    to go on with an override file.
    """
    if isinstance(config.get("text_config"), dict) and "vocab_size" not in config:
        inner = dict(config["text_config"])
        inner.setdefault("model_type", _WRAPPERS.get(str(config.get("model_type")), ""))
        config = inner
    model_type = str(config.get("model_type") or "")
    family = FAMILIES.get("gpt2" if model_type == "megatron" else model_type)
    if family is None:
        raise UnknownNameError(
            "model_type", model_type, list(FAMILIES),
            "no family reads it; if it is built like a known one, pass --override FILE with "
            '{"model_type": "llama", ...} and any missing key',
        )  # fmt: skip
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
        fields["head_dim"] = fields["hidden"] // fields["heads"]
    fields.setdefault("max_context", None)


def _windows(config: Config, layers: int, family: Family) -> Config:
    """Window width and the number of layers that use it."""
    window = config.get("sliding_window")
    if not window or config.get("use_sliding_window") is False:
        return {"window": None, "sliding_layers": 0}
    kinds = config.get("layer_types")
    if kinds:
        count = sum(kind == "sliding_attention" for kind in kinds)
    elif family.period:
        period = config.get("sliding_window_pattern") or family.period
        count = layers - layers // period
    elif config.get("use_sliding_window"):
        count = max(layers - config.get("max_window_layers", layers), 0)
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
