"""What single families do their own way: flags of biases and norms, positions, grouped heads.

Each `read_*` gives fields of an architecture from a config and the fields read so far; each
`write_*` gives config keys back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from observatory.catalog.mixtures import whole
from observatory.errors import InputError

if TYPE_CHECKING:
    from observatory.catalog.architecture import Architecture

Config = dict[str, Any]
BIASED: Config = {"qkv_bias": True, "out_bias": True, "mlp_bias": True}


def positions(fields: Config) -> int:
    """Rows of a learned position table, which has no default."""
    if fields["max_context"] is None:
        raise InputError(
            f"config of model_type {fields['model_type']!r} lacks the size of its position table "
            "(max_position_embeddings or n_positions): add it with --override FILE"
        )
    return int(fields["max_context"])


def read_opt(config: Config, fields: Config) -> Config:
    biased = config.get("enable_bias", True)
    last = config.get("do_layer_norm_before", True) and not config.get("_remove_final_layer_norm")
    width = whole("word_embed_proj_dim", config.get("word_embed_proj_dim") or fields["hidden"])
    return {
        "positions": positions(fields) + 2,  # two rows that fairseq reserved for padding
        "embedding_dim": width if width != fields["hidden"] else None,
        "final_norms": int(bool(last)),
        **dict.fromkeys(BIASED, biased),
    }


def write_opt(arch: Architecture) -> Config:
    return {
        "do_layer_norm_before": bool(arch.final_norms),
        "word_embed_proj_dim": arch.embedding_dim or arch.hidden,
        "enable_bias": arch.qkv_bias,
    }


def read_falcon(config: Config, fields: Config) -> Config:
    new = bool(config.get("new_decoder_architecture"))
    if new:
        kv = whole("num_kv_heads", config.get("num_kv_heads") or fields["heads"])
        norms = whole("num_ln_in_parallel_attn", config.get("num_ln_in_parallel_attn") or 2)
    else:
        kv = 1 if config.get("multi_query", True) else fields["heads"]
        norms = 1 if config.get("parallel_attn", True) else 2
    biased = bool(config.get("bias"))
    return {"kv_heads": kv, "norms_per_layer": norms, **dict.fromkeys(BIASED, biased)}


def write_falcon(arch: Architecture) -> Config:
    new = 1 < arch.kv_heads < arch.heads or (arch.kv_heads == 1 and arch.norms_per_layer == 2)
    return {
        "new_decoder_architecture": new,
        "num_kv_heads": arch.kv_heads,
        "multi_query": arch.kv_heads == 1,
        "num_ln_in_parallel_attn": arch.norms_per_layer if new else None,
        "parallel_attn": new or arch.norms_per_layer == 1,
        "bias": arch.qkv_bias,
    }


def read_bias_flags(config: Config, fields: Config) -> Config:
    attention = bool(config.get("attention_bias", False))
    return {
        "qkv_bias": attention,
        "out_bias": attention,
        "mlp_bias": bool(config.get("mlp_bias", False)),
    }


def write_bias_flags(arch: Architecture) -> Config:
    return {"attention_bias": arch.qkv_bias, "mlp_bias": arch.mlp_bias}


def read_neox(config: Config, fields: Config) -> Config:
    attention = bool(config.get("attention_bias", True))
    return {"qkv_bias": attention, "out_bias": attention}


def read_phi(config: Config, fields: Config) -> Config:
    return {"qk_norm": "head_layer" if config.get("qk_layernorm") else None}


def read_starcoder2(config: Config, fields: Config) -> Config:
    return dict.fromkeys(BIASED, bool(config.get("use_bias", True)))


def read_learned(config: Config, fields: Config) -> Config:
    return {"positions": positions(fields)}
