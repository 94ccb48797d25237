"""What a point is called in a figure: its model, with what sets its configuration apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

KEY_CHARACTERS = 8  #: of a key, beside those that words cannot tell apart


def names(rows: pd.DataFrame) -> list[str]:
    """A name for each row: one for each configuration on each machine, and no two the same.

    The model alone where it has one configuration; else with the words in which its configurations
    differ, as in `Pythia-160M · 2 threads`, and with their keys where the words are the same.

    `rows`: `model`, `configuration`, `configuration_key`, and `environment_key` where it is known.
    """
    keys = ["configuration_key", *(["environment_key"] if "environment_key" in rows else [])]
    models, stacks = rows["model"].astype(str), rows["configuration"].astype(str)
    ids = ["/".join(map(str, key)) for key in rows[keys].itertuples(index=False)]
    known: dict[str, dict[str, str]] = {}
    for model, key, words in zip(models, ids, stacks, strict=True):
        known.setdefault(model, {})[key] = words
    named = {
        (model, key): f"{model} · {words}" if words else model
        for model, of in known.items()
        for key, words in zip(of, differing(list(of.values())), strict=True)
    }
    found = Counter(named.values())
    return [
        named[who] if found[named[who]] == 1 else f"{named[who]} · {_short(who[1])}"
        for who in zip(models, ids, strict=True)
    ]


def _short(key: str) -> str:
    return "/".join(part[:KEY_CHARACTERS] for part in key.split("/"))


def differing(texts: Sequence[str]) -> list[str]:
    """The parts of each of several comma-separated texts that not all of them have; empty for one.

    A text that has no part of its own beside the others is kept whole.
    """
    if len(texts) < 2:
        return [""] * len(texts)
    parts = [text.split(", ") for text in texts]
    shared = set.intersection(*map(set, parts))
    own = [", ".join(p for p in of if p not in shared) for of in parts]
    return [mine or text for mine, text in zip(own, texts, strict=True)]


def distinct(texts: Sequence[str], width: int) -> list[str]:
    """The texts cut to `width` characters, equal ones alike and different ones apart.

    Where cut ends would be the same, the middle is cut instead, so that what differs stands at the
    end: `Pythia-160M · … 2 threads`; where that is not enough they are numbered.
    """
    whole = list(dict.fromkeys(texts))
    short = {text: _cut(text, width) for text in whole}
    for same in _alike(short):
        at = _common(same)
        for text in same:
            short[text] = _middle(text, at, width)
    for same in _alike(short):
        for i, text in enumerate(same, 1):
            mark = f"… ({i})"
            short[text] = text[: max(1, width - len(mark))].rstrip() + mark
    return [short[text] for text in texts]


def _alike(short: dict[str, str]) -> list[list[str]]:
    """Texts whose short forms are the same, group by group."""
    groups: dict[str, list[str]] = {}
    for text, cut in short.items():
        groups.setdefault(cut, []).append(text)
    return [same for same in groups.values() if len(same) > 1]


def _common(texts: Sequence[str]) -> int:
    """Where these texts begin to differ: the start of the first word that is not the same."""
    first, last = min(texts), max(texts)
    at = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
              min(len(first), len(last)))  # fmt: skip
    return first.rfind(" ", 0, at) + 1


def _middle(text: str, at: int, width: int) -> str:
    """The text without its middle: as much from `at` on as two thirds of the width hold."""
    tail = _cut(text[at:], 2 * width // 3)
    return text[: max(1, width - len(tail) - 2)].rstrip() + "… " + tail


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"
