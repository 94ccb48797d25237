"""Profiling logs of the idealized-runtime paper: Megatron's console output with a line per point.

A block `  name ..... value` gives the arguments of a launch, then each measurement is one line
`Runtime for {'num_input_tokens': P, 'num_output_tokens': O}: T seconds +- S`: T the mean of 50
iterations, S their standard deviation. One file may hold several launches: of equal configurations
the last value of a point wins; another tensor-parallel size is another configuration. A file's name
can mislead, so models are named by their shape and the file's name is kept beside it.

A line with bytes that are no text is reported and passed over, as a truncated one is. Where it may
have held an argument that the points after it need, they are reported too: nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from observatory.errors import InputError
from observatory.importers.facts import Common
from observatory.importers.files import head, log_lines
from observatory.importers.reading import Reading, Row, each, extras
from observatory.records import Reported

TOOL = "helm-efficiency"
OPTIONS = ("layer_scale",)
URL = "https://github.com/stanford-crfm/helm-efficiency"
ITERATIONS = 50  # of each point, after 10 that were discarded; see the paper's appendix
_ARGUMENT = re.compile(r"^\s+(\w+) \.{2,} (.+?)\s*$")
_CUT_ARGUMENT = re.compile(r"^\s+(\w+)[ .]*$")  # its name or the start of it, and no value
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
#: of which a point is told apart; where a log has none of the later ones they are one, or unknown
_TELLING = (*_NEEDED, "tensor_model_parallel_size", "pipeline_model_parallel_size",
            "micro_batch_size", "params_dtype")  # fmt: skip
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


@dataclass
class _Arguments:
    """The block of arguments before the points, and the line that leaves part of it unknown."""

    values: dict[str, str] = field(default_factory=dict)
    inside: bool = False
    lost: int | None = None  #: the last line that may have held an argument of this block
    header: int | None = None  #: the last damaged line outside, which may have opened a block

    def take(self, line: str, number: int, damaged: bool) -> str | None:
        """Read a line that is no point. Returns why it cannot be used, where it must be said."""
        found = _ARGUMENT.match(line)
        if "- arguments -" in line and "end of" not in line:
            self._open(None)
        elif "end of arguments" in line:
            if not self.inside and self.header is not None:
                self._open(self.header)
            self.inside = False
        elif damaged and not self.inside:
            self.header = number
        elif damaged:
            if found is None or found[1] in _TELLING:
                self.lost = number
        elif found is not None:
            if not self.inside and self.header is not None and found[1] in _SHAPE:
                self._open(self.header)
            if self.inside:
                self.values[found[1]] = found[2]
        elif self.inside and _cut_off(line):
            self.lost = number
            return "is an argument cut off before its value"
        return None

    def _open(self, lost: int | None) -> None:
        self.values, self.inside, self.lost, self.header = {}, True, lost, None

    @property
    def unknown(self) -> str | None:
        """What a point after this block lacks because of a damaged line; None where nothing."""
        name = next((name for name in _TELLING if name not in self.values), None)
        if self.lost is None or name is None:
            return None
        return f"needs {name}, which line {self.lost} may have held"


def _cut_off(line: str) -> bool:
    found = _CUT_ARGUMENT.match(line)
    return found is not None and any(name.startswith(found[1]) for name in _TELLING)


@dataclass(frozen=True)
class ParsedLog:
    """What a log holds: launches, and lines that are damaged or points that cannot be used."""

    launches: tuple[Launch, ...]
    broken: tuple[tuple[int, str], ...]


def sniff(path: Path) -> bool:
    """A block of Megatron arguments, or a line that gives a point (and not prose about one)."""
    start = head(path, nul=True)
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
    block = _Arguments()
    for number, (line, fault) in enumerate(log_lines(path), start=1):
        if fault is not None:
            broken.append((number, fault))
        if fault is None and line.startswith("Runtime for"):
            block.inside = False
            key = tuple(block.values.get(name, "") for name in _SHAPE)
            launch = launches.setdefault(key, Launch(dict(block.values)))
            _take(launch, line, number, layer_scale, block.unknown, broken)
        elif (reason := block.take(line, number, fault is not None)) is not None:
            broken.append((number, reason))
    if not any(launch.points for launch in launches.values()):
        if not broken:
            raise InputError(f"{path}: holds no line `Runtime for ...`")
        first, why = broken[0]
        raise InputError(f"{path}: no line `Runtime for ...` can be used; line {first} {why}")
    return ParsedLog(tuple(launches.values()), tuple(broken))


def _take(
    launch: Launch,
    line: str,
    number: int,
    scale: float,
    unknown: str | None,
    broken: list[tuple[int, str]],
) -> None:
    found = _POINT.match(line)
    if found is None:
        broken.append((number, "is truncated or no `Runtime for {...}: T seconds +- S`"))
    elif unknown is not None:
        broken.append((number, unknown))
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
