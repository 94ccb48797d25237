"""Energy and perplexity of quantized models on consumer GPUs: two CSV forms.

Paired: joules per 1,000 tokens and perplexity of the same run, and of FP16 beside it. Measured:
energies of both formats on more GPUs. Percent columns may be negative or above +500: they are
differences, and are not stored, because they follow from the two values.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from observatory.capability.lanes import Lane, Score
from observatory.importers.facts import Common
from observatory.importers.reading import (
    Reading,
    Row,
    RowError,
    csv_rows,
    each,
    extras,
    header,
    name_of,
    needed,
    number,
    whole,
    words,
)
from observatory.records import Reported

TOOL, LICENCE = "quantization energy data set", "CC BY 4.0"
PAIRED = ("energy_j_per_1k_tok", "fp16_energy_j_per_1k_tok", "perplexity", "fp16_perplexity")
MEASURED = ("energy_fp16_j1k", "energy_quant_j1k", "precision", "gpu")
KILO = 1e-3
KEPT = ("run_id", "generated_tokens_per_iter", "decode_iterations", "sampling_rate_hz", "note",
        "transformers", "bitsandbytes", "nvidia_driver", "n_trials", "params_b")  # fmt: skip


def sniff(path: Path) -> bool:
    """Either of the two headers."""
    names = set(header(path))
    return set(PAIRED) <= names or set(MEASURED) <= names


def read(path: Path) -> Reading:
    """Every pair. Raises InputError where the file is unreadable."""
    paired = set(PAIRED) <= set(header(path))
    make, seen = _paired if paired else _measured, dict[tuple[Any, ...], str]()
    rows = each(csv_rows(path, PAIRED if paired else MEASURED), lambda k, raw: make(k, raw, seen))
    return Reading(TOOL, rows, None, LICENCE, "https://doi.org/10.5281/zenodo.22037483")


def _common(key: str, raw: Any, precision: str, n: str) -> Common:
    return Common(
        row=key,
        model_name=name_of(raw, "model"),
        phase="decode",
        batch=number(raw, "batch_size"),
        device_kind=name_of(raw, "gpu"),
        device_count=1,
        dtype=precision.lower(),
        quantization=words(raw, "quantization_backend") if precision != "FP16" else "none",
        boundary="device",
        method="nvml_power_integral",
        n=whole(raw, n),
        extra=extras(raw, KEPT),
    )


def _plain(key: str, raw: Any, column: str, n: str, seen: dict[tuple[Any, ...], str]) -> Reported:
    """Joules a token in FP16. Rows of several formats repeat the one measurement that they are held
    against: from the second on it is marked `twin_of` the first, so as to count once."""
    joules, common = needed(raw, column, KILO), _common(f"{key}:fp16", raw, "FP16", n)
    same = (common.model_name, common.device_kind, common.batch, common.n, joules)
    first = seen.setdefault(same, common.row)
    if first != common.row:
        common = replace(common, extra={**common.extra, "twin_of": first})
    return common.fact("energy_per_token_j", joules, "token")


def _paired(key: str, raw: Any, seen: dict[tuple[Any, ...], str]) -> Row:
    precision = name_of(raw, "precision")
    own = _common(key, raw, precision, "decode_iterations")
    facts = own.facts({
        "energy_per_token_j": (needed(raw, "energy_j_per_1k_tok", KILO), "token"),
        "tokens_per_s": (number(raw, "throughput_tok_s"), "second"),
        "power_w": (number(raw, "avg_power_w"), "second"),
        "energy_run_j": (number(raw, "total_energy_j"), "run"),
    })  # fmt: skip
    base = _plain(key, raw, "fp16_energy_j_per_1k_tok", "decode_iterations", seen)
    scores = tuple(
        _perplexity(raw, column, dtype)
        for column, dtype in (("perplexity", precision), ("fp16_perplexity", "FP16"))
    )
    return Row(key, (*facts, base), scores)


def _perplexity(raw: Any, column: str, precision: str) -> Score:
    value = needed(raw, column)
    if value < 1:
        raise RowError(f"{column} {value:g} is below 1, which no perplexity is")
    corpus = (words(raw, "quality_corpus_sha256") or "?")[:12]
    lane = Lane("corpus-perplexity", "perplexity", source="quant-energy",
                task_version=f"corpus-{corpus}-len-{words(raw, 'quality_seq_len') or '?'}",
                precision=precision.lower())  # fmt: skip
    return Score(name_of(raw, "model"), lane, value, "perplexity",
                 f"https://doi.org/10.5281/zenodo.22037483 {words(raw, 'run_id') or ''}".strip(),
                 LICENCE)  # fmt: skip


def _measured(key: str, raw: Any, seen: dict[tuple[Any, ...], str]) -> Row:
    precision = name_of(raw, "precision")
    own = _common(key, raw, precision, "n_runs")
    std = number(raw, "energy_quant_std_j1k", KILO)
    return Row(key, (
        own.fact("energy_per_token_j", needed(raw, "energy_quant_j1k", KILO), "token", std=std),
        _plain(key, raw, "energy_fp16_j1k", "n_runs", seen),
    ))  # fmt: skip
