"""The machine, its models and its peaks: probed facts, resolved names, labelled ceilings."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from observatory.errors import InputError, UnknownNameError
from observatory.records import Phase, Workload
from runners import environment, models, peaks, registry
from runners.devices import Chosen
from runners.expect import Pace, Speed, cell_s, nominal_speed, pass_s, plan_s
from runners.models import resolve
from runners.plan import Point
from runners.profiles import PROFILES
from runners.progress import PlainProgress, clock_text
from runners.request import ModelRequest, Request, make_plan


def test_probing_twice_gives_one_machine() -> None:
    first, second = environment.probe(devices=()), environment.probe(devices=())
    assert first == second and first.key == second.key
    assert first.cpu_logical_cores >= 1 and first.memory_bytes > 2**20
    assert (first.cpu_physical_cores or 1) <= first.cpu_logical_cores
    assert environment.available_memory_bytes() <= first.memory_bytes


def test_cpu_facts_are_read_as_proc_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Fast CPU 9000\nflags\t\t: fpu hypervisor avx2\n")
    assert environment.cpu_name(file) == "Fast CPU 9000"
    assert environment.virtualised(file) is True
    file.write_text("processor\t: 0\nflags\t\t: fpu\n")
    assert environment.virtualised(file) is False
    assert environment.virtualised(tmp_path / "absent") is None


def test_a_control_groups_quota_and_limit_hold(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert environment.cpu_quota(tmp_path / "cpu.max") == 1.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert environment.cpu_quota(tmp_path / "cpu.max") is None
    assert environment.cpu_quota(tmp_path / "absent") is None
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    (tmp_path / "memory.current").write_text(f"{3 * 2**28}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {2**27}\n")
    assert environment.total_memory_bytes(tmp_path / "memory.max") == 2**30
    assert environment.available_memory_bytes(tmp_path) == 2**28 + 2**27


def test_versions_come_from_metadata_and_absent_libraries_are_left_out() -> None:
    found = environment.library_versions(["click", "no-such-library-here"])
    assert set(found) == {"click"}


def test_a_catalogue_name_has_exact_counts_and_random_weights() -> None:
    found = resolve("smollm2-135m")
    assert found.record.parameters == 134_515_008 and found.checkpoint is None
    assert found.record.kv_elements_per_token == 2 * 3 * 64 * 30
    assert found.record.key == resolve("SmolLM2-135M").record.key


def folder(path: Path, *files: str) -> Path:
    path.mkdir()
    config = {**resolve("SmolLM2-135M").config, "transformers_version": "9"}
    (path / "config.json").write_text(json.dumps(config))
    for file in files:
        (path / file).write_bytes(b"")
    return path


def test_a_folder_with_a_config_alone_is_random_and_with_safetensors_real(tmp_path: Path) -> None:
    bare = resolve(str(folder(tmp_path / "bare")))
    real = resolve(str(folder(tmp_path / "real", "model.safetensors")))
    assert bare.checkpoint is None and real.checkpoint == str(tmp_path / "real")
    assert bare.record.parameters == real.record.parameters == 134_515_008
    assert bare.record.revision == resolve("SmolLM2-135M").record.revision, "same facts, same hash"
    assert str(tmp_path) not in real.record.source, "no path of this machine in a record"


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pickle"):
        resolve(str(folder(tmp_path / "old", "pytorch_model.bin")))


@pytest.mark.parametrize("name", ["", "  ", "./absent", "/absent/model"])
def test_a_name_that_means_nothing_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="--model"):
        resolve(name)


def test_near_names_are_offered_and_the_hub_is_asked_for_hub_ids_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models, "hub_reachable", lambda: pytest.fail("asked the hub"))
    with pytest.raises(UnknownNameError, match="SmolLM2-135M"):
        resolve("SmolLM2-135")
    monkeypatch.setattr(models, "hub_reachable", lambda: False)
    monkeypatch.setattr(models, "_download", lambda *a, **k: None)
    pytest.importorskip("huggingface_hub")
    with pytest.raises(InputError, match="cannot be reached"):
        resolve("nobody/nothing")


def test_an_unreachable_hub_is_known_at_once() -> None:
    assert models.hub_reachable(("127.0.0.1", 1), 1.0) is False


def test_peaks_are_labelled_as_measured_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "CPU_ARRAY_BYTES", 2**22)
    monkeypatch.setattr(peaks, "CPU_SHAPES", ((32, 32, 32),))
    monkeypatch.setattr(peaks.importlib.util, "find_spec", lambda name: None)
    rows = peaks.measure_peaks("cpu", "a cpu", "float32", 1, 0.01)
    assert [row.quantity for row in rows] == [peaks.MATMUL, peaks.BANDWIDTH]
    assert all(row.value > 0 and row.dtype == "float32" for row in rows)
    assert all("best of this machine in this run: numpy" in row.method for row in rows)


def test_the_best_kernel_wins_and_its_name_stands_beside_it() -> None:
    kernels = [
        peaks.Kernel("slow", 1.0, lambda: None), peaks.Kernel("fast", 1e9, lambda: None),
    ]  # fmt: skip
    rate, name = peaks.best_rate(kernels, 0.0, lambda: None)
    assert name == "fast" and rate > 1.0


def test_last_level_cache_is_the_largest(tmp_path: Path) -> None:
    for index, size in enumerate(("32K", "1024K", "32M", "junk")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(size + "\n")
    assert peaks.last_level_cache_bytes(tmp_path) == 32 * 2**20
    assert peaks.last_level_cache_bytes(tmp_path / "absent") is None


def test_expected_times_grow_with_work_and_never_fall_below_the_profile() -> None:
    plan, found = make_plan(Request(models=(ModelRequest("SmolLM2-135M"),)), Chosen("cpu"), 2,
                            resolve)  # fmt: skip
    target, model = plan.targets[0], found["SmolLM2-135M"].architecture
    speed = Speed(1e11, 1e10, 1e-4)
    short = pass_s(model, target, Point(Phase.PREFILL, Workload.prefill(64)), speed)
    long = pass_s(model, target, Point(Phase.PREFILL, Workload.prefill(512)), speed)
    assert long > 7 * short
    request = pass_s(model, target, Point(Phase.E2E, Workload.request(64, 9)), speed)
    steps = pass_s(model, target, Point(Phase.DECODE, Workload.decode(64, 8)), speed)
    assert request == pytest.approx(short + steps, rel=0.01)
    point = Point(Phase.PREFILL, Workload.prefill(1))
    assert cell_s(model, target, point, speed, PROFILES["quick"], 0.3) >= 0.6
    assert plan_s(plan, {"SmolLM2-135M": model}, speed) > 2 * len(target.points) * 0.3


def test_nominal_speeds_come_from_flags_or_the_catalogue(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : avx2 avx512f\n")
    wide = nominal_speed(Chosen("cpu"), 2, cpuinfo)
    cpuinfo.write_text("flags : sse\n")
    narrow = nominal_speed(Chosen("cpu"), 2, cpuinfo)
    assert wide.flops_per_s > narrow.flops_per_s
    card = environment.Device(0, "cuda", "NVIDIA H100 80GB HBM3")
    assert nominal_speed(Chosen("cuda", card), 1).flops_per_s == pytest.approx(0.4 * 989e12, 0.01)


def test_time_left_follows_what_the_done_part_took(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("runners.expect.time.monotonic", lambda: now[0])
    pace = Pace(10.0)
    assert pace.remaining_s == 10.0
    now[0] += 8.0
    pace.done(4.0)
    assert pace.elapsed_s == 8.0 and pace.remaining_s == pytest.approx(12.0)


def test_plain_progress_counts_and_always_says_the_last() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start(3, 90)
    for left_s in (60, 30, 0):
        progress.advance("cell", left_s)
    lines = stream.getvalue().splitlines()
    assert lines[0].endswith("about 1:30") and lines[-1] == "[3/3] cell  done"
    assert clock_text(3725) == "1:02:05" and clock_text(-3) == "0:00"


def test_more_backends_come_by_name_and_errors_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBSERVATORY_BACKENDS", "mine=collections:OrderedDict")
    assert registry.backend_names()[-1] == "mine"
    assert registry.make_backend("mine") is not None
    registry.require_backend("mine")
    with pytest.raises(UnknownNameError, match="mine"):
        registry.require_backend("min")
    for bad, text in (("mine", "expected name=module:Class"), ("mine=no.such:X", "cannot be")):
        monkeypatch.setenv("OBSERVATORY_BACKENDS", bad)
        with pytest.raises(InputError, match=text):
            registry.make_backend("mine")


def test_a_backend_whose_library_is_absent_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs torch and transformers: pip install"):
        registry.require_backend("transformers")
