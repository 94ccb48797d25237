"""NVML through the real `pynvml` against a stub: every failure its own reason, never 0 J."""

from __future__ import annotations

import json

import pytest

from tests.runners.nvml_stub import stub

GPU_0 = "GPU-00000000-0000-0000-0000-0000000000a0"
GPU_1 = "GPU-11111111-0000-0000-0000-0000000000b1"

#: name -> (mode, window length and devices, extra variables)
CASES: dict[str, tuple[str, tuple[str, ...], dict[str, str]]] = {
    "healthy": ("healthy", ("1.5", "0"), {}),
    "slow_tick": ("healthy", ("1.5", "0"), {"NVML_STUB_TICK_MS": "100"}),
    "short": ("healthy", ("0.03", "0"), {}),
    "by_uuid": ("healthy", ("0.3", GPU_1), {}),
    "by_prefix": ("healthy", ("0.3", "GPU-1111"), {}),
    "visible_index": ("healthy", ("0.3",), {"CUDA_VISIBLE_DEVICES": "1"}),
    "visible_uuid": ("healthy", ("0.3", "0"), {"CUDA_VISIBLE_DEVICES": GPU_1}),
    "both": ("healthy", ("0.5",), {}),
    "none_visible": ("healthy", ("0.3",), {"CUDA_VISIBLE_DEVICES": ""}),
    "absent": ("healthy", ("0.3", "5"), {}),
    "no_counter": ("no_counter", ("1.0", "0"), {}),
    "no_instant": ("no_instant", ("0.5", "0"), {}),
    "counter_backwards": ("counter_backwards", ("2.0", "0"), {}),
    "counter_stuck": ("counter_stuck", ("1.0", "0"), {}),
    "disagree": ("disagree", ("1.0", "0"), {}),
    "not_supported": ("not_supported", ("0.3", "0"), {}),
    "lost_mid_run": ("lost_mid_run", ("1.5", "0"), {"NVML_STUB_LOST_AFTER_S": "1.2"}),
    "mig": ("mig", ("0.3", "0"), {}),
    "mig_neighbour": ("mig", ("0.3", "1"), {}),
    "throttled": ("throttled", ("0.3", "0"), {}),
    "foreign": ("foreign", ("0.3", "0"), {}),
    "grace": ("grace", ("0.3", "0"), {}),
    "zero_power": ("zero_power", ("1.0", "0"), {}),
    "averaged": ("averaged", ("2.5", "0"), {}),
    "averaged_short": ("averaged", ("1.0", "0"), {}),
    "power_hiccup": ("power_hiccup", ("1.5", "0"), {}),
    "very_slow_tick": ("healthy", ("3.0", "0"), {"NVML_STUB_TICK_MS": "500"}),
    "neighbour_lost": ("neighbour_lost", ("0.5", GPU_0), {}),
    "neighbour_denied": ("neighbour_denied", ("0.5", GPU_0), {}),
    "denied_itself": ("neighbour_denied", ("0.5", GPU_1), {}),
    "processes_hidden": ("processes_hidden", ("0.3", "0"), {}),
    "driver_mismatch": ("driver_mismatch", ("0.3", "0"), {}),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if stub.compiler() is None:
        pytest.skip("no C compiler on the path: the NVML stub cannot be built")
    return stub.build(tmp_path_factory.mktemp("nvml_stub"))


@pytest.fixture(scope="module")
def results(library):
    """All cases, four at a time: they sleep more than they work."""
    out: dict[str, dict] = {}
    names = list(CASES)
    for i in range(0, len(names), 4):
        running = {
            n: stub.start(library, CASES[n][0], *CASES[n][1], **CASES[n][2])
            for n in names[i : i + 4]
        }
        for name, process in running.items():
            stdout, stderr = process.communicate(timeout=60)
            assert process.returncode == 0, f"{name}: {stderr}"
            out[name] = json.loads(stdout)
    return out


def energy(result: dict) -> dict:
    return result["reading"]["energy"]


def test_healthy_counts_the_used_device_and_shows_the_neighbour_apart(results):
    result = results["healthy"]
    e, seconds = energy(result), result["duration_s"]
    error = abs(e["device_j"] - 300 * seconds) / (300 * seconds)
    assert error < 0.01 and error <= e["edge_bound_rel"]
    assert e["idle_devices_j"] == pytest.approx(60 * seconds, rel=0.05)
    assert e["integral_j"] == pytest.approx(300 * seconds, rel=1e-6)
    assert (e["method"], e["provenance"], e["boundary"]) == ("nvml_counter", "measured", "device")
    assert e["systematic_rel"] == 0.055
    assert e["power_max_w"] == pytest.approx(300)
    assert e["flags"] == [] and e["reason"] is None


def test_healthy_state_and_facts(results):
    reading, facts = results["healthy"]["reading"], results["healthy"]["facts"]
    assert reading["clock_mhz"] == 1755
    assert reading["temperature_start_c"] == reading["temperature_end_c"] == 55
    assert reading["utilisation"] == pytest.approx(0.97)
    assert reading["memory_bytes"] == 17 << 30
    assert reading["throttle_reasons"] is None
    assert facts["tick_s"] == pytest.approx(0.02, abs=0.004)
    assert facts["details"]["driver"] == "550.00.stub"
    assert facts["details"]["power_field"] == "instant"
    assert facts["details"]["power_fields"] == "instant, average, usage"
    assert facts["details"]["power_scope"] == "gpu"
    assert facts["details"]["cuda"] == "12.4"
    assert facts["details"]["power_limit_w:gpu:0"] == "400"
    assert GPU_0 in facts["details"]["devices"]
    device = results["healthy"]["devices"][0]
    assert device["uuid"] == GPU_0 and device["driver"] == "550.00.stub"
    assert device["power_limit_w"] == device["default_power_limit_w"] == 400
    assert (device["mig"], device["ecc"], device["persistence"]) == (False, True, True)
    assert device["compute_capability"] == "9.0" and device["memory_bytes"] == 80 << 30


def test_a_slow_tick_is_measured_and_its_edges_hold(results):
    result = results["slow_tick"]
    e, truth = energy(result), 300 * result["duration_s"]
    assert result["facts"]["tick_s"] == pytest.approx(0.1, abs=0.01)
    assert abs(e["device_j"] - truth) / truth <= min(0.02, e["edge_bound_rel"])


def test_a_short_window_is_null(results):
    e = energy(results["short"])
    assert e["device_j"] is None and e["reason"].startswith("fewer_than_two_ticks")


@pytest.mark.parametrize("name", ["by_uuid", "by_prefix", "visible_index", "visible_uuid"])
def test_devices_by_index_uuid_and_visibility_alike(results, name):
    result = results[name]
    assert result["facts"]["used"] == ["gpu:1"]
    assert energy(result)["device_j"] == pytest.approx(60 * result["duration_s"], rel=0.1)
    assert energy(result)["idle_devices_j"] == pytest.approx(300 * result["duration_s"], rel=0.2)


def test_two_used_devices_are_summed(results):
    result = results["both"]
    assert energy(result)["device_j"] == pytest.approx(360 * result["duration_s"], rel=0.05)
    assert energy(result)["idle_devices_j"] is None


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("none_visible", "no_visible_device"),
        ("absent", "device_absent"),
        ("not_supported", "no_energy_source"),
        ("mig", "mig"),
        ("driver_mismatch", "nvml_lib_rm_version_mismatch"),
    ],
)
def test_what_cannot_be_opened_has_its_own_code_and_exit_3(results, name, code):
    result = results[name]
    assert result["reason"].startswith(f"{code}: ")
    assert result["exit_code"] == 3
    assert "\n" not in result["missing"]


