"""Which sensor a machine offers, what it says when there is none, and two sensors as one."""

from __future__ import annotations

import pytest

from observatory.errors import InputError, MissingSensorError, UnknownNameError
from runners.sensors import choose
from runners.sensors.base import Parts, Sample, SensorError, SensorFacts
from runners.sensors.choose import make_sensor, open_meter, probe_sensors
from runners.sensors.combined import CombinedSensor
from runners.sensors.evaluate import evaluate
from tests.runners.sensors.test_sensor_recorded import TRACES

S = 10**9


class Fake:
    """A sensor of fixed power whose counter is made at reading."""

    def __init__(
        self, name: str, watts: dict[str, float], provenance: str = "measured",
        boundary: str = "device", fails_at_open: SensorError | None = None,
        fails_from: int = 10**9,
    ) -> None:  # fmt: skip
        self.name, self.watts, self.provenance, self.boundary = name, watts, provenance, boundary
        self.fails_at_open, self.fails_from = fails_at_open, fails_from
        self.t, self.closed, self.asked = 0, 0, []

    def open(self, devices=None) -> SensorFacts:
        self.asked.append(devices)
        if self.fails_at_open:
            raise self.fails_at_open
        names = tuple(self.watts)
        return SensorFacts(
            self.name, self.name, self.provenance, self.boundary, names, names, counters=names
        )

    def read(self, parts=Parts.ALL) -> Sample:
        self.t += 1
        if self.t >= self.fails_from:
            raise SensorError("rapl_unreadable", "gone")
        return Sample(self.t * S, energy_j={n: w * self.t for n, w in self.watts.items()})

    def foreign_processes(self, own=()):
        return ("gpu:0 pid 7",) if self.name == "nvml" else ()

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def offered(monkeypatch):
    """Name -> what `make_sensor` gives."""
    table: dict[str, Fake] = {}
    monkeypatch.setattr(choose, "make_sensor", lambda name: table[name])
    return table


ABSENT = SensorError("rapl_absent", "no RAPL here", "run on the host itself")


def test_a_cpu_run_measures_with_rapl_where_it_can(offered):
    offered["rapl"] = Fake("rapl", {"cpu:0": 50.0}, boundary="host")
    assert open_meter("cpu", None).facts.name == "rapl"


def test_a_cpu_run_falls_back_to_the_estimate(offered):
    offered["rapl"] = Fake("rapl", {}, fails_at_open=ABSENT)
    offered["codecarbon"] = Fake("codecarbon", {"cpu:0": 20.0}, "estimated", "host")
    assert open_meter("cpu", None).facts.provenance == "estimated"


def test_an_estimate_does_not_satisfy_require_energy(offered):
    offered["rapl"] = Fake("rapl", {}, fails_at_open=ABSENT)
    offered["codecarbon"] = Fake("codecarbon", {"cpu:0": 20.0}, "estimated", "host")
    with pytest.raises(MissingSensorError) as caught:
        open_meter("cpu", None, require_measured=True)
    assert caught.value.exit_code == 3
    assert "run on the host itself" in str(caught.value) and "\n" not in str(caught.value)
    assert offered["codecarbon"].closed == 1


def test_without_any_sensor_there_is_a_reason_and_no_number(offered):
    offered["rapl"] = Fake("rapl", {}, fails_at_open=ABSENT)
    missing = SensorError("codecarbon_absent", "CodeCarbon is not installed")
    offered["codecarbon"] = Fake("codecarbon", {}, fails_at_open=missing)
    meter = open_meter("cpu", None)
    assert meter.facts is None
    assert meter.reason == (
        "rapl_absent: no RAPL here; codecarbon_absent: CodeCarbon is not installed"
    )
    assert meter.reading(0, S).energy.total_j is None


def test_a_gpu_run_is_never_given_the_cpu_s_joules_alone(offered):
    lost = SensorError("nvml_library_not_found", "no library")
    offered["nvml+rapl"] = Fake("nvml", {}, fails_at_open=lost)
    meter = open_meter("cuda", ("GPU-1",))
    assert meter.facts is None and meter.reason.startswith("nvml_library_not_found")
    assert offered["nvml+rapl"].asked == [("GPU-1",)]


def test_a_wish_is_binding(offered):
    offered["rapl"] = Fake("rapl", {}, fails_at_open=ABSENT)
    with pytest.raises(MissingSensorError, match="'rapl' is not available"):
        open_meter("cpu", None, want="rapl")


def test_none_means_none_unless_energy_is_required():
    assert open_meter("cpu", None, want="none").reason.startswith("not_asked")
    with pytest.raises(MissingSensorError):
        open_meter("cpu", None, want="none", require_measured=True)


def test_names():
    with pytest.raises(UnknownNameError):
        make_sensor("rappl")
    with pytest.raises(InputError):
        make_sensor("recorded")
    sensor = make_sensor(f"recorded:{TRACES / 'synthetic_step_50ms.csv'}")
    assert sensor.open().used == ("gpu:0",)
    assert isinstance(make_sensor("nvml+rapl"), CombinedSensor)


