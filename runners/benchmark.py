"""What `run-benchmark` does between its flags and its exit code."""

from __future__ import annotations

import datetime
import math
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import click

import runners
from observatory import __version__
from observatory.errors import InputError, MissingSensorError
from observatory.ingest import Recorder, latest_resumable, stored_run
from observatory.records import TRIED_AGAIN, Device, Environment, Run, RunStatus
from observatory.verbs import options
from runners import alive, ceiling, expect, report
from runners.backends.base import BACKENDS
from runners.devices import Chosen, choose_device
from runners.environment import default_threads, free_device_bytes, nvidia_devices, probe
from runners.machine import Machine
from runners.models import ResolvedModel, resolve
from runners.plan import Plan, check_size
from runners.plan_file import read_plan_file
from runners.profiles import profile_named
from runners.progress import expected_text, make_progress
from runners.protocol import Clock, Protocol
from runners.registry import backend_names, require_backend
from runners.request import ModelRequest, Request, make_plan
from runners.sensors.base import Meter
from runners.sensors.choose import open_meter
from runners.session import Session

#: A process that was just killed stays in the driver's list for a moment.
LINGER_S = 3.0
#: Longer than this, a person at a terminal is asked first.
ASK_FROM_S = 600.0

#: Flags that say which model runs how: a plan file says it too, so both together are an error.
MODEL_FLAGS = (
    "models", "dtype", "batches", "prompts", "outputs", "attention", "compile_mode", "kv_cache",
    "threads",
)  # fmt: skip
RUN_FLAGS = (
    "device", "profile", "processes", "backend", "sensor", "timeout_s", "seed", "target_error",
    "budget_s", "fixed_grid",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """The flags of one call; `shaped` names those given that decide what is measured."""

    models: tuple[str, ...] = ()
    device: str | None = None
    dtype: str | None = None
    batches: tuple[int, ...] = ()
    prompts: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    attention: str | None = None
    compile_mode: str | None = None
    kv_cache: str | None = None
    threads: int | None = None
    profile: str | None = None
    processes: int | None = None
    target_error: float | None = None
    budget_s: float | None = None
    fixed_grid: bool | None = None
    plan_file: str | None = None
    backend: str | None = None
    sensor: str | None = None
    require_energy: bool = False
    share_device: bool = False
    timeout_s: float | None = None
    seed: int | None = None
    resume: bool = False
    dry_run: bool = False
    zone: str | None = None
    tariff: float | None = None
    gpu_price: float | None = None
    yes: bool = False
    db: str = options.DEFAULT_DATABASE
    json_: bool = False
    shaped: tuple[str, ...] = ()
    command: str = "run-benchmark"

    @staticmethod
    def shaping_flags() -> tuple[str, ...]:
        """Parameters that decide what is measured."""
        return (*MODEL_FLAGS, *RUN_FLAGS, "plan_file")


def execute(asked: Asked) -> int:
    """Run, resume or show a plan. Returns the exit code; raises ObservatoryError for a person."""
    from observatory.footprint import Scenario

    scenario = Scenario(
        zone=asked.zone,
        tariff_usd_per_kwh=asked.tariff,
        gpu_price_usd_per_h=asked.gpu_price,
    )
    report.check_zone(asked.zone)
    accelerators = nvidia_devices()
    if asked.resume:
        return _resume(asked, accelerators, scenario)
    request = request_of(asked)
    plan, models, machine = prepare(request, accelerators)
    if asked.dry_run:
        report.print_plan(plan, models, machine, asked.json_)
        return 0
    _confirm(asked, plan, models, machine)
    require_backend(request.backend)
    run = Run(
        id=new_run_id(),
        command=asked.command,
        plan_hash=plan.hash,
        plan=plan.to_mapping(),
        code_version=code_version(),
        environment_key=machine.environment.key,
        profile=plan.profile,
        seed=plan.seed,
        started_utc=datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
        notes={"process": alive.mark()},
    )
    meter = _open_meter(asked, plan, machine.device)
    try:
        recorder = Recorder.start(asked.db, run, machine.environment)
        return _measure(asked, plan, models, machine, recorder, meter, scenario)
    finally:
        meter.stop()


def request_of(asked: Asked) -> Request:
    """The request that the flags or the plan file make. Raises InputError."""
    if asked.plan_file is not None:
        both = [name for name in asked.shaped if name in MODEL_FLAGS]
        if both:
            flag = "--" + both[0].rstrip("s").replace("_", "-").replace("batche", "batch")
            raise InputError(f"{flag} together with --plan: write it into the file")
        request = read_plan_file(Path(asked.plan_file))
    else:
        one = ModelRequest(
            model="",
            dtype=asked.dtype,
            attention=asked.attention or "sdpa",
            compile_mode=asked.compile_mode or "eager",
            kv_cache=asked.kv_cache or "dynamic",
            threads=_at_least_one("--threads", asked.threads),
            batches=asked.batches or (1,),
            prompts=asked.prompts,
            outputs=asked.outputs,
        )
        names = tuple(replace(one, model=name) for name in asked.models)
        request = Request(models=names, template=one)
    if asked.timeout_s is not None and not 0 < asked.timeout_s < math.inf:
        raise InputError(f"--timeout {asked.timeout_s:g}: give seconds above 0")
    _at_least_one("--processes", asked.processes)
    given = {name: getattr(asked, name) for name in RUN_FLAGS}
    return replace(request, **{name: value for name, value in given.items() if value is not None})


def _at_least_one(flag: str, value: int | None) -> int | None:
    return None if value is None else check_size(flag, value)


def prepare(
    request: Request, accelerators: list[Device]
) -> tuple[Plan, dict[str, ResolvedModel], Machine]:
    """Plan, models and machine of a request. Raises InputError; changes nothing."""
    device = choose_device(request.device, accelerators)
    card = device.accelerator
    free = free_device_bytes(card.uuid) if card is not None and card.uuid else None
    plan, models = make_plan(request, device, default_threads(), resolve, free)
    environment = probe(request.backend, accelerators)
    return plan, models, machine_of(plan, device, environment)


def machine_of(plan: Plan, device: Chosen, environment: Environment) -> Machine:
    """The machine with the speed that its device may be expected to have."""
    threads = max((t.threads or 1 for t in plan.targets), default=1)
    return Machine(environment, device, expect.nominal_speed(device, threads))


def _resume(asked: Asked, accelerators: list[Device], scenario: Any) -> int:
    """Go on with this machine's newest run that was interrupted or has cells to try again, of the
    plan that the flags describe if any do."""
    plan_hash = None
    if asked.shaped:
        plan_hash = prepare(request_of(asked), accelerators)[0].hash
    here = {probe(backend, accelerators).key for backend in backend_names()}
    run_id = latest_resumable(asked.db, plan_hash, here)
    if run_id is None:
        which = " of this plan" if plan_hash else ""
        other = latest_resumable(asked.db, plan_hash)
        raise InputError(
            f"--resume: {asked.db} holds no interrupted run{which}, and none with cells to try "
            "again; start a new one"
            if other is None
            else f"--resume: the unfinished runs{which} in {asked.db} are of another machine, or "
            f"of this one with other libraries (the newest is {other}); start a new one"
        )
    stored = stored_run(asked.db, run_id)
    if stored.status == RunStatus.RUNNING and alive.is_alive(stored.notes.get("process", {})):
        raise InputError(
            f"--resume: run {run_id} is still going on (process {stored.notes['process']['pid']}): "
            "wait for it, or stop it first"
        )
    plan = Plan.from_mapping(stored.plan)
    models = {target.model: resolve(target.model) for target in plan.targets}
    for target in plan.targets:
        require_backend(target.backend)
        if models[target.model].record.revision != target.revision:
            raise InputError(f"--resume: the config of {target.model} has changed; start a new run")
    device = choose_device(plan.targets[0].device, accelerators)
    machine = machine_of(plan, device, probe(plan.targets[0].backend, accelerators))
    if machine.environment.key != stored.environment_key:
        raise InputError(
            f"--resume: this machine or its libraries changed since run {run_id} began; "
            "start a new run"
        )
    if asked.dry_run:
        report.print_plan(plan, models, machine, asked.json_)
        return 0
    recorder = Recorder.resume(asked.db, run_id)
    recorder.note(process=alive.mark())
    meter = _open_meter(asked, plan, device)
    try:
        return _measure(asked, plan, models, machine, recorder, meter, scenario)
    finally:
        meter.stop()


def _open_meter(asked: Asked, plan: Plan, device: Chosen) -> Meter:
    """The meter of a run, sampling. Raises MissingSensorError (exit code 3), and InputError where
    somebody else uses the device (METHOD §3.2)."""
    if device.kind == "cpu" and plan.sensor.startswith("nvml") and _runs_here(plan):
        raise InputError(
            f"--sensor {plan.sensor} counts the joules of a GPU, and the model runs on the CPU: "
            "use rapl, codecarbon or auto"
        )
    meter = open_meter(device.kind, device.sensor_devices, plan.sensor, asked.require_energy)
    meter.start()
    others = () if asked.share_device else _lasting_processes(meter)
    if others:
        meter.stop()
        raise InputError(
            f"the device is in use ({', '.join(others[:3])}): free it, or give --share-device; "
            "windows beside another process are then flagged and left out of summaries"
        )
    return meter


def _runs_here(plan: Plan) -> bool:
    """Whether the models run where `device` says; a backend from elsewhere may know better."""
    return all(target.backend in BACKENDS for target in plan.targets)


def _lasting_processes(meter: Meter) -> tuple[str, ...]:
    """Processes of others on the devices used. One that is about to end may still be listed."""
    end = time.monotonic() + LINGER_S
    while (found := meter.foreign_processes(())) and time.monotonic() < end:
        time.sleep(0.2)
    return found


def _confirm(asked: Asked, plan: Plan, models: dict[str, ResolvedModel], machine: Machine) -> None:
    architectures = {name: model.architecture for name, model in models.items()}
    expected_s = expect.plan_s(plan, architectures, machine.speed, machine.available_bytes())
    if asked.yes or asked.json_ or expected_s < ASK_FROM_S or not sys.stdin.isatty():
        return
    most_s = ceiling.plan_s(plan, architectures, machine.speed, machine.available_bytes())
    question = f"This takes {expected_text(expected_s, most_s)}. Go on?"
    click.confirm(question, default=True, abort=True, err=True)


def _measure(
    asked: Asked, plan: Plan, models: dict[str, ResolvedModel], machine: Machine,
    recorder: Recorder, meter: Meter, scenario: Any,
) -> int:  # fmt: skip
    """Run a session and close its run, whatever happens; print the answer."""
    clock = Clock(datetime.datetime.now(datetime.UTC), time.perf_counter_ns())
    progress = make_progress()
    protocol = Protocol(profile_named(plan.profile), meter, clock)
    session = Session(plan, models, machine, recorder, protocol, progress)
    facts = meter.facts
    recorder.update_run(
        sensor=facts.name if facts else None, sensor_reason=meter.reason if not facts else None
    )
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        status = session.run()
    except KeyboardInterrupt:
        progress.stop()
        closing = _closing(session, meter)
        closing["notes"]["spent_s"] = round(session.spent_s, 1)  # of its budget
        recorder.close(RunStatus.INTERRUPTED, scenario, **closing)
        click.echo("interrupted: go on with `run-benchmark --resume`", err=True)
        return 130
    finally:
        progress.stop()
        signal.signal(signal.SIGTERM, previous)
    recorder.close(status, scenario, **_closing(session, meter))
    report.print_report(asked.db, recorder.run.id, scenario, asked.json_)
    again = sum(cell.status in TRIED_AGAIN for cell in recorder.cells())
    if again:
        click.echo(
            f"{again} cell{'s' if again > 1 else ''} without a result: "
            "`run-benchmark --resume` tries again",
            err=True,
        )
    if asked.require_energy:
        _check_joules(recorder)
    return 0 if status == RunStatus.DONE else 1


def _check_joules(recorder: Recorder) -> None:
    """Raises MissingSensorError (exit code 3) where a sensor that was there at first left a cell
    without measured joules; what was measured stays stored."""
    missing = recorder.without_joules()
    if missing:
        cell, reason = missing[0]
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise MissingSensorError(
            f"--require-energy: {cell}{others} of run {recorder.run.id} ended without measured "
            f"joules ({reason}); the run is stored: mend the sensor and measure again"
        )


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does: stored, resumable."""
    raise KeyboardInterrupt


def _closing(session: Session, meter: Meter) -> dict[str, Any]:
    """What is known of a run only when it ends."""
    facts = meter.facts
    notes: dict[str, Any] = {**session.recorder.run.notes, **session.notes()}
    for of_the_moment in ("process", "spent_s"):
        notes.pop(of_the_moment, None)
    if facts is not None:
        notes["sensor"] = {
            "method": facts.method, "provenance": facts.provenance, "boundary": facts.boundary,
            "tick_s": facts.tick_s, "used": list(facts.used), **facts.details,
        }  # fmt: skip
    closing = {"notes": notes, "sampler_cpu_share": meter.cpu_share()}
    return closing | ({"sensor_reason": meter.reason} if meter.reason else {})


def new_run_id() -> str:
    """Time-ordered and unique: `20261124T101500-3f9c1a`."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def code_version() -> str:
    """The package's version, and the commit where it runs from a checkout."""
    root = Path(runners.__file__).parents[1]
    if not (root / ".git").exists():
        return __version__
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty"],
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__}+{described.stdout.strip()}"
