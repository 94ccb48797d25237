"""`--plan FILE.yaml`: a sweep written down. Every error names its line.

    profile: standard
    seed: 7
    defaults: {dtype: bfloat16, attention: sdpa}
    models:
      - model: SmolLM2-135M
        prompt: [64, 256]
        output: [16]
        batch: [1, 4]
      - model: Pythia-160M
        threads: 1
        cells:
          - {phase: prefill, prompt: 128}
          - {phase: decode, context: 512, steps: 16, batch: 8}
          - {phase: e2e, prompt: 100, output: 12, name: a short question}

Where neither prompts nor cells are given, a planner chooses among the default grid's points until
`target_error` (a share) or `budget` (seconds) is reached; where they are, `budget` is of the whole
run. A cell's role is `fit`, or `heldout` for a whole request (`e2e`), unless `role` says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from observatory.errors import InputError
from observatory.records import Phase, Workload
from observatory.verbs.numbers import LARGEST_SIZE
from runners.plan import Point, check_size
from runners.request import ModelRequest, Request

TOP = {
    "profile": str, "processes": int, "seed": int, "sensor": str, "timeout": float, "backend": str,
    "device": str, "target_error": float, "budget": float,
}  # fmt: skip
HOW = {"dtype": str, "attention": str, "compile": str, "kv_cache": str, "threads": int}
SIZES = ("batch", "prompt", "output")
CELL = {"phase": str, "prompt": int, "output": int, "context": int, "steps": int, "batch": int,
        "role": str, "name": str}  # fmt: skip
#: Which sizes a phase needs.
NEEDS = {
    Phase.PREFILL: ("prompt",),
    Phase.DECODE: ("context", "steps"),
    Phase.E2E: ("prompt", "output"),
}
ROLES = ("fit", "heldout")
RENAMED = {"compile": "compile_mode", "timeout": "timeout_s", "budget": "budget_s"}


class _Marked(dict[str, Any]):
    """A mapping that knows the line of each of its keys."""

    line = 0
    lines: Mapping[str, int]


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader; mappings keep their lines and refuse a key given twice."""

    def mapping(self, node: yaml.MappingNode) -> Iterator[_Marked]:
        made = _Marked()
        yield made  # filled afterwards, as PyYAML's own mappings are, so that anchors work
        self.flatten_mapping(node)
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if key in made:
                raise InputError(f"line {line}: key {key!r} is given twice")
            made[str(key)] = self.construct_object(value_node, deep=True)
            lines[str(key)] = line
        made.line, made.lines = node.start_mark.line + 1, lines


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _Loader.mapping)


def read_plan_file(path: Path) -> Request:
    """The request that a plan file holds. Raises InputError with file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"--plan {path}: cannot read it: {reason}") from error
    try:
        return _request(_load(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f"line {mark.line + 1}: "
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise InputError(f"--plan {path}: {where}{problem}") from error
    except InputError as error:
        raise InputError(f"--plan {path}: {error}") from error


def _load(text: str) -> Any:
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _request(data: Any) -> Request:
    if not isinstance(data, _Marked):
        raise InputError("line 1: expected keys such as 'profile' and 'models'")
    values = _take(data, TOP, extra=("defaults", "models"))
    defaults = data.get("defaults", _Marked())
    if not isinstance(defaults, _Marked):
        raise InputError(f"line {data.lines['defaults']}: 'defaults' holds keys and values")
    template = _model(defaults, ModelRequest("")) if defaults else ModelRequest("")
    models = data.get("models")
    if not isinstance(models, list) or not models:
        where = data.lines.get("models", data.line)
        raise InputError(f"line {where}: 'models' must be a list with one model at least")
    made = tuple(_model(_named(entry, data), template) for entry in models)
    return Request(models=made, template=template, **values)


def _named(entry: Any, data: _Marked) -> _Marked:
    if not isinstance(entry, _Marked) or not isinstance(entry.get("model"), str):
        line = entry.line if isinstance(entry, _Marked) else data.lines["models"]
        raise InputError(f"line {line}: each model needs a key 'model' with its name")
    return entry


def _model(entry: _Marked, template: ModelRequest) -> ModelRequest:
    values = _take(entry, HOW, extra=("model", "cells", *SIZES))
    for name in SIZES:
        if name in entry:
            plural = {"batch": "batches", "prompt": "prompts", "output": "outputs"}[name]
            values[plural] = _sizes(entry, name)
    if "cells" in entry:
        cells = entry["cells"]
        if not isinstance(cells, list) or not cells:
            raise InputError(f"line {entry.lines['cells']}: 'cells' must be a list of cells")
        values["points"] = tuple(_point(cell, entry) for cell in cells)
    return replace(template, model=entry.get("model", template.model), **values)


def _sizes(entry: _Marked, name: str) -> tuple[int, ...]:
    line = entry.lines[name]
    values = entry[name] if isinstance(entry[name], list) else [entry[name]]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(f"line {line}: {name} {value!r}: expected a whole number")
        _at_line(line, name, value)
    return tuple(values)


def _point(cell: Any, entry: _Marked) -> Point:
    if not isinstance(cell, _Marked):
        raise InputError(f"line {entry.lines['cells']}: a cell is a mapping with a 'phase'")
    values = _take(cell, CELL)
    phase = values.get("phase")
    if phase not in NEEDS:
        known = ", ".join(str(p) for p in NEEDS)
        raise InputError(f"line {cell.lines.get('phase', cell.line)}: phase {phase!r}: {known}")
    role = values.get("role", "heldout" if phase == Phase.E2E else "fit")
    if role not in ROLES:
        raise InputError(f"line {cell.lines['role']}: role {role!r}: fit or heldout")
    needed = NEEDS[Phase(phase)]
    for name in ("prompt", "output", "context", "steps"):
        if (name in values) != (name in needed):
            verb = "needs" if name in needed else "has no"
            raise InputError(f"line {cell.line}: a {phase} cell {verb} '{name}'")
    for name in (*needed, "batch"):
        if name in values:
            _at_line(cell.lines[name], name, values[name])
    first, *second = (values[name] for name in needed)
    batch = values.get("batch", 1)
    if phase == Phase.PREFILL:
        work = Workload.prefill(first, batch)
    elif phase == Phase.DECODE:
        work = Workload.decode(first, second[0], batch)
    else:
        work = Workload.request(first, second[0], batch)
    return Point(str(phase), work, role, values.get("name"))


def _take(
    mapping: _Marked, known: Mapping[str, type], extra: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The known keys of a mapping, checked for their type. Raises InputError with the line."""
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        line = mapping.lines[key]
        if key in extra:
            continue
        if key not in known:
            import difflib

            near = difflib.get_close_matches(key, [*known, *extra], n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"use {', '.join([*known, *extra])}"
            raise InputError(f"line {line}: unknown key {key!r}: {advice}")
        wanted = known[key]
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        if not fits or isinstance(value, bool):
            names = {str: "text", int: "a whole number", float: "a number"}
            raise InputError(f"line {line}: {key} {value!r}: expected {names[wanted]}")
        if wanted is float and not math.isfinite(value):
            raise InputError(f"line {line}: {key} {value!r}: give a finite number")
        if key in ("processes", "threads") or (key == "timeout" and not 0 < value <= LARGEST_SIZE):
            _at_line(line, key, value)
        values[RENAMED.get(key, key)] = value
    return values


def _at_line(line: int, name: str, value: int) -> None:
    try:
        check_size(name, value)
    except InputError as error:
        raise InputError(f"line {line}: {error}") from error