def test_power_of_0_w_is_no_number(results):
    """An integral of nothing but zeros is a sensor that does not answer, not a device at rest."""
    e = energy(results["zero_power"])
    assert e["device_j"] is None and e["reason"].startswith("zero_power: gpu:0")
    assert e["idle_devices_j"] is None


def test_an_averaged_power_reading_is_as_slow_as_its_average(results):
    facts = results["averaged"]["facts"]
    assert facts["tick_s"] == 1.0 and facts["details"]["power_field"] == "usage"
    e = energy(results["averaged"])
    assert e["device_j"] == pytest.approx(300 * results["averaged"]["duration_s"], rel=1e-3)
    e = energy(results["averaged_short"])
    assert e["device_j"] is None and e["reason"].startswith("fewer_than_two_ticks")


def test_a_power_field_that_fails_for_a_moment_is_asked_again(results):
    e = energy(results["power_hiccup"])
    assert e["integral_j"] == pytest.approx(300 * results["power_hiccup"]["duration_s"], rel=1e-3)
    assert "no_cross_check" not in e["flags"]


def test_a_tick_that_is_slower_than_assumed_is_found(results):
    result = results["very_slow_tick"]
    assert result["facts"]["tick_s"] == pytest.approx(0.5, abs=0.02)
    truth = 300 * result["duration_s"]
    assert abs(energy(result)["device_j"] - truth) / truth <= energy(result)["edge_bound_rel"]


