"""What must not be published is found; what only looks like it stays."""

from __future__ import annotations

import pytest

from observatory.datasets.scrub import require_clean, scrub, scrub_text
from observatory.errors import InputError

NAMES = ("ada",)


@pytest.mark.parametrize(("text", "scrubbed"), [
    ("--db /home/me/x/o.db", "--db …/o.db"),
    ("--plan=~/plans/a.yaml", "--plan=…/a.yaml"),
    ("No such file: '/data/models/'", "No such file: '…/'"),
    ("sqlite:////srv/a.db", "sqlite://…"),
    ("postgresql://u:p@h/db --yes", "postgresql://… --yes"),
    ("https://me:token@hub.example/x", "https://hub.example/x"),
    ("run by Ada on ada.", "run by … on …."),
])  # fmt: skip
def test_private_text_goes(text: str, scrubbed: str) -> None:
    assert scrub_text(text, NAMES) == scrubbed


@pytest.mark.parametrize("text", [
    "0.3 J/token", "Llama bfloat16 / prefill p=8", "results/observatory.db", "./models/tiny",
    "https://arxiv.org/abs/2312.02741", "adamantine", "organisation/name", "tok/s and J/s/m",
])  # fmt: skip
def test_everything_else_stays(text: str) -> None:
    assert scrub_text(text, NAMES) == text


def test_nested_values_are_scrubbed_to_the_last_text() -> None:
    value = {"/home/me/llama": [{"a": "/home/me/x"}, 1, None, 0.5, True]}
    assert scrub(value, NAMES) == {"…/llama": [{"a": "…/x"}, 1, None, 0.5, True]}


def test_one_card_keeps_one_name() -> None:
    card = "GPU-01234567-89ab-cdef-0123-456789abcdef"
    first, second = scrub_text(f"{card} {card.upper().replace('GPU', 'GPU')}", ()).split()
    assert first == second and len(first) == len("GPU-") + 8


def test_a_name_that_remains_stops_everything() -> None:
    require_clean({"a.csv": b"adamant"}, NAMES)
    with pytest.raises(InputError, match=r"a\.csv would publish the name 'ada'"):
        require_clean({"a.csv": b"x,Ada,y"}, NAMES)
