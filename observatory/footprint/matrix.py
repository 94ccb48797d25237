"""A scenario file: one request under every combination of region, hour, PUE, WUE, utilisation, …"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from observatory.errors import InputError, UnknownNameError
from observatory.footprint.bills import require_one_kind
from observatory.footprint.detail import footprint
from observatory.footprint.energy import J_PER_WH, EnergyInput
from observatory.footprint.factors import FactorTable, load_factors, read_text
from observatory.footprint.hourly import HourlySeries, wue_series
from observatory.footprint.intensity_files import read_intensity
from observatory.footprint.readers import read_weather
from observatory.footprint.resolve import resolve
from observatory.footprint.result import Footprint
from observatory.footprint.scenario import Scenario, scenario_from

SECTIONS = ("request", "base", "matrix", "hourly", "factors", "edition")
HOURLY = ("carbon_intensity", "weather")
LARGEST = 10_000


@dataclass(frozen=True)
class ScenarioFile:
    """A parsed scenario file. `axes` keeps the order of the file, the last axis varies fastest."""

    request: EnergyInput
    base: Scenario
    axes: Mapping[str, Sequence[Any]]
    hourly: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    factors: tuple[Path, ...] = ()
    edition: str | None = None


@dataclass(frozen=True)
class Point:
    """One combination: its coordinates on the axes, its scenario and its bills."""

    coordinates: Mapping[str, Any]
    scenario: Scenario
    bills: Footprint

    @property
    def label(self) -> str:
        """Such as `zone=SWE hour=3`."""
        return " ".join(f"{axis}={value}" for axis, value in self.coordinates.items())


def stated_energy(it_energy_wh: float, **more: Any) -> EnergyInput:
    """A request whose IT energy the reader states: exact, complete, no sensor behind it."""
    if not it_energy_wh >= 0:
        raise InputError(f"IT energy of {it_energy_wh!r} Wh: must be zero or more")
    return EnergyInput(
        wall_j=it_energy_wh * J_PER_WH,
        provenance="imported",
        method="stated",
        systematic_rel=0.0,
        **more,
    )


def load_scenario_file(path: Path) -> ScenarioFile:
    """Parse and check a scenario file. Raises InputError with the line of bad YAML."""
    try:
        raw = yaml.safe_load(read_text(path))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise InputError(f"{path}:{line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: needs the sections request and matrix")
    for name in raw:
        if name not in SECTIONS:
            raise UnknownNameError(f"section in {path}", str(name), list(SECTIONS))
    sections = {name: _mapping(raw.get(name), name, path) for name in SECTIONS[:4]}
    if not sections["request"]:
        raise InputError(f"{path}: no request: give it_energy_wh, or joules such as device_j")
    return ScenarioFile(
        _request(sections["request"], path),
        scenario_from(sections["base"], f"{path}, base"),
        _axes(sections["matrix"], path),
        _hourly(sections["hourly"], path),
        tuple(path.parent / str(name) for name in _list(raw.get("factors"), "factors", path)),
        None if raw.get("edition") is None else str(raw["edition"]),
    )


def _mapping(value: Any, name: str, path: Path) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{path}: {name} must be a mapping, got {type(value).__name__}")
    return {str(key): item for key, item in value.items()}


def _list(value: Any, name: str, path: Path) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list) or not value:
        raise InputError(f"{path}: {name} must be a list with at least one value")
    return value


def _request(values: Mapping[str, Any], path: Path) -> EnergyInput:
    known = [f.name for f in fields(EnergyInput)] + ["it_energy_wh"]
    for name in values:
        if name not in known:
            raise UnknownNameError(f"field in {path}, request", name, known)
    given = dict(values)
    try:
        if "it_energy_wh" in given:
            return stated_energy(float(given.pop("it_energy_wh")), **given)
        return EnergyInput(**given)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: request: {error}") from error


def _axes(values: Mapping[str, Any], path: Path) -> dict[str, list[Any]]:
    known = [*(f.name for f in fields(Scenario)), "hour", "utilisation"]
    out = {}
    for name, items in values.items():
        if name not in known:
            raise UnknownNameError(f"axis in {path}, matrix", name, known)
        out["active_share" if name == "utilisation" else name] = _list(items, name, path)
    size = 1
    for items in out.values():
        size *= len(items)
    if size > LARGEST:
        raise InputError(f"{path}: matrix of {size} combinations: at most {LARGEST}")
    for hour in out.get("hour", []):
        if not isinstance(hour, int) or not 0 <= hour <= 23:
            raise InputError(f"{path}: hour {hour!r}: UTC hours go from 0 to 23")
    return out


def _hourly(values: Mapping[str, Any], path: Path) -> dict[str, dict[str, Path]]:
    out: dict[str, dict[str, Path]] = {}
    for name, files in values.items():
        if name not in HOURLY:
            raise UnknownNameError(f"series in {path}, hourly", name, list(HOURLY))
        out[name] = {
            zone: path.parent / str(file) for zone, file in _mapping(files, name, path).items()
        }
    return out


def run(spec: ScenarioFile, table: FactorTable | None = None) -> list[Point]:
    """Bills of every combination, in file order. Raises InputError, also where kinds would mix."""
    factors = load_factors(spec.factors, spec.edition) if table is None else table
    names = list(spec.axes)
    series: dict[Path, HourlySeries] = {}
    points = []
    for values in itertools.product(*(spec.axes[name] for name in names)):
        coordinates = dict(zip(names, values, strict=True))
        chosen = {k: v for k, v in coordinates.items() if k != "hour"}
        scenario = scenario_from(
            {f.name: getattr(spec.base, f.name) for f in fields(Scenario)} | chosen, "matrix"
        )
        if "hour" in coordinates:
            scenario = _at_hour(scenario, coordinates["hour"], spec, factors, series)
        points.append(Point(coordinates, scenario, footprint(spec.request, scenario, factors)))
    require_one_kind(p.bills for p in points)
    return points


def _at_hour(
    scenario: Scenario,
    hour: int,
    spec: ScenarioFile,
    factors: FactorTable,
    cache: dict[Path, HourlySeries],
) -> Scenario:
    """The scenario with the mean intensity and WUE of one UTC hour of the day."""
    zone = scenario.zone
    found = False
    for name, files in spec.hourly.items():
        path = files.get(zone or "")
        if path is None:
            continue
        found = True
        if path not in cache:
            read = read_intensity(path, scenario.kind) if name == HOURLY[0] else read_weather(path)
            cache[path] = read
        if name == HOURLY[0]:
            value = cache[path].by_hour_of_day(hour)
            kind = cache[path].kind or scenario.kind
            scenario = replace(scenario, carbon_intensity_g_per_kwh=value, kind=kind)
        else:
            annual = resolve(scenario, factors).factors["wue"].value
            value = wue_series(annual, cache[path]).by_hour_of_day(hour)
            scenario = replace(scenario, wue_l_per_kwh=value)
    if not found:
        raise InputError(
            f"axis hour: no hourly series for zone {zone}: list a file under hourly, "
            "carbon_intensity or weather"
        )
    return scenario
