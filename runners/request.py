"""What a person asked for, from flags or from a plan file, made into a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from observatory.errors import InputError, UnknownNameError
from observatory.records import Phase
from runners.backends.base import BACKENDS
from runners.devices import Chosen
from runners.grid import default_grid, grid_of, points_of
from runners.memory import DTYPE_BYTES
from runners.models import ResolvedModel
from runners.plan import Aim, Plan, Point, Target, anchor_points, idle_points
from runners.profiles import Profile, profile_named

ATTENTION = ("sdpa", "eager")
COMPILE = ("eager", "compile", "cuda_graph")
KV_CACHE = ("dynamic", "static")

#: Two small models make a comparison on any CPU.
CPU_MODELS = ("SmolLM2-135M", "Pythia-160M")
#: On an accelerator: the two largest of these that fit, largest first.
CUDA_MODELS = (
    "Llama-3.1-8B", "Qwen2.5-7B", "Llama-3.2-3B", "Qwen2.5-3B", "Llama-3.2-1B", "Qwen2.5-1.5B",
    "Qwen2.5-0.5B",
)  # fmt: skip
#: Share of free memory that default models may fill with weights.
FILL = 0.7


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One model and how to run it; None where the default holds."""

    model: str
    dtype: str | None = None
    attention: str = "sdpa"
    compile_mode: str = "eager"
    kv_cache: str = "dynamic"
    threads: int | None = None
    batches: tuple[int, ...] = (1,)
    prompts: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    points: tuple[Point, ...] = ()  #: cells named one by one, instead of a grid


@dataclass(frozen=True, slots=True)
class Request:
    """A whole run as asked for. No models: those that fit this machine and matter."""

    profile: str = "quick"
    processes: int | None = None
    seed: int = 0
    sensor: str = "auto"
    timeout_s: float | None = None
    backend: str = next(iter(BACKENDS))
    device: str = "auto"
    target_error: float | None = None  #: with budget_s: when a planner stops; None: by the profile
    budget_s: float | None = None  #: where nothing is left to choose: of the whole run
    fixed_grid: bool = False  #: measure the whole default grid instead of what a planner chooses
    models: tuple[ModelRequest, ...] = ()
    template: ModelRequest = field(default_factory=lambda: ModelRequest(""))


Resolver = Callable[[str], ResolvedModel]


def default_models(
    device: Chosen, free_bytes: int | None, resolver: Resolver, names: tuple[str, ...] = CUDA_MODELS
) -> list[str]:
    """Names that a run without `--model` measures on this device."""
    if device.kind == "cpu":
        return list(CPU_MODELS)
    room = FILL * free_bytes if free_bytes is not None else 0
    fitting = [n for n in names if resolver(n).architecture.weight_bytes("bf16") <= room]
    return (fitting or [names[-1]])[:2]


def make_plan(
    request: Request,
    device: Chosen,
    threads: int,
    resolver: Resolver,
    free_bytes: int | None = None,
) -> tuple[Plan, dict[str, ResolvedModel]]:
    """The plan of a request on a device, and its models by the name that targets carry.

    `threads` are those of a CPU backend where none are asked for. Raises InputError.
    """
    profile = profile_named(request.profile)
    processes = request.processes or profile.process_count(device.kind)
    wanted = request.models or tuple(
        replace(request.template, model=name)
        for name in default_models(device, free_bytes, resolver)
    )
    models: dict[str, ResolvedModel] = {}
    targets: list[Target] = []
    aim = _aim(request, wanted, profile)
    for one in wanted:
        model = models.setdefault(one.model, resolver(one.model))
        targets.append(_target(request, one, model, device, threads, first=not targets))
    plan = Plan(
        profile=profile.name,
        processes=processes,
        seed=request.seed,
        sensor=request.sensor,
        timeout_s=request.timeout_s or profile.timeout_s,
        targets=tuple(targets),
        budget_s=_run_budget_s(request, wanted, profile),
        aim=aim if any(target.candidates for target in targets) else None,
    )
    return plan, models


