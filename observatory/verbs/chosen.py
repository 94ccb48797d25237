"""Configurations named on the command line: by key, by model, or `MODEL:part of its words`.

A model may be named in another spelling or by its hub id, as `catalog.named` reads names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from observatory.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from sqlalchemy import Engine

SHORTEST_KEY = 6  #: characters of a key that may stand for it
Known = tuple[str, str, str]  #: key, model, configuration in words


def configuration_keys(engine: Engine, named: Sequence[str]) -> tuple[str, ...]:
    """Keys of the fitted configurations that the texts name. Raises as `key_of`."""
    if not named:
        return ()
    from observatory import answers

    rows = answers.fits(engine)[["configuration_key", "model", "configuration"]]
    known = [(str(k), str(m), str(c)) for k, m, c in dict.fromkeys(rows.itertuples(index=False))]
    return tuple(key_of(text, known) for text in named)


def key_of(text: str, known: Sequence[Known]) -> str:
    """The key of the one configuration that `text` names.

    Raises UnknownNameError for none, InputError for several.
    """
    from observatory.catalog.named import meant, one_of

    model, _, part = text.partition(":")
    hits = [one for one in known if len(text) >= SHORTEST_KEY and one[0].startswith(text)]
    if not hits and meant(model, (m for _, m, _ in known)):
        name = one_of(model, (m for _, m, _ in known))
        hits = [one for one in known if one[1] == name and part.casefold() in one[2].casefold()]
    if not hits:
        raise UnknownNameError("model or configuration", text, [m for _, m, _ in known],
                               "see `observatory show fits`")  # fmt: skip
    if len({key for key, _, _ in hits}) > 1:
        several = "; ".join(f"{key} ({words})" for key, _, words in hits[:4])
        raise InputError(f"{text!r} was measured in {len(hits)} configurations, say one: {several}")
    return hits[0][0]
