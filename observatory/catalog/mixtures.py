"""Config keys of mixtures of experts and of latent attention, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from observatory.catalog.blocks import Latent, Mixture
from observatory.errors import InputError

if TYPE_CHECKING:
    from observatory.catalog.architecture import Architecture

Config = dict[str, Any]


LARGEST = 10**9  # no width, count or vocabulary is near it


def whole(key: str, value: object) -> int:
    """A config value as a positive whole number. Raises InputError naming the key."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST:
        raise InputError(f"config key {key} is {value!r}; it must be a whole number from 1 to 1e9")
    return value


@dataclass(frozen=True)
class MixtureKeys:
    """Names of a family's mixture keys. expert_ff and shared_ff of None: the family has no such key
    (the expert is `intermediate_size` wide; there is no shared expert); shared_count: the key that
    counts shared experts of `expert_ff` width; dense_first: the key that counts leading dense
    layers; sparse_step: Qwen's rule that only every n-th layer is a mixture."""

    experts: tuple[str, ...]
    top_k: str = "num_experts_per_tok"
    expert_ff: str | None = "moe_intermediate_size"
    shared_ff: str | None = None
    shared_count: str | None = None
    dense_first: str | None = None
    sparse_step: bool = False
    shared_gate: bool = False
    biases: bool = False

    def read(self, config: Config, fields: Config, model_type: str) -> Mixture:
        """The mixture a config describes. Raises InputError naming missing keys."""
        experts = next((config[key] for key in self.experts if config.get(key) is not None), None)
        top_k = config.get(self.top_k)
        expert_ff = config.get(self.expert_ff) if self.expert_ff else fields["intermediate"]
        found = {self.experts[0]: experts, self.top_k: top_k, self.expert_ff or "": expert_ff}
        missing = [key for key, value in found.items() if value is None]
        if missing:
            raise InputError(
                f"config of model_type {model_type!r} lacks {', '.join(missing)}: "
                "add them with --override FILE"
            )
        shared_key = self.shared_ff or self.shared_count
        shared = (
            whole(shared_key, config[shared_key]) if shared_key and config.get(shared_key) else 0
        )
        if self.shared_count:
            shared *= whole(self.expert_ff or "", expert_ff)
        return Mixture(
            experts=whole(self.experts[0], experts),
            top_k=whole(self.top_k, top_k),
            expert_ff=whole(self.expert_ff or "intermediate_size", expert_ff),
            shared_ff=shared,
            dense_layers=self._dense_layers(config, fields["layers"]),
            shared_gate=self.shared_gate,
            biases=self.biases,
        )

    def _dense_layers(self, config: Config, layers: int) -> int:
        if self.dense_first:
            first = config.get(self.dense_first) or 0
            return min(whole(self.dense_first, first), layers) if first else 0
        if not self.sparse_step:
            return 0
        step = whole("decoder_sparse_step", config.get("decoder_sparse_step") or 1)
        only = config.get("mlp_only_layers") or []
        if not isinstance(only, list):
            raise InputError(f"config key mlp_only_layers is {only!r}; it must be a list")
        named = {i for i in only if isinstance(i, int) and 0 <= i < layers}
        mixtures = layers // step - sum((i + 1) % step == 0 for i in named)
        return layers - mixtures

    def write(self, moe: Mixture, layers: int) -> Config:
        """Config keys of a mixture."""
        config: Config = {self.experts[0]: moe.experts, self.top_k: moe.top_k}
        if self.expert_ff:
            config[self.expert_ff] = moe.expert_ff
        if self.shared_ff:
            config[self.shared_ff] = moe.shared_ff
        if self.shared_count:
            config[self.shared_count] = moe.shared_ff // moe.expert_ff
            # Group-limited routing moves no parameter: one group keeps any expert count valid.
            config |= {"n_group": 1, "topk_group": 1}
        if self.dense_first:
            config[self.dense_first] = moe.dense_layers
        elif self.sparse_step:
            config["mlp_only_layers"] = list(range(moe.dense_layers))
        return config


MIXTRAL = MixtureKeys(("num_local_experts",), expert_ff=None)
OLMOE = MixtureKeys(("num_experts",), expert_ff=None)
QWEN2_MOE = MixtureKeys(
    ("num_experts",),
    shared_ff="shared_expert_intermediate_size",
    sparse_step=True,
    shared_gate=True,
)
QWEN3_MOE = MixtureKeys(("num_experts", "num_local_experts"), sparse_step=True)
DEEPSEEK = MixtureKeys(
    ("n_routed_experts",), shared_count="n_shared_experts", dense_first="first_k_dense_replace"
)
GPT_OSS = MixtureKeys(("num_local_experts",), expert_ff=None, biases=True)

_LATENT = {
    "kv_rank": "kv_lora_rank",
    "nope_dim": "qk_nope_head_dim",
    "rope_dim": "qk_rope_head_dim",
    "value_dim": "v_head_dim",
}


def read_latent(config: Config, fields: Config) -> Config:
    """Latent attention of DeepSeek-V2/V3. Raises InputError naming missing keys."""
    missing = [key for key in _LATENT.values() if config.get(key) is None]
    if missing:
        raise InputError(
            f"config of model_type {fields['model_type']!r} lacks {', '.join(missing)}: "
            "add them with --override FILE"
        )
    dims = {ours: whole(theirs, config[theirs]) for ours, theirs in _LATENT.items()}
    biased = bool(config.get("attention_bias", False))
    rank = config.get("q_lora_rank")
    return {
        "mla": Latent(q_rank=None if rank is None else whole("q_lora_rank", rank), **dims),
        "head_dim": dims["nope_dim"] + dims["rope_dim"],
        "qkv_bias": biased,
        "out_bias": biased,
    }


def write_latent(arch: Architecture) -> Config:
    """Config keys of latent attention."""
    if arch.mla is None:
        raise InputError(f"{arch.name}: a {arch.model_type} model needs latent attention")
    config: Config = {theirs: getattr(arch.mla, ours) for ours, theirs in _LATENT.items()}
    return config | {
        "q_lora_rank": arch.mla.q_rank,
        "num_key_value_heads": arch.heads,
        "attention_bias": arch.qkv_bias,
    }