@pytest.mark.parametrize(
    ("name", "code"),
    [("neighbour_lost", "nvml_gpu_is_lost"), ("neighbour_denied", "nvml_no_permission")],
)
def test_a_neighbour_that_cannot_be_opened_costs_only_its_own_joules(results, name, code):
    result = results[name]
    assert energy(result)["device_j"] == pytest.approx(300 * result["duration_s"], rel=0.05)
    assert energy(result)["idle_devices_j"] is None
    assert f"idle_devices_energy_missing:{code}" in energy(result)["flags"]


def test_a_device_that_is_not_handed_out_says_why(results):
    result = results["denied_itself"]
    assert result["exit_code"] == 3 and result["reason"].startswith("device_absent: ")
    assert "Insufficient Permissions" in result["missing"]


def test_processes_that_nvml_hides_are_not_none(results):
    result = results["processes_hidden"]
    assert result["foreign"] == []
    assert "sensor_error:processes_hidden" in result["late_flags"]


def test_mig_on_a_neighbour_does_not_matter(results):
    assert energy(results["mig_neighbour"])["device_j"] > 0


def test_no_counter_falls_back_to_the_integral_and_says_so(results):
    result = results["no_counter"]
    assert energy(result)["method"] == "nvml_power_integral"
    assert energy(result)["device_j"] == pytest.approx(300 * result["duration_s"], rel=1e-6)


def test_no_instant_field_uses_the_other_power_reading(results):
    assert results["no_instant"]["facts"]["details"]["power_field"] == "usage"
    assert energy(results["no_instant"])["device_j"] > 0


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("counter_backwards", "counter_non_monotone"),
        ("counter_stuck", "counter_stuck"),
        ("lost_mid_run", "nvml_gpu_is_lost"),
    ],
)
def test_a_failure_in_the_window_is_null_with_its_own_code(results, name, code):
    e = energy(results[name])
    assert e["device_j"] is None
    assert e["reason"].startswith(f"{code}: ")


def test_after_the_device_is_lost_every_window_says_so(results):
    late = results["lost_mid_run"]["late"]["energy"]
    assert late["device_j"] is None and late["reason"].startswith("nvml_gpu_is_lost: ")
    assert results["lost_mid_run"]["foreign"] == []


def test_disagreement_is_flagged_and_the_counter_stands(results):
    result = results["disagree"]
    assert "sensor_disagreement" in energy(result)["flags"]
    assert energy(result)["device_j"] == pytest.approx(300 * result["duration_s"], rel=0.02)
    assert energy(result)["integral_j"] == pytest.approx(330 * result["duration_s"], rel=1e-3)


def test_throttling_is_named_and_flagged(results):
    reading = results["throttled"]["reading"]
    assert reading["throttle_reasons"] == "hw_thermal_slowdown"
    assert "throttled" in reading["flags"]


def test_a_foreign_process_is_named(results):
    assert results["foreign"]["foreign"] == ["gpu:0 pid 1"]
    assert results["healthy"]["foreign"] == []


def test_power_scopes_of_grace_are_recorded_and_not_added(results):
    result = results["grace"]
    assert result["facts"]["details"]["power_scopes"] == "gpu, module, memory"
    assert energy(result)["power_max_w"] == pytest.approx(300)


def test_no_case_stores_zero_joules(results):
    for name, result in results.items():
        for reading in (result.get("reading"), result.get("late")):
            if reading is None:
                continue
            for field in ("device_j", "cpu_j", "dram_j", "idle_devices_j", "integral_j"):
                assert reading["energy"][field] != 0, (name, field)
            has_number = reading["energy"]["device_j"] is not None
            assert has_number is (reading["energy"]["reason"] is None), name
