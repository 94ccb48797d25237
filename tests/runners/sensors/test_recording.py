"""Recording a trace: what is written is what plays back; the GPU's recorder on the NVML stub."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from runners.sensors.base import Parts, Sample, SensorError
from runners.sensors.meter import SampledMeter
from runners.sensors.recorded import (
    RecordedSensor,
    ScriptedClock,
    facts_of,
    parse_trace,
    read_trace,
)
from runners.sensors.recording import Recording
from tests.runners.nvml_stub import stub

ROOT = Path(__file__).resolve().parents[3]
TRACES = ROOT / "tests" / "data" / "traces"
EXPERIMENTS = ("tick", "step", "steady", "idle")


def again(name: str, seconds: float = 16.0) -> tuple[str, RecordedSensor]:
    """A trace played back at its own 10 Hz and recorded anew."""
    clock = ScriptedClock()
    sensor = RecordedSensor(TRACES / name, clock.now_ns)
    facts = sensor.open()
    recording = Recording(sensor, now_ns=clock.now_ns, sleep=clock.sleep)
    recording.run(seconds, 0.1)
    return recording.text(facts, {"recorded": "again"}), sensor


def test_a_replayed_trace_is_recorded_as_it_was() -> None:
    text, _ = again("synthetic_step_100ms.csv")
    old, new = read_trace(TRACES / "synthetic_step_100ms.csv"), parse_trace(text.splitlines())
    assert facts_of(new).tick_s == facts_of(old).tick_s == 0.1
    assert facts_of(new).used == ("gpu:0",) and facts_of(new).method == "nvml_counter"
    assert facts_of(new).details["recorded"] == "again"
    assert len(new.samples) == 160
    values = {s.energy_j["gpu:0"] for s in old.samples}
    for sample in new.samples:
        assert sample.energy_j["gpu:0"] in values
        assert sample.power_w["gpu:0"] in (60.0, 300.0)
        assert sample.power_w["gpu:1"] == 60.0


def test_a_device_that_is_lost_ends_the_recording_with_its_reason() -> None:
    text, _ = again("synthetic_lost.csv")
    trace = parse_trace(text.splitlines())
    ((place, failure),) = trace.failures.items()
    assert place == len(trace.samples) - 1 and failure.code == "nvml_gpu_is_lost"


def test_a_reading_that_failed_keeps_its_error_and_no_number() -> None:
    class Failing:
        def read(self, parts: Parts = Parts.ALL) -> Sample:
            return Sample(0, power_w={"gpu:0": 5.0}, errors={"gpu:0": "nvml_unknown: no counter"})

    clock = ScriptedClock()
    recording = Recording(Failing(), now_ns=clock.now_ns, sleep=clock.sleep)  # type: ignore[arg-type]
    recording.run(0.05, 0.1)
    facts = RecordedSensor(TRACES / "synthetic_step_50ms.csv", clock.now_ns).open()
    (sample,) = parse_trace(recording.text(facts, {}).splitlines()).samples
    assert sample.energy_j == {} and sample.power_w == {"gpu:0": 5.0}
    assert sample.errors == {"gpu:0": "nvml_unknown: no counter"}


def test_nothing_recorded_is_no_trace() -> None:
    class Lost:
        def read(self, parts: Parts = Parts.ALL) -> Sample:
            raise SensorError("nvml_gpu_is_lost", "gone")

    clock = ScriptedClock()
    recording = Recording(Lost(), now_ns=clock.now_ns, sleep=clock.sleep)  # type: ignore[arg-type]
    recording.run(1.0, 0.1)
    facts = RecordedSensor(TRACES / "synthetic_step_50ms.csv", clock.now_ns).open()
    with pytest.raises(ValueError, match="one sample"):
        recording.text(facts, {})


@pytest.fixture(scope="module")
def recorded(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The tool on the stub, which draws 300 W whatever happens: a tenth of every experiment."""
    if stub.compiler() is None:
        pytest.skip("no C compiler on the path: the NVML stub cannot be built")
    folder = tmp_path_factory.mktemp("traces")
    library = stub.build(folder)
    return folder / "out", tool(library, folder, "healthy", "0")


def tool(library: Path, folder: Path, mode: str, shown: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "tools" / "nvml_traces.py"), "--out", str(folder / "out"),
         "--load", "none", "--scale", "0.1"],
        env=stub.environment(library, mode, CUDA_VISIBLE_DEVICES=shown), cwd=folder,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_every_experiment_is_a_trace_that_says_where_it_is_from(recorded) -> None:  # type: ignore[no-untyped-def]
    folder, done = recorded
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        f"synthetic_stub_gpu_{name}.csv" for name in EXPERIMENTS
    )
    for path in folder.iterdir():
        header = read_trace(path).header
        assert header["recorded"].startswith("Synthetic stub GPU, experiment")
        assert header["load"] == "none" and header["driver"] == "550.00.stub"
        assert "0000000000a0" not in path.read_text()


def test_the_recorded_counter_gives_the_joules_of_the_stub(recorded) -> None:  # type: ignore[no-untyped-def]
    folder, _ = recorded
    clock = ScriptedClock()
    sensor = RecordedSensor(folder / "synthetic_stub_gpu_steady.csv", clock.now_ns)
    zero = clock.now_ns()
    meter = SampledMeter(sensor, sensor.open(), clock=clock, thread=False)
    clock.every(0.1, meter.sample)
    meter.start()
    clock.sleep(2.8)
    energy = meter.reading(zero + 5 * 10**8, zero + 25 * 10**8).energy
    assert energy.device_j == pytest.approx(600, rel=0.05)
    assert energy.integral_j == pytest.approx(600, rel=0.01)


def test_the_tick_is_in_the_trace(recorded) -> None:  # type: ignore[no-untyped-def]
    folder, _ = recorded
    samples = read_trace(folder / "synthetic_stub_gpu_tick.csv").samples
    joules = [s.energy_j["gpu:0"] for s in samples]
    steps = {round(b - a, 3) for a, b in itertools.pairwise(joules) if b > a}
    assert min(steps) == pytest.approx(300 * 0.02, abs=0.01)  # 20 ms at 300 W
    average = read_trace(folder / "synthetic_stub_gpu_step.csv").average_w["gpu:0"]
    assert {watts for _, watts in average} == {300.0}


def test_without_a_gpu_it_ends_with_code_three(tmp_path: Path) -> None:
    if stub.compiler() is None:
        pytest.skip("no C compiler on the path: the NVML stub cannot be built")
    done = tool(stub.build(tmp_path), tmp_path, "not_supported", "0")
    assert done.returncode == 3 and "no_energy_source" in done.stderr
    assert not (tmp_path / "out").exists()
