"""CodeCarbon's estimate: quiet, offline, explicit, labelled, and absent with a remedy."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runners.sensors import codecarbon as ours
from runners.sensors.base import SensorError

ROOT = Path(__file__).resolve().parents[3]

SCRIPT = """
import json, socket, sys, time

def refuse(*args, **kwargs):
    raise AssertionError("the network was asked")

socket.socket.connect = refuse
socket.getaddrinfo = refuse
from runners.sensors.codecarbon import CodeCarbonSensor
sensor = CodeCarbonSensor()
facts = sensor.open()
first = sensor.read()
end = time.perf_counter() + 1.2
while time.perf_counter() < end:
    pass
second = sensor.read()
sensor.close()
sensor.close()
print(json.dumps({
    "used": facts.used, "provenance": facts.provenance, "boundary": facts.boundary,
    "method": facts.method, "tick_s": facts.tick_s, "details": dict(facts.details),
    "first": dict(first.energy_j), "second": dict(second.energy_j),
    "seconds": (second.t_ns - first.t_ns) * 1e-9,
}))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run in an empty folder, with a hostile configuration around it."""
    pytest.importorskip("codecarbon")
    folder = tmp_path_factory.mktemp("codecarbon")
    (folder / ".codecarbon.config").write_text("[codecarbon]\npue = 9\nsave_to_file = true\n")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "CODECARBON_PUE": "7",
        "CODECARBON_OUTPUT_METHODS": "csv",
        "CODECARBON_EMISSIONS_ENDPOINT": "http://127.0.0.1:9",
        "CODECARBON_CO2_SIGNAL_API_TOKEN": "token",
        "CODECARBON_LOG_LEVEL": "debug",
        "CODECARBON_FORCE_CPU_POWER": "12345",
    }
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return folder, process


def test_an_estimate_labelled_so_with_its_assumptions(run):
    _, process = run
    result = json.loads(process.stdout)
    assert result["provenance"] == "estimated" and result["boundary"] == "host"
    assert result["method"] == "codecarbon" and result["tick_s"] is None
    assert set(result["used"]) <= {"cpu:0", "dram:0"} and result["used"]
    assert result["details"]["pue"] == "1" and result["details"]["wue"] == "0"
    assert float(result["details"].get("assumed_cpu_w", "1")) < 12345  # not from the surroundings


def test_energies_are_counters_of_plausible_power(run):
    _, process = run
    result = json.loads(process.stdout)
    for name in result["used"]:
        watts = (result["second"][name] - result["first"][name]) / result["seconds"]
        assert 0.1 < watts < 2000, name


def test_no_file_no_word_no_network(run):
    folder, process = run
    assert [p.name for p in folder.iterdir()] == [".codecarbon.config"]
    assert process.stderr == ""
    assert process.stdout.count("\n") == 1


def test_every_argument_that_is_not_deprecated_is_explicit():
    codecarbon = pytest.importorskip("codecarbon")
    base = inspect.signature(codecarbon.OfflineEmissionsTracker.__mro__[1].__init__)
    own = inspect.signature(codecarbon.OfflineEmissionsTracker.__init__)
    known = {*base.parameters, *own.parameters} - {"self", "args", "kwargs"}
    deprecated = {n for n in known if n.startswith("save_to_")} | {"co2_signal_api_token"}
    assert set(ours._arguments(object())) == known - deprecated
    assert ours._arguments(object())["pue"] == 1.0 and ours._arguments(object())["wue"] == 0.0


def test_without_codecarbon_there_is_a_remedy(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(SensorError) as caught:
        ours.CodeCarbonSensor().open()
    assert caught.value.code == "codecarbon_absent"
    assert caught.value.remedy == "pip install 'codecarbon>=3.3.2'"


def test_an_old_codecarbon_is_refused(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "3.3.1")
    with pytest.raises(SensorError) as caught:
        ours.CodeCarbonSensor().open()
    assert caught.value.code == "codecarbon_too_old" and "3.3.1" in caught.value.sentence


@pytest.mark.parametrize(
    ("version", "numbers"), [("3.3.2", (3, 3, 2)), ("4.0.0rc1", (4, 0, 1)), ("3.10", (3, 10))]
)
def test_versions_compare_as_numbers(version, numbers):
    assert ours._numbers(version) == numbers
    assert ours._numbers(version) >= ours.MINIMUM