def is_planned(request: Request, one: ModelRequest) -> bool:
    """Whether a planner chooses the points of this model: nobody named them."""
    return not (request.fixed_grid or one.points or one.prompts)


def _aim(request: Request, wanted: Sequence[ModelRequest], profile: Profile) -> Aim:
    """When the planner stops; by the profile where nothing is said. Raises InputError."""
    chooses = any(is_planned(request, one) for one in wanted)
    asked = request.target_error is not None or request.budget_s is not None
    if not asked or (request.target_error is None and not chooses):
        return Aim(profile.target_error, profile.planner_s)
    if request.fixed_grid:
        raise InputError("--target-error together with --fixed-grid: that grid is measured whole")
    if not chooses:
        raise InputError(
            "--target-error: nothing is left to choose where prompts or cells are given: leave "
            "them out"
        )
    return Aim(request.target_error, request.budget_s)


def _run_budget_s(
    request: Request, wanted: Sequence[ModelRequest], profile: Profile
) -> float | None:
    """Seconds for a whole run: what was asked for where nothing is left to choose, else the
    profile's where no model was named."""
    if request.budget_s is None or any(is_planned(request, one) for one in wanted):
        return None if request.models else profile.budget_s
    return request.budget_s


def _target(
    request: Request, one: ModelRequest, model: ResolvedModel, device: Chosen, threads: int,
    first: bool,
) -> Target:  # fmt: skip
    dtype = one.dtype or _default_dtype(device)
    for name, value, known in (
        ("dtype", dtype, tuple(DTYPE_BYTES)),
        ("attention", one.attention, ATTENTION),
        ("compile mode", one.compile_mode, COMPILE),
        ("KV cache", one.kv_cache, KV_CACHE),
    ):
        if value not in known:
            raise UnknownNameError(name, value, list(known), f"use {', '.join(known)}")
    if one.compile_mode == "cuda_graph" and (device.kind != "cuda" or one.kv_cache != "static"):
        raise InputError("--compile cuda_graph needs --device cuda and --kv-cache static")
    if one.compile_mode == "compile" and one.kv_cache != "static":
        raise InputError("--compile compile needs --kv-cache static: shapes must not grow")
    longest = model.architecture.max_context
    candidates: list[Point] = []
    if one.points:
        work = list(one.points)
        _check_context(work, longest, one.model)
    else:
        default = default_grid(device.kind, request.profile)
        work = points_of(grid_of(one.prompts, one.outputs, default, longest), one.batches)
    fitted = [point for point in work if point.role == "fit"]
    if is_planned(request, one) and {p.phase for p in fitted} == {Phase.PREFILL, Phase.DECODE}:
        candidates = fitted
        work = [point for point in work if point.role != "fit"]
    return Target(
        model=one.model,
        revision=model.record.revision,
        backend=request.backend,
        device=device.name,
        dtype=dtype,
        attention=one.attention,
        compile_mode=one.compile_mode,
        kv_cache=one.kv_cache,
        threads=(one.threads or threads) if device.kind == "cpu" else None,
        points=(*idle_points(first), *anchor_points(device.kind), *work),
        candidates=tuple(candidates),
    )


def _default_dtype(device: Chosen) -> str:
    """bfloat16, or float16 on an accelerator too old for it (below compute capability 8)."""
    card = device.accelerator
    old = card is not None and card.compute_capability is not None and (
        float(card.compute_capability) < 8
    )  # fmt: skip
    return "float16" if old else "bfloat16"


def _check_context(points: list[Point], longest: int | None, model: str) -> None:
    reach = max(p.longest_context for p in points)
    if longest is not None and reach > longest:
        raise InputError(f"a cell of {model} reaches {reach} tokens, its context ends at {longest}")
