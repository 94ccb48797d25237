"""`observatory architecture`: what a model is made of, and what one prefill and one step take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.verbs import numbers

if TYPE_CHECKING:
    from observatory.catalog.architecture import Architecture


def load(model: str, override: Path | None = None) -> Architecture:
    """An architecture from a folder, a config.json or a catalogue name.

    Raises UnknownNameError or InputError; `override` is a JSON file whose keys replace those of
    the config.
    """
    from observatory.catalog.architecture import Architecture

    changes: dict[str, Any] = {}
    if override is not None:
        try:
            changes = json.loads(override.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read the override file {override}: {error}") from error
        if not isinstance(changes, dict):
            raise InputError(f"the override file {override} must hold a JSON object")
    if Path(model).exists():
        return Architecture.from_path(model, changes)
    named = Architecture.lookup(model)
    return Architecture.from_config({**named.to_config(), **changes}) if changes else named


def describe(
    arch: Architecture, prompt: int, context: int, batch: int, dtype: str | None, kv: str | None
) -> dict[str, Any]:
    """Every count of the verb, as one JSON-ready mapping."""
    from dataclasses import asdict

    from observatory.runtime.roofline import kv_bytes_of

    chosen = dtype or arch.quantization or "bf16"
    kv_bytes = kv_bytes_of(kv, chosen)
    shape = {key: value for key, value in asdict(arch).items() if value is not None}
    return {
        "name": arch.name,
        "provenance": "modelled",
        "architecture": shape,
        "parameters": arch.parameters,
        "active_parameters": arch.active_parameters,
        "active_matmul_parameters": arch.active_matmul_parameters,
        "dtype": chosen,
        "kv_dtype_bytes": kv_bytes,
        "weight_bytes": arch.weight_bytes(chosen),
        "kv_bytes_per_token": arch.kv_bytes_per_token(kv_bytes),
        "prefill": {
            "prompt_tokens": prompt,
            "batch": batch,
            "flops": arch.prefill_flops(prompt, batch),
            "flops_unfused_attention": arch.prefill_flops(prompt, batch, causal=False),
            "bytes": arch.prefill_bytes(prompt, batch, chosen, kv_bytes),
        },
        "decode_step": {
            "context_tokens": context,
            "batch": batch,
            "flops": arch.decode_flops(context, batch),
            "bytes": arch.decode_bytes(context, batch, chosen, kv_bytes),
            "kv_cache_bytes": batch * arch.kv_cache_bytes(context, kv_bytes),
        },
    }


def _print(found: dict[str, Any], arch: Architecture) -> None:
    from rich.console import Console
    from rich.table import Table

    def row(label: str, value: float, unit: str) -> tuple[str, str]:
        for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
            if value >= factor:
                return label, f"{value / factor:.4g} {prefix}{unit}".rstrip()
        return label, f"{value:.4g} {unit}".rstrip()

    heads = f"{arch.heads} heads of {arch.head_dim}, {arch.kv_heads} kv"
    kind = "latent (MLA)" if arch.mla else heads
    console = Console(width=100)
    if arch.moe:
        kind += f", {arch.moe.top_k} of {arch.experts} experts"
    if arch.sliding_layers:
        kind += f", {arch.sliding_layers} layers see {arch.window} tokens"
    console.print(
        f"[bold]{arch.name}[/] ({arch.model_type}): {arch.layers} layers × {arch.hidden}, {kind}",
        highlight=False,
    )
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(min_width=44)
    table.add_column(justify="right")
    prefill, step = found["prefill"], found["decode_step"]
    table.add_row("parameters", f"{found['parameters']:,}")
    table.add_row("active parameters", f"{found['active_parameters']:,}")
    table.add_row("active matmul parameters", f"{found['active_matmul_parameters']:,}")
    table.add_row(*row(f"weights in memory ({found['dtype']})", found["weight_bytes"], "B"))
    table.add_row(*row("KV cache per token", found["kv_bytes_per_token"], "B"))
    label = f"prefill of {prefill['prompt_tokens']} × {prefill['batch']}"
    table.add_row(*row(f"{label}, causal", prefill["flops"], "FLOP"))
    table.add_row(*row(f"{label}, bytes moved", prefill["bytes"], "B"))
    label = f"decode step at {step['context_tokens']} × {step['batch']}"
    table.add_row(*row(label, step["flops"], "FLOP"))
    table.add_row(*row(f"{label}, bytes moved", step["bytes"], "B"))
    table.add_row(*row(f"{label}, of them KV cache", step["kv_cache_bytes"], "B"))
    console.print(table)
    if arch.source:
        flag = "" if arch.verified == "yes" else f" (verified: {arch.verified})"
        console.print(f"dimensions: {arch.source}{flag}", style="dim", highlight=False)


def _list(as_json: bool) -> None:
    """Every catalogue model with its counts."""
    from observatory.catalog import models
    from observatory.catalog.architecture import Architecture
    from observatory.verbs.tables import print_table

    known = [Architecture.lookup(name) for name in models.names()]
    if as_json:
        rows = [
            {"name": a.name, "model_type": a.model_type, "parameters": a.parameters,
             "active_parameters": a.active_parameters, "max_context": a.max_context,
             "kv_bytes_per_token": a.kv_bytes_per_token(), "verified": a.verified,
             "source": a.source}
            for a in known
        ]  # fmt: skip
        click.echo(json.dumps(rows, indent=2, allow_nan=False))
        return
    print_table(
        "Models of the catalogue",
        ["model", "type", "#parameters", "#active", "#KV B/token", "#context", "verified"],
        [
            [a.name, a.model_type, f"{a.parameters / 1e9:.4g} B",
             f"{a.active_parameters / 1e9:.4g} B" if a.moe else None,
             f"{a.kv_bytes_per_token():.0f}", a.max_context, a.verified]
            for a in known
        ],
    )  # fmt: skip


@click.command()
@click.argument("model", required=False)
@click.option(
    "--prompt",
    type=numbers.SIZE,
    default=512,
    show_default=True,
    metavar="N",
    help="Prompt tokens of the prefill.",
)
@click.option(
    "--context",
    type=numbers.SIZE,
    metavar="N",
    help="Context of the decode step, its own token included.  [default: prompt + 1]",
)
@click.option(
    "--batch", type=numbers.SIZE, default=1, show_default=True, metavar="N", help="Sequences."
)
@click.option(
    "--dtype",
    metavar="NAME",
    help="Weight format: fp32, bf16, fp16, fp8, int8, int4, nf4, mxfp4.  "
    "[default: the config's own, else bf16]",
)
@click.option("--kv-dtype", metavar="NAME", help="KV cache: fp32, bf16, fp16, fp8, int8.")
@click.option(
    "--override",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON file with config keys that replace or complete those of the config.",
)
@click.option("--list", "list_", is_flag=True, help="List the models of the catalogue and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(
    model: str | None, prompt: int, context: int | None, batch: int, dtype: str | None,
    kv_dtype: str | None, override: Path | None, list_: bool, as_json: bool,
) -> None:  # fmt: skip
    """Count parameters, FLOPs and bytes of MODEL: a catalogue name, a folder or a config.json."""
    if list_:
        _list(as_json)
        return
    if model is None:
        raise InputError("MODEL is needed: a catalogue name, a folder or a config.json (or --list)")
    arch = load(model, override)
    found = describe(arch, prompt, context or prompt + 1, batch, dtype, kv_dtype)
    if as_json:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        _print(found, arch)