def test_the_probe_lists_every_sensor_with_a_remedy_where_it_is_missing(monkeypatch):
    fakes = {
        "nvml": Fake("nvml", {}, fails_at_open=SensorError("nvml_no_permission", "no", "ask")),
        "rapl": Fake("rapl", {"cpu:0": 1.0}, boundary="host"),
        "codecarbon": Fake("codecarbon", {"cpu:0": 1.0}, "estimated", "host"),
    }
    monkeypatch.setattr(choose, "make_sensor", fakes.get)
    nvml, rapl, codecarbon = probe_sensors()
    assert (nvml.available, nvml.remedy) == (False, "ask")
    assert nvml.sentence == "nvml_no_permission: no"
    assert rapl.available and rapl.boundary == "host" and "cpu:0" in rapl.sentence
    assert codecarbon.provenance == "estimated"
    assert fakes["rapl"].closed == fakes["codecarbon"].closed == 1


def combined(**second):
    gpu = Fake("nvml", {"gpu:0": 300.0})
    host = Fake("rapl", {"cpu:0": 80.0, "dram:0": 10.0}, boundary="host", **second)
    sensor = CombinedSensor(gpu, host)
    return sensor, sensor.open(), gpu, host


def test_gpu_cpu_and_dram_in_the_host_boundary():
    sensor, facts, _, _ = combined()
    assert facts.method == "nvml+rapl" and facts.boundary == "host"
    samples = [sensor.read() for _ in range(8)]
    energy = evaluate(samples, facts, 2 * S, 6 * S).energy
    assert (energy.device_j, energy.cpu_j, energy.dram_j) == (
        pytest.approx(1200), pytest.approx(320), pytest.approx(40),
    )  # fmt: skip
    assert energy.total_j == pytest.approx(1560) and energy.boundary == "host"
    assert evaluate(samples, facts, 2 * S, 6 * S).power_mean_w == pytest.approx(300)


def test_without_rapl_the_boundary_is_the_device_and_the_reason_is_kept():
    sensor, facts, _, host = combined(fails_at_open=ABSENT)
    assert facts.boundary == "device" and facts.used == ("gpu:0",)
    assert facts.details["host"] == "rapl_absent: no RAPL here"
    assert sensor.read().energy_j == {"gpu:0": 300.0}
    sensor.close()
    assert host.closed == 0


def test_rapl_that_fails_midway_leaves_the_gpu_s_joules_and_a_flag():
    sensor, facts, gpu, host = combined(fails_from=4)
    samples = [sensor.read() for _ in range(8)]
    energy = evaluate(samples, facts, 2 * S, 6 * S).energy
    assert energy.device_j == pytest.approx(1200)
    assert energy.cpu_j is None and energy.dram_j is None
    assert energy.boundary == "device" and energy.reason is None
    assert "cpu_energy_missing:rapl_unreadable" in energy.flags
    assert sensor.foreign_processes() == ("gpu:0 pid 7",)
    sensor.close()
    assert (gpu.closed, host.closed) == (1, 1)


def test_one_of_two_used_gpus_missing_leaves_no_total():
    facts = SensorFacts(
        "nvml", "nvml_counter", "measured", "device", ("gpu:0", "gpu:1"), ("gpu:0", "gpu:1"),
        counters=("gpu:0", "gpu:1"),
    )  # fmt: skip
    samples = [
        Sample(
            t * S,
            energy_j={"gpu:0": 300.0 * t} | ({"gpu:1": 100.0 * t} if t < 4 else {}),
            errors={} if t < 4 else {"gpu:1": "nvml_unknown: gpu:1: Unknown Error"},
        )
        for t in range(8)
    ]
    energy = evaluate(samples, facts, 2 * S, 6 * S).energy
    assert energy.device_j is None and energy.total_j is None
    assert energy.reason == "nvml_unknown: gpu:1: Unknown Error"


def test_a_neighbour_that_cannot_be_read_is_a_flag():
    facts = SensorFacts(
        "nvml", "nvml_counter", "measured", "device", ("gpu:0", "gpu:1"), ("gpu:0",),
        counters=("gpu:0", "gpu:1"),
    )  # fmt: skip
    samples = [Sample(t * S, energy_j={"gpu:0": 300.0 * t, "gpu:1": 9.0}) for t in range(8)]
    energy = evaluate(samples, facts, 2 * S, 6 * S).energy
    assert energy.device_j == pytest.approx(1200) and energy.idle_devices_j is None
    assert "idle_devices_energy_missing:counter_stuck" in energy.flags


def test_dram_alone_is_never_the_run_s_energy():
    """The package's counter goes backwards, DRAM's does not: no total, not DRAM's joules."""
    facts = SensorFacts(
        "rapl", "rapl", "measured", "host", ("cpu:0", "dram:0"), ("cpu:0", "dram:0"),
        counters=("cpu:0", "dram:0"),
    )  # fmt: skip
    samples = [
        Sample(t * S, energy_j={"cpu:0": 80.0 * t - (200 if t > 4 else 0), "dram:0": 10.0 * t})
        for t in range(9)
    ]
    energy = evaluate(samples, facts, 2 * S, 6 * S).energy
    assert energy.total_j is None and energy.dram_j is None
    assert energy.reason.startswith("counter_non_monotone: cpu:0")


def test_a_passing_failure_does_not_hide_the_true_reason():
    facts = SensorFacts(
        "nvml", "nvml_counter", "measured", "device", ("gpu:0",), ("gpu:0",), counters=("gpu:0",)
    )
    samples = [
        Sample(t * S, energy_j={"gpu:0": 300.0 * t - (500 if t > 4 else 0)}) for t in range(9)
    ]
    trouble = [(3 * S, SensorError("nvml_timeout", "gpu:0: Timeout"))]
    reading = evaluate(samples, facts, 2 * S, 6 * S, trouble)
    assert reading.energy.reason.startswith("counter_non_monotone")
    assert "sensor_error:nvml_timeout" in reading.flags
