"""RAPL on a fake powercap tree: which domains count, wrap-around, and what to do without access."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runners.sensors.base import SensorError
from runners.sensors.rapl import RaplSensor, find_domains

RANGE = 262_143_328_850  # a real max_energy_range_uj


def zone(root: Path, name: str, label: str, energy_uj: int, wrap: int = RANGE) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(label + "\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{wrap}\n")
    return folder


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Two packages with core and dram, a psys that contains them, an MMIO double of the first."""
    zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 400_000)
    zone(tmp_path, "intel-rapl:0:1", "dram", 200_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 3_000_000)
    zone(tmp_path, "intel-rapl:1:0", "dram", 500_000)
    zone(tmp_path, "intel-rapl:2", "psys", 9_000_000)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1_000_000)
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


def add(root: Path, name: str, microjoules: int) -> None:
    path = root / name / "energy_uj"
    path.write_text(str(int(path.read_text()) + microjoules))


def test_packages_and_their_dram_only(powercap):
    found = [(d.component, d.label) for d in find_domains(powercap)]
    assert found == [
        ("cpu:0", "package-0"),
        ("dram:0", "package-0/dram"),
        ("cpu:1", "package-1"),
        ("dram:1", "package-1/dram"),
    ]


def test_sub_domains_inside_their_zone_are_found_once(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    zone(tmp_path / "intel-rapl:0", "intel-rapl:0:0", "dram", 0)
    (tmp_path / "intel-rapl:0:0").symlink_to(tmp_path / "intel-rapl:0" / "intel-rapl:0:0")
    assert [d.component for d in find_domains(tmp_path)] == ["cpu:0", "dram:0"]


def test_counters_start_at_zero_and_add_up_in_joules(powercap):
    sensor = RaplSensor(powercap)
    facts = sensor.open()
    assert facts.method == "rapl" and facts.provenance == "measured" and facts.boundary == "host"
    assert facts.used == facts.counters == ("cpu:0", "dram:0", "cpu:1", "dram:1")
    assert set(sensor.read().energy_j.values()) == {0.0}
    add(powercap, "intel-rapl:0", 2_500_000)
    add(powercap, "intel-rapl:1:0", 700_000)
    add(powercap, "intel-rapl:0:0", 2_000_000)  # core: part of the package, not counted again
    assert sensor.read().energy_j == {"cpu:0": 2.5, "dram:0": 0.0, "cpu:1": 0.0, "dram:1": 0.7}


def test_wrap_around(powercap):
    (powercap / "intel-rapl:0" / "energy_uj").write_text(str(RANGE - 1_000_000))
    sensor = RaplSensor(powercap)
    sensor.open()
    (powercap / "intel-rapl:0" / "energy_uj").write_text("4000000")
    assert sensor.read().energy_j["cpu:0"] == pytest.approx(5.0)


def test_a_small_fall_is_no_wrap_and_stays_visible(powercap):
    sensor = RaplSensor(powercap)
    sensor.open()
    add(powercap, "intel-rapl:0", -300_000)
    assert sensor.read().energy_j["cpu:0"] == pytest.approx(-0.3)


def test_a_reset_is_no_wrap_and_makes_no_joules(powercap):
    """From 200 kJ to nothing in an instant: as a wrap that would be 62 kJ."""
    (powercap / "intel-rapl:0" / "energy_uj").write_text(str(200_000_000_000))
    sensor = RaplSensor(powercap)
    sensor.open()
    (powercap / "intel-rapl:0" / "energy_uj").write_text("0")
    assert sensor.read().energy_j["cpu:0"] < 0  # the window over it is NULL: counter_non_monotone


def test_a_counter_that_is_no_text_is_an_error_with_a_remedy(powercap):
    (powercap / "intel-rapl:0" / "energy_uj").write_bytes(b"\xff\xfe")
    with pytest.raises(SensorError) as caught:
        RaplSensor(powercap).open()
    assert caught.value.code == "rapl_unreadable" and "modprobe" in caught.value.remedy


def test_no_rapl_says_why_and_what_to_do(tmp_path):
    with pytest.raises(SensorError) as caught:
        RaplSensor(tmp_path / "powercap").open()
    assert caught.value.code == "rapl_absent"
    assert "virtual machine" in caught.value.remedy


def test_a_machine_with_psys_alone_has_no_package(tmp_path):
    zone(tmp_path, "intel-rapl:0", "psys", 5)
    with pytest.raises(SensorError) as caught:
        RaplSensor(tmp_path).open()
    assert caught.value.code == "rapl_absent"


def refuse(*args, **kwargs):
    raise PermissionError(13, "Permission denied")


def test_permission_message_says_how_to_fix_it(powercap, monkeypatch):
    real = Path.read_text
    monkeypatch.setattr(
        Path,
        "read_text",
        lambda self, *a, **k: refuse() if self.name == "energy_uj" else real(self, *a, **k),
    )
    with pytest.raises(SensorError) as caught:
        RaplSensor(powercap).open()
    assert caught.value.code == "rapl_permission"
    assert "sudo chmod a+r /sys/class/powercap/" in caught.value.remedy
    assert "\n" not in caught.value.reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_for_real(powercap):
    (powercap / "intel-rapl:0" / "energy_uj").chmod(0)
    with pytest.raises(SensorError) as caught:
        RaplSensor(powercap).open()
    assert caught.value.code == "rapl_permission"


@pytest.mark.parametrize("text", ["", "abc", "1.5"])
def test_an_unreadable_counter_is_an_error_and_no_zero(powercap, text):
    sensor = RaplSensor(powercap)
    sensor.open()
    (powercap / "intel-rapl:1" / "energy_uj").write_text(text)
    with pytest.raises(SensorError) as caught:
        sensor.read()
    assert caught.value.code == "rapl_unreadable"


def test_a_domain_that_vanishes_is_an_error(powercap):
    sensor = RaplSensor(powercap)
    sensor.open()
    (powercap / "intel-rapl:1" / "energy_uj").unlink()
    with pytest.raises(SensorError) as caught:
        sensor.read()
    assert caught.value.code == "rapl_unreadable"
