"""The model table: `data/models.csv`, one architecture a row, each with its source."""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib import resources
from typing import Any

from observatory.catalog.families import FAMILIES
from observatory.errors import UnknownNameError

Row = dict[str, str]


@cache
def rows() -> tuple[Row, ...]:
    """Every row of the table, cells as text, empty cells as ''."""
    text = resources.files("observatory.catalog").joinpath("data/models.csv").read_text("utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def names() -> list[str]:
    """Catalogue names, in table order."""
    return [row["name"] for row in rows()]


def normal(name: str) -> str:
    """A name without case, blanks, hyphens or underscores: `Llama-3.2 1B` → `llama3.21b`."""
    return re.sub(r"[^a-z0-9.]", "", name.lower())


@cache
def _index() -> dict[str, Row]:
    """Normal form of every name, hub id, hub short name and alias → row; first claim wins."""
    index: dict[str, Row] = {}
    for row in rows():
        spellings = [row["name"], row["name"].split(" (")[0], row["hf_id"]]
        spellings += [alias for alias in row["aliases"].split(";") if alias]
        for spelling in spellings:
            for form in (spelling, spelling.rpartition("/")[2]):
                if form:
                    index.setdefault(normal(form), row)
    return index


def find(name: str) -> Row:
    """The row of a name, short name, hub id or alias. Raises UnknownNameError with near matches."""
    row = _index().get(normal(name)) or _index().get(normal(name.rpartition("/")[2]))
    if row is None:
        raise UnknownNameError(
            "model", name, names(), "give a catalogue name, a model folder or a config.json"
        )
    return row


def _number(row: Row, column: str) -> int | None:
    return int(row[column]) if row[column] else None


def row_config(row: Row) -> dict[str, Any]:
    """The Hugging Face config that a row stands for (`megatron` rows keep our own key names)."""
    model_type = row["model_type"]
    keys = FAMILIES["gpt2" if model_type == "megatron" else model_type].keys
    config: dict[str, Any] = {
        theirs: _number(row, ours) for ours, theirs in keys.items() if row[ours]
    }
    config |= {"model_type": model_type, "tie_word_embeddings": row["tied"] == "true"}
    if row["window"]:
        config["sliding_window"] = _number(row, "window")
    if row["weights"]:
        config["quantization_config"] = {"quant_method": row["weights"]}
    if model_type == "falcon":
        grouped = row["kv_heads"] != "1"
        config |= {"new_decoder_architecture": grouped, "num_kv_heads": _number(row, "kv_heads")}
    if model_type == "megatron":
        config["gated"] = row["gated"] == "true"
    return config | _mixture_config(row, model_type) | _latent_config(row)


def _mixture_config(row: Row, model_type: str) -> dict[str, Any]:
    keys = FAMILIES["gpt2" if model_type == "megatron" else model_type].mixture
    if keys is None or not row["experts"]:
        return {}
    config: dict[str, Any] = {
        keys.experts[0]: _number(row, "experts"),
        keys.top_k: _number(row, "top_k"),
    }
    if keys.expert_ff:
        config[keys.expert_ff] = _number(row, "expert_ff")
    if keys.shared_ff:
        config[keys.shared_ff] = _number(row, "shared_ff")
    if keys.shared_count:
        config[keys.shared_count] = int(row["shared_ff"]) // int(row["expert_ff"])
    if keys.dense_first:
        config[keys.dense_first] = _number(row, "dense_first")
    return config


def _latent_config(row: Row) -> dict[str, Any]:
    if not row["kv_lora"]:
        return {}
    return {
        "q_lora_rank": _number(row, "q_lora"),
        "kv_lora_rank": _number(row, "kv_lora"),
        "qk_nope_head_dim": _number(row, "qk_nope_dim"),
        "qk_rope_head_dim": _number(row, "qk_rope_dim"),
        "v_head_dim": _number(row, "v_dim"),
    }
