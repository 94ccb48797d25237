"""CodeCarbon's offline tracker: an estimate of last resort, where nothing can be measured.

As METHOD §3.12 asks: the offline tracker only (the online one silently becomes Canada when it has
no network), version 3.3.2 or newer, every argument explicit so that no configuration file or
environment variable decides, PUE 1 and WUE 0 (its component energies would contain them), energy
per component rather than its power field, started outside any timed window (its first start takes
1.5 to 3 s). It writes no file, asks no network and prints nothing.

The tracker's public `flush` brings its cumulative energies up to date, and an output handler
receives them: they are read as counters. What they mean: CPU = TDP x (0.1 + 0.9 load³) with the
load of the whole machine and a TDP looked up by the processor's name, or guessed from its cores
where the name is unknown, as on most virtual machines; DRAM = watts per assumed memory module. The
truth can be several times more or less. That is why everything from here is labelled `estimated`,
and why the wattage that was assumed is kept with it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Collection
from typing import Any

from observatory.records import Boundary, Provenance
from runners.sensors.base import DeviceId, Parts, Sample, SensorError, SensorFacts

MINIMUM = (3, 3, 2)
PERIOD_S = 1.0  #: CodeCarbon samples the CPU load once a second
_STALE_S = 0.055  #: `flush` measures again only when its last sample is older than 50 ms
_NEVER_S = 1e6  #: interval of the tracker's own thread: only `flush` may move the counters
_J_PER_KWH = 3.6e6
_REMEDY = "pip install 'codecarbon>=3.3.2'"


class CodeCarbonSensor:
    """Estimated CPU and DRAM energy of this machine."""

    def __init__(self) -> None:
        self._tracker: Any = None
        self._handler: Any = None
        self._read_at = 0.0

    def open(self, devices: tuple[DeviceId, ...] | None = None) -> SensorFacts:
        """Start the tracker and check that it counts. `devices` is not used.

        Raises SensorError `codecarbon_absent`, `codecarbon_too_old`, `codecarbon_failed`.
        """
        version = installed_version()
        module = _quietly_imported()
        self._handler = _make_handler()
        self._tracker = _start(module, self._handler)
        time.sleep(_STALE_S)
        data = self._flush()
        names = tuple(n for n, kwh in _components(data).items() if kwh > 0)
        if not names:
            self.close()
            raise SensorError("codecarbon_failed", "CodeCarbon estimates no energy on this machine")
        return SensorFacts(
            name="codecarbon",
            method="codecarbon",
            provenance=str(Provenance.ESTIMATED),
            boundary=str(Boundary.HOST),
            components=names,
            used=names,
            tick_s=None,
            details={
                "codecarbon": version,
                "cpu_model": str(data.cpu_model),
                "tracking": "machine: TDP x CPU load; watts per assumed memory module",
                "pue": "1",
                "wue": "0",
                **_assumed(self._tracker),
            },
            counters=names,
            period_s=PERIOD_S,
        )

    def read(self, parts: Parts = Parts.ALL) -> Sample:
        """The tracker's cumulative estimates now, in J; there is no other state. Raises SensorError
        `codecarbon_failed`."""
        if Parts.COUNTERS not in parts:
            return Sample(time.perf_counter_ns())
        data = self._flush()
        t_ns = time.perf_counter_ns()
        return Sample(t_ns, energy_j={n: k * _J_PER_KWH for n, k in _components(data).items()})

    def foreign_processes(self, own: Collection[int] = ()) -> tuple[str, ...]:
        """None: the estimate is of the whole machine."""
        return ()

    def close(self) -> None:
        """Stop the tracker."""
        if self._tracker is not None:
            self._tracker.stop()
            self._tracker = None

    def _flush(self) -> Any:
        """Bring the tracker up to date; waits the rest of its 50 ms where it was asked too soon."""
        wait_s = self._read_at + _STALE_S - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        self._handler.latest = None
        self._tracker.flush()
        self._read_at = time.monotonic()
        if self._handler.latest is None:
            raise SensorError("codecarbon_failed", "CodeCarbon's tracker returned no data")
        return self._handler.latest


def installed_version() -> str:
    """Version of CodeCarbon, new enough. Raises SensorError."""
    try:
        version = importlib.metadata.version("codecarbon")
    except importlib.metadata.PackageNotFoundError as error:
        raise SensorError("codecarbon_absent", "CodeCarbon is not installed", _REMEDY) from error
    if _numbers(version) < MINIMUM:
        raise SensorError(
            "codecarbon_too_old",
            f"CodeCarbon {version} is too old: this project reads 3.3.2 and newer",
            _REMEDY,
        )
    return version


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")[:3]
    return tuple(int("".join(c for c in p if c.isdigit()) or 0) for p in parts)


def _assumed(tracker: Any) -> dict[str, str]:
    """The wattage that the CPU's estimate scales with, and how it is driven, where the tracker
    shows them (it has no public name for them): a reader should see what was guessed."""
    for item in getattr(tracker, "_hardware", ()):
        if type(item).__name__ == "CPU" and getattr(item, "_tdp", None) is not None:
            return {"assumed_cpu_w": str(item._tdp), "cpu_mode": str(item._mode)}
    return {}


def _components(data: Any) -> dict[str, float]:
    return {"cpu:0": float(data.cpu_energy), "dram:0": float(data.ram_energy)}


def _quietly_imported() -> Any:
    """Importing CodeCarbon adds a handler that prints: silence its logger before and after."""
    logger = logging.getLogger("codecarbon")
    logger.setLevel(logging.CRITICAL)
    try:
        module = importlib.import_module("codecarbon")
    except ImportError as error:
        raise SensorError(
            "codecarbon_absent", f"CodeCarbon cannot be imported: {error}", _REMEDY
        ) from error
    logger.setLevel(logging.CRITICAL)
    return module


def _make_handler() -> Any:
    base: Any = importlib.import_module("codecarbon.output_methods.base_output").BaseOutput

    class Latest(base):  # type: ignore[misc]
        """Keeps what `flush` hands out."""

        latest: Any = None

        def out(self, total: Any, delta: Any) -> None:
            self.latest = total

    return Latest()


def _start(module: Any, handler: Any) -> Any:
    """A running tracker. Its constructor and `start` swallow exceptions: look at what they left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tracker = module.OfflineEmissionsTracker(**_arguments(handler))
        if not hasattr(tracker, "run_id") or not hasattr(tracker, "_start_time"):
            raise SensorError("codecarbon_failed", "CodeCarbon's tracker could not be made")
        tracker.start()
    return tracker


