"""Names of models round-trip: what one verb measures, another finds in any of its spellings."""

from __future__ import annotations

from pathlib import Path

import pytest

from observatory.catalog.named import meant, one_of
from observatory.cli import observatory, run
from observatory.errors import InputError, UnknownNameError
from tests import synthetic

MEASURED = ["Llama-3.2 1B", "OLMoE-1B-7B", "Pythia-160M", "Qwen2.5-7B"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Llama-3.2 1B", "Llama-3.2 1B"),
        ("llama-3.2 1b", "Llama-3.2 1B"),
        ("Llama-3.2-1B", "Llama-3.2 1B"),
        ("meta-llama/Llama-3.2-1B", "Llama-3.2 1B"),
        ("EleutherAI/pythia-160m", "Pythia-160M"),
        ("pythia 160m", "Pythia-160M"),
        ("allenai/OLMoE-1B-7B-0924", "OLMoE-1B-7B"),
    ],
)
def test_any_spelling_of_a_name_finds_the_model(text: str, name: str) -> None:
    assert one_of(text, MEASURED) == name


def test_the_name_as_it_is_written_comes_first() -> None:
    both = ["Llama-3.2 1B", "meta-llama/Llama-3.2-1B"]
    assert [meant(name, both) for name in both] == [[name] for name in both]
    assert meant("META-LLAMA/llama-3.2-1b", both) == [both[1]]


def test_an_ambiguous_name_lists_what_it_may_mean() -> None:
    with pytest.raises(InputError, match=r"may be Llama-3.2 1B, meta-llama/Llama-3.2-1B: say one"):
        one_of("Llama-3.2-1B", ["meta-llama/Llama-3.2-1B", "Llama-3.2 1B"])


@pytest.mark.parametrize("text", ["", "Llama-3.2 3B", "1B", "/", "Llama"])
def test_another_model_is_not_found(text: str) -> None:
    assert meant(text, MEASURED) == []
    with pytest.raises(UnknownNameError):
        one_of(text, MEASURED)


def test_every_verb_that_names_a_model_takes_its_hub_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "two.db"
    synthetic.record(path, "synthetic-1")
    synthetic.record(path, "synthetic-2", model_name="Pythia-160M", scale=1.3)
    hub = "EleutherAI/pythia-160m"
    place = ["--zone", "FRA", "--prompt", "128", "--output", "32"]
    for verb in (
        ["estimate", "--model", hub, *place],
        ["card", hub, *place],
        ["compare", "smollm2 135m", hub, *place],
        ["breakeven", hub, *place, "--api-input-price", "1", "--api-output-price", "2"],
        ["export", "--what", "fits", "--model", hub],
        ["fit", "--model", hub],
    ):
        assert run(observatory, [*verb, "--db", str(path)]) == 0, capsys.readouterr().err
        out = capsys.readouterr().out
        assert out and "SmolLM2" not in out, verb
        assert "Pythia-160M" in out or verb[0] in ("card", "compare", "breakeven"), verb
