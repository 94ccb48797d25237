"""Profiling logs of the idealized-runtime paper: Megatron's console output with a line per point.

A block `  name ..... value` gives the arguments of a launch, then each measurement is one line
`Runtime for {'num_input_tokens': P, 'num_output_tokens': O}: T seconds +- S`: T the mean of 50
iterations, S their standard deviation. One file may hold several launches: of equal configurations
the last value of a point wins; another tensor-parallel size is another configuration. A file's name
can mislead, so models are named by their shape and the file's name is kept beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from observatory.errors import InputError
from observatory.importers.facts import Common
from observatory.importers.reading import Reading, Row, each, extras, head, lines
from observatory.records import Reported

TOOL = "helm-efficiency"
OPTIONS = ("layer_scale",)
URL = "https://github.com/stanford-crfm/helm-efficiency"
ITERATIONS = 50  # of each point, after 10 that were discarded; see the paper's appendix
_ARGUMENT = re.compile(r"^\s+(\w+) \.{2,} (.+?)\s*$")
_POINT = re.compile(
    r"^Runtime for \{'num_input_tokens': (\d{1,12}), 'num_output_tokens': (\d{1,12})\}: "
    r"(\d{1,12}\.\d{1,20}) seconds \+- (\d{1,12}\.\d{1,20})\s*$",
    re.ASCII,
)
_A_POINT = re.compile(r"^Runtime for \{'num_input_tokens': [0-9]", re.MULTILINE)
_WHOLE = re.compile(r"[0-9]{1,12}")
_NEEDED = ("num_layers", "hidden_size", "num_attention_heads")
_SHAPE = (*_NEEDED, "ffn_hidden_size", "tensor_model_parallel_size",
          "pipeline_model_parallel_size", "world_size", "micro_batch_size",
          "params_dtype", "make_vocab_size_divisible_by")  # fmt: skip
DTYPES = {"torch.float16": "fp16", "torch.bfloat16": "bf16", "torch.float32": "fp32"}


@dataclass(frozen=True)
class LogPoint:
    """One measured request: times in s (already scaled), and the line that says so."""

    prompt_tokens: int
    output_tokens: int
    runtime_s: float
    std_s: float
    line: int
    decimals: int

    @property
    def resolution_s(self) -> float:
        """The step between times that the log can tell apart."""
        return float(10.0**-self.decimals)


@dataclass
class Launch:
    """One configuration in a log: its arguments and the last value of each point."""

    arguments: dict[str, str]
    points: dict[tuple[int, int], LogPoint] = field(default_factory=dict)
    superseded: list[int] = field(default_factory=list)

    def whole(self, name: str) -> int | None:
        """An argument as an integer; None where it is absent or `None`."""
        value = self.arguments.get(name, "")
        return int(value) if _WHOLE.fullmatch(value) else None

    @property
    def missing(self) -> str | None:
        """The first argument without which a point means nothing."""
        return next((name for name in _NEEDED if self.whole(name) is None), None)

    @property
    def devices(self) -> int:
        """GPUs that worked on one request."""
        parts = ("tensor_model_parallel_size", "pipeline_model_parallel_size")
        sizes = [self.whole(name) or 1 for name in parts]
        return sizes[0] * sizes[1]


@dataclass(frozen=True)
class ParsedLog:
    """What a log holds: launches, and lines that look like points but cannot be used."""

    launches: tuple[Launch, ...]
    broken: tuple[tuple[int, str], ...]


def sniff(path: Path) -> bool:
    """A block of Megatron arguments, or a line that gives a point (and not prose about one)."""
    start = head(path)
    return bool(_A_POINT.search(start)) or (
        "- arguments -" in start and "all_num_input_tokens" in start
    )


def parse(path: Path, layer_scale: float = 1.0) -> ParsedLog:
    """Read a log. `layer_scale` multiplies the times of a model profiled with fewer layers.

    Raises InputError where the file cannot be read or holds no point, or the scale is not positive.
    """
    if not 0 < layer_scale < float("inf"):
        raise InputError(f"layer scale {layer_scale}: must be positive")
    launches: dict[tuple[str, ...], Launch] = {}
    broken: list[tuple[int, str]] = []
    arguments: dict[str, str] = {}
    inside = False
    for number, line in enumerate(lines(path), start=1):
        if "- arguments -" in line and "end of" not in line:
            arguments, inside = {}, True
        elif "end of arguments" in line:
            inside = False
        elif inside and (found := _ARGUMENT.match(line)):
            arguments[found[1]] = found[2]
        elif line.startswith("Runtime for"):
            key = tuple(arguments.get(name, "") for name in _SHAPE)
            launch = launches.setdefault(key, Launch(dict(arguments)))
            _take(launch, line, number, layer_scale, broken)
    if not any(launch.points for launch in launches.values()):
        raise InputError(f"{path}: holds no line `Runtime for ...` that can be used")
    return ParsedLog(tuple(launches.values()), tuple(broken))


def _take(
    launch: Launch, line: str, number: int, scale: float, broken: list[tuple[int, str]]
) -> None:
    found = _POINT.match(line)
    if found is None:
        broken.append((number, "is truncated or no `Runtime for {...}: T seconds +- S`"))
    elif launch.missing is not None:
        broken.append((number, f"stands after no arguments: {launch.missing} is unknown"))
    elif int(found[1]) < 1 or int(found[2]) < 1 or float(found[3]) <= 0:
        broken.append((number, "has a size or a time of zero"))
    else:
        key = (int(found[1]), int(found[2]))
        if key in launch.points:
            launch.superseded.append(launch.points[key].line)
        decimals = len(found[3].split(".")[1])
        launch.points[key] = LogPoint(
            *key, float(found[3]) * scale, float(found[4]) * scale, number, decimals
        )


def read(path: Path, layer_scale: float = 1.0) -> Reading:
    """Every point of every launch. Raises InputError as `parse` does."""
    parsed = parse(path, layer_scale)
    superseded = sum(len(launch.superseded) for launch in parsed.launches)
    notes: dict[str, Any] = {
        "launches": len(parsed.launches), "superseded_points": superseded,
        "layer_scale": layer_scale, "iterations_per_point": ITERATIONS,
    }  # fmt: skip
    return Reading(TOOL, _rows(path, parsed, layer_scale), None, None, URL, notes)


def _rows(path: Path, parsed: ParsedLog, layer_scale: float) -> Iterator[Row]:
    for number, reason in parsed.broken:
        yield Row(f"line {number}", rejected=f"line {number} {reason}")
    points = (
        (f"line {point.line}", (launch, point))
        for launch in parsed.launches
        for point in launch.points.values()
    )

    def row(key: str, found: tuple[Launch, LogPoint]) -> Row:
        return Row(key, (_fact(path, *found, key, layer_scale),))

    yield from each(points, row)


def _fact(path: Path, launch: Launch, point: LogPoint, key: str, layer_scale: float) -> Reported:
    extra = extras(launch.arguments, _SHAPE)
    extra |= {"file": path.name, "resolution_s": point.resolution_s * layer_scale}
    if layer_scale != 1:
        extra |= {"layer_scale": layer_scale, "profiled_layers": launch.whole("num_layers")}
    if launch.superseded:
        extra["launches_merged"] = True
    common = Common(
        row=key if layer_scale == 1 else f"{key} x{layer_scale:g}",
        model_name=shape_name(launch, layer_scale),
        phase="e2e",
        prompt_tokens=float(point.prompt_tokens),
        output_tokens=float(point.output_tokens),
        batch=float(launch.whole("micro_batch_size") or 1),
        device_count=launch.devices,
        dtype=DTYPES.get(launch.arguments.get("params_dtype", "")),
        backend="megatron",
        n=ITERATIONS,
        extra=extra,
    )
    return common.fact("runtime_s", point.runtime_s, std=point.std_s)


def shape_name(launch: Launch, layer_scale: float = 1.0) -> str:
    """`megatron-28x4096`: layers of the whole model and hidden size."""
    layers = (launch.whole("num_layers") or 0) * layer_scale
    return f"megatron-{layers:g}x{launch.whole('hidden_size')}"
