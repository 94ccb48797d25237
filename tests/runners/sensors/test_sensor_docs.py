"""docs/sensors.md names every reason code and flag that the code can give."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "sensors.md").read_text()
SOURCE = "\n".join(p.read_text() for p in sorted((ROOT / "runners" / "sensors").glob("*.py")))


def codes() -> set[str]:
    raised = re.findall(r'(?:SensorError|invalid)\(\s*"([a-z_]+)"', SOURCE)
    stored = re.findall(r'"(samples_dropped|no_component|not_asked|edge_not_covered)[:"]', SOURCE)
    return {*raised, *stored}


def test_every_reason_code_is_explained() -> None:
    found = codes()
    assert {"mig", "counter_stuck", "rapl_permission", "sampler_crashed"} <= found
    assert sorted(c for c in found - {"estimated_only"} if f"`{c}`" not in PAGE) == []


def test_no_reason_code_is_explained_that_nothing_gives() -> None:
    table = PAGE.split("## Reasons and flags")[1].split("A flag stands")[0]
    named = {
        c for row in re.findall(r"^\| (`.*?) \|", table, re.M) for c in re.findall(r"`(\w+)`", row)
    }
    assert sorted(named - codes()) == []


def test_every_sensor_choice_is_in_the_table() -> None:
    from runners.sensors.choose import CHOICES

    assert [c for c in CHOICES if f"`{c}`" not in PAGE] == []
