"""Calibrations from a store's own rows, and back into it: the adapter between the two.

Rows measured here become requests and decode steps of one client; what others reported of servers
becomes decode steps of a batch. A prompt that a source does not say is assumed, and the assumption
travels with the calibration.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from sqlalchemy import Connection, select

from observatory.catalog import hardware
from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import Hardware
from observatory.catalog.weights import weight_format
from observatory.ceilings import Ceilings
from observatory.errors import InputError, UnknownNameError
from observatory.runtime.calibration import Calibration
from observatory.runtime.calibration_errors import calibrate
from observatory.runtime.calibration_rows import Sample
from observatory.store import reader, schema, writer

#: Prompt tokens of tasks that publish none (ours): GPQA questions with their choices, chat turns.
ASSUMED_PROMPT = {"gpqa": 250.0, "chat": 200.0}
ASSUMED_OUTPUT_SHARE = 0.75  #: of the output lies in the context of a mean running step (ours)
TIMES = (
    "tpot_s",
    "itl_s",
    "itl_median_s",
)  #: of one token of one sequence, where no throughput is reported
RATE_UNITS = ("token/s", "1/s")


@dataclass(frozen=True)
class Gathered:
    """Rows that a calibration can learn from, the machine they ran on, and what was left out."""

    samples: tuple[Sample, ...]
    hardware: Hardware
    source: str
    assumptions: tuple[str, ...]
    skipped: Mapping[str, int]  #: reason → rows


def own_rows(connection: Connection, device: str) -> Gathered:
    """Summaries measured on a device (batch 1), for the `single-stream` recipe.

    Raises InputError where the store has none.
    """
    ceilings = Ceilings(connection)
    s, c = schema.summary, schema.configuration
    query = select(s, c.c.device_kind).join(c, s.c.configuration_key == c.c.key).order_by(s.c.id)
    rows = connection.execute(query).mappings()
    found: dict[Hardware, list[Sample]] = {}
    skipped: Counter[str] = Counter()
    for row in rows:
        ceiling = ceilings.of(row["configuration_key"], row["environment_key"])
        if ceiling is None:
            skipped["no peaks of its device, or no architecture"] += 1
        elif not _same_device(device, str(row["device_kind"]), ceiling.hardware):
            skipped["another device"] += 1
        elif row["batch"] != 1:
            skipped["batch above 1: the single-stream recipe is of one client"] += 1
        else:
            sample = _own_sample(row, ceiling.architecture, ceiling.dtype, ceiling.devices)
            if sample is None:
                skipped[f"phase {row['phase']}"] += 1
            else:
                found.setdefault(ceiling.hardware, []).append(sample)
    if not found:
        raise InputError(f"no measured rows on {device!r}: run `run-benchmark` on it first")
    machine = max(found, key=lambda hw: len(found[hw]))
    others = sum(len(samples) for hw, samples in found.items() if hw != machine)
    if others:
        skipped["another number format or thread count of the same device"] += others
    return Gathered(tuple(found[machine]), machine, "measured in this store", (), skipped)


def _same_device(asked: str, kind: str, hw: Hardware) -> bool:
    if asked in (kind, hw.name):
        return True
    try:
        return hardware.lookup(asked).name == hw.name
    except UnknownNameError:
        return False


def _own_sample(
    row: Mapping[Any, Any], arch: Architecture, dtype: str, devices: int
) -> Sample | None:
    energy, time = row["energy_device_j"], row["runtime_s"]
    sample = Sample(arch, devices, dtype, 1, time, prompt=1, output=1,
                    power_w=None if energy is None else energy / time)  # fmt: skip
    prompt, output, context = row["prompt_tokens"], row["output_tokens"], row["context_tokens"]
    if row["phase"] in ("prefill", "e2e") and prompt and output:
        return replace(sample, prompt=float(prompt), output=float(output))
    if row["phase"] == "decode" and context is not None and output:
        middle = context + (output + 1) / 2  # a step's context counts its own token
        return replace(sample, time_s=time / output, context=middle)
    return None


def reported_rows(connection: Connection, device: str) -> Gathered:
    """What others reported of servers on a device, for the `server` recipe.

    A row needs a batch, an output length and either an output-token rate or a time per token, and a
    model that the catalogue knows. Rows that the audit leaves out are left out. Raises InputError
    where none remains.
    """
    hw = hardware.lookup(device)
    table = reader.reported(connection)
    samples: list[Sample] = []
    skipped: Counter[str] = Counter()
    sources: dict[str, None] = {}
    assumed: dict[str, None] = {}
    for _, group in table.groupby(["source_key", "row"], sort=False):
        first = group.iloc[0]
        if not _is_device(first["device_kind"], hw):
            skipped["another device"] += 1
            continue
        made = _reported_sample(group, first)
        if isinstance(made, str):
            skipped[made] += 1
            continue
        sample, assumption = made
        samples.append(sample)
        sources[f"{first['tool']}: {first['source_name']}"] = None
        if assumption:
            assumed[assumption] = None
    if not samples:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in skipped.items()) or "none imported"
        raise InputError(f"no reported rows of servers on {hw.name}: {reasons}")
    return Gathered(tuple(samples), hw, "; ".join(sources), tuple(assumed), skipped)


def _is_device(kind: Any, hw: Hardware) -> bool:
    if not isinstance(kind, str):
        return False
    try:
        return hardware.lookup(kind).name == hw.name
    except UnknownNameError:
        return False


def _reported_sample(group: pd.DataFrame, first: pd.Series[Any]) -> tuple[Sample, str] | str:
    """A decode step of the running batch and what was assumed of it, or why there is none."""
    batch, output = _number(first["batch"]), _number(first["output_tokens"])
    if batch is None or output is None:
        return "no batch or output length"
    step = _step_s(group, batch)
    if step is None:
        return "no output-token rate and no time per token"
    try:
        arch = Architecture.lookup(str(first["model_name"]))
        dtype = _format(first["quantization"], first["dtype"])
    except UnknownNameError as error:
        return f"unknown {error.kind}"
    prompt = _number(first["prompt_tokens"])
    assumption = ""
    if prompt is None:
        task = "gpqa" if "gpqa" in f"{first['source_name']} {first['extra']}".lower() else "chat"
        prompt = ASSUMED_PROMPT[task]
        assumption = (
            f"context = {prompt:g} ({task}) + {ASSUMED_OUTPUT_SHARE:g} × output tokens: "
            "prompts are unpublished"
        )
    devices = int(_number(first["device_count"]) or 1)
    power = group.loc[(group["unit"] == "W") & group["value"].gt(0), "value"]
    return (
        Sample(
            arch, devices, dtype, batch, step, context=prompt + ASSUMED_OUTPUT_SHARE * output,
            power_w=float(power.iloc[0]) if len(power) else None,
        ),
        assumption,
    )  # fmt: skip


def _step_s(group: pd.DataFrame, batch: float) -> float | None:
    """Seconds of one step of the batch: batch over the output-token rate, else the time a token."""
    named = group["quantity"].astype(str)
    output = group["unit"].isin(RATE_UNITS) & (group["work_unit"] == "token")
    output &= ~named.str.contains("prefill|prompt|input|total")
    rate = group[output & group["value"].gt(0)]
    if len(rate):
        return batch / float(rate["value"].iloc[0])
    times = group[named.isin(TIMES) & group["value"].gt(0)]
    return float(times["value"].iloc[0]) if len(times) else None


def _format(quantization: Any, dtype: Any) -> str:
    for name in (quantization, dtype):
        if isinstance(name, str) and name not in ("", "none"):
            return weight_format(name).name
    return "bf16"


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


# ---------------------------------------------------------------------- the record in the store
def make(gathered: Gathered, recipe: str) -> Calibration:
    """Fit a recipe on gathered rows. Raises InputError as `calibrate` does."""
    return calibrate(
        gathered.samples, gathered.hardware, recipe, gathered.source, gathered.assumptions
    )


def store(connection: Connection, calibration: Calibration) -> bool:
    """Keep a calibration; False where the same one is there already."""
    row = {
        "id": calibration.id,
        "device": calibration.device,
        "recipe": calibration.recipe,
        "version": calibration.version,
        "n_rows": calibration.rows,
        "n_models": len(calibration.error),
        "mean_error": calibration.mean_error,
        "source": calibration.source,
        "record": calibration.as_dict(),
    }
    return writer.insert_new(connection, schema.calibration, [row]) > 0


def stored(connection: Connection) -> list[Calibration]:
    """Calibrations of a store, by device, recipe and id."""
    t = schema.calibration
    query = select(t.c.record).order_by(t.c.device, t.c.recipe, t.c.id)
    records: Iterable[Any] = connection.execute(query).scalars()
    return [Calibration.from_dict(record) for record in records]
