"""The page of the method is true: its examples are executed, its tables compared with the code."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from observatory.cli import observatory, run
from observatory.footprint import EDITIONS, load_factors
from observatory.footprint.compat import DEPARTURES
from observatory.footprint.matrix import _axes
from observatory.footprint.uncertainty import GSD_BY_EVIDENCE, GSD_BY_KIND, GSD_BY_PROVENANCE

PAGE = (Path(__file__).resolve().parents[2] / "docs/footprint.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


def test_there_are_examples_to_execute() -> None:
    assert len(BLOCKS) == 2


@pytest.mark.parametrize("block", BLOCKS)
def test_worked_example_says_what_it_prints(block: str) -> None:
    """Run the block; every printed line must agree with the comment beside its print."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block, "docs/footprint.md", "exec"), {})
    printed = out.getvalue().splitlines()
    said = [line.partition("# ")[2] for line in block.splitlines() if line.startswith("print(")]
    assert len(printed) == len(said) >= 6
    for got, comment in zip(printed, said, strict=True):
        expected = comment.split("   ")[0].strip()
        try:
            assert float(got) == pytest.approx(float(expected), rel=1e-9)
        except ValueError:
            assert got == expected


def test_console_example_is_the_programs_own(capsys: pytest.CaptureFixture[str]) -> None:
    block = re.search(r"```console\n\$ observatory ([^\n]*)\n(.*?)```", PAGE, re.S)
    assert block is not None
    assert run(observatory, block.group(1).split()) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == block.group(2).splitlines()


def test_departures_are_quoted_word_for_word() -> None:
    for mode, sentence in DEPARTURES.items():
        assert f"| `{mode}` | {sentence} |" in PAGE


def test_widths_and_editions_are_those_of_the_code() -> None:
    flat = " ".join(PAGE.split())
    for name, gsd in GSD_BY_EVIDENCE.items():
        assert name == "user" or f"{name} {gsd:g}" in flat or f"{name} {gsd:.1f}" in flat
    assert f"carbon intensity {GSD_BY_KIND['carbon_intensity']}" in flat
    assert GSD_BY_KIND["wue"] == GSD_BY_KIND["ewif"] == 2.0 and "WUE and EWIF 2.0" in flat
    assert f"modelled energy {GSD_BY_PROVENANCE['modelled']}" in flat
    assert all(f"`{edition}`" in PAGE for edition in EDITIONS)
    assert abs(len(load_factors().rows) - 2300) < 100  # "about 2,300 rows"


def test_scenario_example_is_valid() -> None:
    import yaml

    block = re.search(r"```yaml\n(.*?)```", PAGE, re.S)
    assert block is not None
    spec = yaml.safe_load(block.group(1))
    assert set(_axes(spec["matrix"], Path("docs"))) == {"zone", "pue", "active_share", "hour"}