def _arguments(handler: Any) -> dict[str, Any]:
    """Every argument that is not deprecated, so that nothing is taken from the surroundings.

    The carbon intensity is set to 0 and never read: with it the tracker has no question to ask.
    """
    return {
        "country_iso_code": "USA",
        "region": None,
        "cloud_provider": None,
        "cloud_region": None,
        "country_2letter_iso_code": None,
        "project_name": "inference-observatory",
        "measure_power_secs": _NEVER_S,
        "api_call_interval": -1,
        "api_endpoint": "",
        "api_key": None,
        "output_dir": tempfile.gettempdir(),
        "output_file": os.devnull,
        "output_methods": [],
        "logging_logger": None,
        "prometheus_url": None,
        "output_handlers": [handler],
        "gpu_ids": [],
        "emissions_endpoint": None,
        "experiment_id": "inference-observatory",
        "experiment_name": None,
        "electricitymaps_api_token": "",
        "tracking_mode": "machine",
        "log_level": "critical",
        "on_csv_write": "append",
        "logger_preamble": "",
        "force_cpu_power": None,
        "force_ram_power": None,
        "pue": 1.0,
        "wue": 0.0,
        "force_carbon_intensity_g_co2e_kwh": 0.0,
        "force_mode_cpu_load": False,
        "allow_multiple_runs": True,
        "rapl_include_dram": False,
        "rapl_prefer_psys": False,
        "metadata": None,
    }
