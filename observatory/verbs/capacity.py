"""`observatory capacity`: does it fit, how many users, how fast, how many joules."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from observatory.errors import InputError
from observatory.units import show, show_interval
from observatory.verbs import numbers, options
from observatory.verbs.architecture import load
from observatory.verbs.tables import print_table

if TYPE_CHECKING:
    from observatory.catalog.architecture import Architecture
    from observatory.catalog.hardware import Hardware
    from observatory.runtime.calibration import Calibration
    from observatory.runtime.capacity import Capacity, Modelled


@click.command(name="capacity")
@click.option("--model", help="Catalogue name, model folder or config.json.")
@click.option("--device", help="Device, as the catalogue or the driver names it.")
@click.option(
    "--devices",
    type=numbers.SIZE,
    default=1,
    show_default=True,
    help="How many of them, in tensor parallel.",
)
@click.option("--context", type=numbers.SIZE, help="Tokens of one sequence, its output included.")
@click.option(
    "--output", type=numbers.SIZE, default=256, show_default=True, help="Output tokens in it."
)
@click.option("--users", type=numbers.SIZE, help="Sequences at once.  [default: as many as fit]")
@click.option("--dtype", help="Weight format.  [default: the model's own, else bf16]")
@click.option("--kv-dtype", help="KV cache: bf16, fp16, fp8, …  [default: 16 bits]")
@click.option(
    "--utilisation",
    type=numbers.PART,
    default=0.923,
    show_default=True,
    help="Share of device memory that the server may use.",
)
@click.option(
    "--calibration",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Calibration from `observatory calibrate`, before the shipped ones (repeatable).",
)
@click.option(
    "--db", metavar="PATH|URL", help="Use the calibrations of this store too (its own come first)."
)
@click.option("--no-calibration", is_flag=True, help="The plain roofline: lower bounds only.")
@click.option("--zone", help="Bill the energy of a request in this grid zone.")
@click.option(
    "--override",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON file with config keys that replace those of the model.",
)
@click.option("--sweep", is_flag=True, help="Rooflines and memory from 4k to 1M tokens instead.")
@click.option("--list-devices", is_flag=True, help="List the devices of the catalogue and stop.")
@options.as_json
def command(
    model: str | None, device: str | None, devices: int, context: int | None, output: int,
    users: int | None, dtype: str | None, kv_dtype: str | None, utilisation: float,
    files: tuple[Path, ...], db: str | None, no_calibration: bool, zone: str | None,
    override: Path | None, sweep: bool, list_devices: bool, json_: bool,
) -> None:  # fmt: skip
    """Memory, users, TTFT, TPOT and joules of MODEL on a device, before anything is measured.

    \b
    observatory capacity --model llama-3.1-70b --device h100 --devices 4 --context 8192
    """
    if list_devices:
        _list(json_)
        return
    if model is None or device is None or (context is None and not sweep):
        raise InputError("--model, --device and --context are needed (or --list-devices)")

    from observatory.catalog import hardware
    from observatory.runtime.calibration_shipped import shipped
    from observatory.runtime.capacity import capacity

    arch, hw = load(model, override), hardware.lookup(device)
    weights = dtype or arch.quantization or "bf16"
    if sweep:
        _sweep(arch, hw, devices, weights, kv_dtype, utilisation, json_)
        return
    if context is None or context <= output:
        raise InputError(f"--context {context}: must exceed --output {output} (prompt = the rest)")
    known = () if no_calibration else (*shipped(), *_stored(db), *_read(files))
    found = capacity(
        arch, hw, context - output, output, users, devices, weights, kv_dtype, utilisation, known
    )
    bills = [_bill(found, zone)] if zone and found.energy_per_request_j is not None else []
    if json_:
        options.print_json(_document(found, bills))
        return
    _print(found, {c.id: c.assumptions for c in known})
    if bills:
        from observatory.verbs import billing

        billing.print_footprints(bills, ("per request", 1.0))
    elif zone:
        click.echo(f"no bill for {zone}: the energy is not known")


def _read(files: tuple[Path, ...]) -> list[Calibration]:
    from observatory.runtime.calibration_shipped import from_file

    return [record for path in files for record in from_file(path)]


def _stored(db: str | None) -> list[Calibration]:
    if db is None:
        return []
    from observatory import calibrations
    from observatory.store.database import open_read_only

    with open_read_only(db).connect() as connection:
        return calibrations.stored(connection)


def _document(found: Capacity, bills: list[Any]) -> dict[str, Any]:
    memory = asdict(found.memory) | {"free_bytes": found.memory.free_bytes}
    return asdict(found) | {
        "memory": memory,
        "provenance": "modelled",
        "energy_per_request_j": found.energy_per_request_j,
        "footprints": [m.to_json() for m in bills],
    }


def _sweep(
    arch: Architecture, hw: Hardware, devices: int, dtype: str, kv_dtype: str | None,
    utilisation: float, json_: bool,
) -> None:  # fmt: skip
    """A row a context: docs/long-context.md for one model and machine."""
    from observatory.runtime.long_context import sweep

    points = sweep(
        arch, hw, devices=devices, dtype=dtype, kv_dtype=kv_dtype, utilisation=utilisation
    )
    if json_:
        options.print_json([asdict(p) | {"provenance": "modelled"} for p in points])
        return
    print_table(
        f"{arch.name} ({dtype}) on {devices} × {hw.name}: rooflines, one sequence",
        ["context", "#prefill", "#if unfused", "#decode step", "#KV GB", "#sequences", "#swap"],
        [
            [f"{p.context:,}" + ("" if p.released else " *"), show(p.prefill_s, "runtime_s"),
             show(p.prefill_unfused_s, "runtime_s"), show(p.step_s, "runtime_s"),
             f"{p.kv_bytes / 1e9:.4g}", p.concurrency, show(p.switch_s, "runtime_s")]
            for p in points
        ],
        ["modelled: lower bounds of time; docs/long-context.md explains the columns"]
        + ([] if all(p.released for p in points) else ["* longer than the model was released for"]),
    )  # fmt: skip


def _list(json_: bool) -> None:
    from observatory.catalog.hardware import GIB, catalogue

    known = list(catalogue().values())
    if json_:
        options.print_json([asdict(hw) for hw in known])
        return

    def number(value: float | None, scale: float) -> str | None:
        return None if value is None else f"{value / scale:.4g}"

    print_table(
        "Devices of the catalogue (dense peaks)",
        ["device", "#16-bit TFLOP/s", "#fp8", "#GiB", "#GB/s", "#TDP W", "verified"],
        [
            [hw.name, number(hw.bf16_flops_per_s or hw.fp16_flops_per_s, 1e12),
             number(hw.fp8_flops_per_s, 1e12), number(hw.memory_bytes, GIB),
             number(hw.bandwidth_bytes_per_s, 1e9), number(hw.tdp_w, 1), hw.verified]
            for hw in known
        ],
    )  # fmt: skip


def _bill(found: Capacity, zone: str) -> Any:
    """The modelled joules of a request through the footprint, its interval as repeatability."""
    import math

    from observatory.catalog.hardware import spellings
    from observatory.footprint import EnergyInput, Scenario, footprint
    from observatory.footprint.zones import resolve_device

    named = (name for name in spellings(found.device) if resolve_device(name) is not None)
    per_token = found.energy_per_output_token_j
    assert per_token is not None and found.tpot_s is not None  # the caller asked only then
    width = math.log(per_token.high / per_token.mid) / 1.645 if per_token.high else None
    energy = EnergyInput(
        device_j=found.energy_per_request_j, provenance="modelled",
        method=f"calibrated, {per_token.calibration_id}", device=next(named, found.device),
        device_count=found.devices, busy_s=found.tpot_s.mid * found.output, batch=found.users,
        busy_error_rel=found.tpot_s.high / found.tpot_s.mid - 1 if found.tpot_s.high else None,
        repeat_rel_std=width, prompt_tokens=found.prompt, output_tokens=found.output,
    )  # fmt: skip
    return footprint(energy, Scenario(zone=zone))


def _interval(value: Modelled | None, unit: str) -> str | None:
    if value is None:
        return None
    if value.high is None:
        return f"≥ {show(value.mid, unit)}"
    return show_interval(value.low, value.mid, value.high, unit)


def _rate(found: Capacity) -> str | None:
    if found.tpot_s is None or found.tokens_per_s is None:
        return None
    return f"{'≤ ' if found.tpot_s.high is None else ''}{found.tokens_per_s:.4g}"


def _print(found: Capacity, assumptions: dict[str, tuple[str, ...]]) -> None:
    from observatory.catalog.hardware import GIB

    memory = found.memory
    gib = [memory.weight_bytes, memory.kv_bytes_per_sequence, memory.activation_bytes]
    weights, cache, activations = (f"{value / GIB:.3g} GiB" for value in gib)
    asked = "as many as fit" if found.asked_users is None else str(found.asked_users)
    verdict = "yes" if found.fits else "NO"
    rows: list[list[str | None]] = [
        ["model", f"{found.model} ({found.dtype})"],
        ["on", f"{found.devices} × {found.device}"],
        ["one sequence", f"{found.prompt} prompt + {found.output} output tokens"],
        ["fits", verdict],
        ["sequences that fit", str(memory.concurrency)],
        ["users asked / served", f"{asked} / {found.users}"],
        ["bottleneck", found.bottleneck],
        ["TTFT", _interval(found.ttft_s, "ttft_s")],
        ["TPOT", _interval(found.tpot_s, "tpot_s")],
        ["output tokens per second", _rate(found)],
        ["energy per output token", _interval(found.energy_per_output_token_j, "energy_j")],
        ["weights", weights],
        ["KV cache of one sequence", cache],
        ["activations of a prefill", activations],
        ["usable memory", f"{memory.usable_bytes / GIB:.4g} GiB"],
        ["swap one sequence out and one in", show(memory.switch_s, "runtime_s")],
    ]
    print_table("Capacity, modelled", ["", "#"], rows, _notes(found, assumptions))


def _notes(found: Capacity, assumptions: dict[str, tuple[str, ...]]) -> list[str]:
    notes = []
    for name, value in (("TTFT", found.ttft_s), ("TPOT", found.tpot_s)):
        if value is None:
            continue
        if value.method == "roofline":
            notes.append(
                f"{name}: roofline, a lower bound (no calibration of this device covers it)"
            )
        else:
            flag = ", fewer than nine models" if value.flagged else ""
            notes.append(f"{name}: 90 % interval of {value.calibration_id}{flag}")
            assumed = assumptions.get(str(value.calibration_id), ())
            notes += [f"  it assumes of its rows: {line}" for line in assumed]
    if found.energy_per_output_token_j is None:
        notes.append(f"energy: – because {found.energy_reason}")
    if found.memory.kv_copies > 1:
        notes.append(f"KV cache is stored {found.memory.kv_copies:g} times: fewer kv heads than "
                     "devices")  # fmt: skip
    return notes
