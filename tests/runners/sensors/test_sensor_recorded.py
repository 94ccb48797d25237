"""Recorded traces: synthetic ones against their truth, wall power against published means."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from observatory.errors import InputError, MissingSensorError
from runners.sensors.base import SensorError
from runners.sensors.choose import open_meter
from runners.sensors.integrate import trapezoid
from runners.sensors.meter import SampledMeter
from runners.sensors.recorded import (
    RecordedSensor,
    ScriptedClock,
    facts_of,
    parse_trace,
    read_trace,
)
from tests.data.traces import make_synthetic

TRACES = Path(__file__).resolve().parents[2] / "data" / "traces"


def replay(name: str) -> tuple[SampledMeter, ScriptedClock, int]:
    clock = ScriptedClock()
    sensor = RecordedSensor(TRACES / name, clock.now_ns)
    zero = clock.now_ns()
    meter = SampledMeter(sensor, sensor.open(), clock=clock, thread=False)
    clock.every(0.1, meter.sample)
    meter.start()
    return meter, clock, zero


def test_the_files_are_what_their_script_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(make_synthetic, "HERE", tmp_path)
    make_synthetic.main()
    for path in sorted(tmp_path.iterdir()):
        assert path.read_bytes() == (TRACES / path.name).read_bytes()
        assert "synthetic" in path.name and "not measured" in path.read_text().splitlines()[0]


@pytest.mark.parametrize("name", ["synthetic_step_50ms.csv", "synthetic_step_100ms.csv"])
@pytest.mark.parametrize(("begin", "end"), [(4.0, 6.0), (3.5, 12.5), (4.321, 9.876), (3.0, 13.0)])
def test_a_replayed_trace_gives_its_truth(name, begin, end):
    """Without marks: the trace itself was sampled at 10 Hz, so the bound must say how much that
    leaves unsure, and hold."""
    meter, clock, zero = replay(name)
    clock.sleep(16.0)
    energy = meter.reading(zero + round(begin * 1e9), zero + round(end * 1e9)).energy
    truth = 300 * (end - begin)
    assert abs(energy.device_j - truth) <= energy.edge_bound_rel * energy.device_j
    assert energy.device_j == pytest.approx(truth, rel=0.03)
    assert energy.integral_j == pytest.approx(truth, rel=0.02)
    assert energy.idle_devices_j == pytest.approx(60 * (end - begin), rel=0.06)


def regular(*spans: tuple[int, int]) -> list[str]:
    """A power-only trace of 100 W, ten rows a second in each span of seconds."""
    rows = [f"{k / 10},gpu:0,100" for a, b in spans for k in range(10 * a, 10 * b + 1)]
    return ["t_s,component,power_w", *rows]


@pytest.mark.parametrize(
    ("spans", "reason"),
    [(((0, 3),), "edge_not_covered"), (((0, 4), (8, 12)), "sample_gap")],
)
def test_what_was_not_recorded_is_missing_in_the_replay_too(spans, reason):
    """After the end of a trace, and in a gap of 4 s: no sample is made up."""
    clock = ScriptedClock()
    sensor = RecordedSensor(parse_trace(regular(*spans)), clock.now_ns)
    zero = clock.now_ns()
    meter = SampledMeter(sensor, sensor.open(), clock=clock, thread=False)
    clock.every(0.1, meter.sample)
    meter.start()
    clock.sleep(12.0)
    early = meter.reading(zero + 10**9, zero + 3 * 10**9 - 10**8).energy
    assert early.device_j == pytest.approx(190.0, rel=1e-6)
    energy = meter.reading(zero + 10**9, zero + 10 * 10**9).energy
    assert energy.device_j is None and energy.reason.startswith(reason)


def test_joules_of_a_replay_are_no_measurement_of_this_run():
    meter = open_meter("cuda", None, f"recorded:{TRACES / 'nvidia_h100_80gb_hbm3_step.csv'}")
    assert read_trace(TRACES / "nvidia_h100_80gb_hbm3_step.csv").header["provenance"] == "measured"
    assert meter.facts.provenance == "estimated"
    assert meter.facts.method == "recorded:nvml_counter"
    with pytest.raises(MissingSensorError):
        open_meter("cuda", None, f"recorded:{TRACES / 'synthetic_step_50ms.csv'}", True)


def test_the_trace_s_telemetry_and_facts_come_through():
    meter, clock, zero = replay("synthetic_step_100ms.csv")
    clock.sleep(16.0)
    reading = meter.reading(zero + 4 * 10**9, zero + 12 * 10**9)
    assert reading.clock_mhz == pytest.approx(1755)
    assert reading.temperature_end_c - reading.temperature_start_c == pytest.approx(12, abs=1)
    assert reading.throttle_reasons == "sw_power_cap" and "power_capped" in reading.flags
    assert "throttled" not in reading.flags
    assert reading.utilisation == pytest.approx(0.98)
    early = meter.reading(zero + 4 * 10**9, zero + 8 * 10**9)
    assert early.throttle_reasons is None
    assert meter.facts.details["truth"].startswith("300 W")


def test_a_lost_device_in_a_trace():
    meter, clock, zero = replay("synthetic_lost.csv")
    clock.sleep(12.0)
    before = meter.reading(zero + 4 * 10**9, zero + 7 * 10**9)
    across = meter.reading(zero + 6 * 10**9, zero + 11 * 10**9)
    assert before.energy.device_j == pytest.approx(900, rel=0.03)
    assert across.energy.device_j is None
    assert across.energy.reason.startswith("nvml_gpu_is_lost")


def test_devices_choose_what_counts():
    trace = read_trace(TRACES / "synthetic_step_50ms.csv")
    assert facts_of(trace).used == ("gpu:0",)
    assert facts_of(trace, (1,)).used == ("gpu:1",)
    assert trace.average_w["gpu:0"][50][1] == pytest.approx(300, abs=1)


HEAD = "t_s,component,power_w"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no samples"),
        ([HEAD], "no samples"),
        (["time,watts", "0,1"], ":1: columns"),
        ([HEAD, "0,gpu:0"], ":2: 2 cells for 3"),
        ([HEAD, "0,gpu:0,many"], ":2: 'many' is not a number"),
        ([HEAD, "1,gpu:0,5", "0.5,gpu:0,5"], ":3: t_s '0.5'"),
        ([HEAD, ",gpu:0,5"], ":2: t_s ''"),
    ],
)
def test_bad_traces_are_refused_with_their_line(lines, message):
    with pytest.raises(InputError) as caught:
        parse_trace(lines, "x.csv")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_trace_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(InputError):
        read_trace(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError):
        read_trace(tmp_path / "bytes.csv")


def test_used_must_be_in_the_trace():
    with pytest.raises(SensorError) as caught:
        facts_of(parse_trace(["# used: gpu:7", HEAD, "0,gpu:0,5"]))
    assert caught.value.code == "device_absent"


def wall_power(folder: Path) -> tuple[list[int], list[float], int, int]:
    """(times in ns, W, power_begin, power_end) of one MLPerf power trace."""
    zero = None
    times, power = [], []
    for line in (folder / "spl.txt").read_text().splitlines():
        cells = line.split(",")
        if len(cells) < 4:
            continue
        at = datetime.strptime(cells[1], "%m-%d-%Y %H:%M:%S.%f")
        zero = zero or at
        times.append(round((at - zero).total_seconds() * 1e9))
        power.append(float(cells[3]))
    marks = {}
    for line in (folder / "mlperf_log_detail.excerpt.txt").read_text().splitlines():
        if '"power_begin"' in line or '"power_end"' in line:
            entry = json.loads(line.removeprefix(":::MLLOG "))
            at = datetime.strptime(entry["value"], "%m-%d-%Y %H:%M:%S.%f")
            marks[entry["key"]] = round((at - zero).total_seconds() * 1e9)
    return times, power, marks["power_begin"], marks["power_end"]


@pytest.mark.parametrize(
    ("folder", "published_w"),
    [
        ("v5_1_SR680a_V3_B200SXMx8_TRT_whisper_Offline", 7636.4895833),
        ("v5_1_SR780a_V3_B200SXMx8_TRT_llama3_1-8b_Server", 9011.0666667),
    ],
)
def test_wall_power_traces_give_their_published_means(reference, folder, published_w):
    traces = reference / "peers" / "mlperf_inference" / "power_traces"
    times, power, begin, end = wall_power(traces / folder)
    inside = [p for t, p in zip(times, power, strict=True) if begin < t < end]
    assert sum(inside) / len(inside) == pytest.approx(published_w, rel=1e-6)
    result = trapezoid(times, power, begin, end)
    assert result.energy_j / ((end - begin) * 1e-9) == pytest.approx(published_w, rel=5e-4)
    assert result.edge_bound_rel < 0.01
