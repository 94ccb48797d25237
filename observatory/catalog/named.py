"""Which of some names a person means: as written, in another spelling, or by a catalogue alias."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from observatory.catalog import models
from observatory.errors import InputError, UnknownNameError


def meant(text: str, names: Iterable[str]) -> list[str]:
    """The `names` that `text` may mean, by the strictest of these readings that finds any.

    The name itself; the name in another case; without blanks, hyphens and the organisation before
    it (`meta-llama/Llama-3.2-1B` → `Llama-3.2 1B`); a model of the same row of the catalogue.
    """
    known = list(dict.fromkeys(names))
    readings: tuple[Callable[[str], str | None], ...] = (str, str.casefold, _spelling, _row)
    for read in readings:
        wanted = read(text)
        found = [name for name in known if wanted and read(name) == wanted]
        if found:
            return found
    return []


def one_of(text: str, names: Iterable[str], hint: str = "") -> str:
    """The one of `names` that `text` means.

    Raises UnknownNameError for none, InputError that lists them for several.
    """
    known = sorted(set(names))
    found = meant(text, known)
    if not found:
        raise UnknownNameError("model", text, known, hint)
    if len(found) > 1:
        raise InputError(f"model {text!r} may be {', '.join(found)}: say one of them")
    return found[0]


def _spelling(name: str) -> str:
    return models.normal(name.rpartition("/")[2])


def _row(name: str) -> str | None:
    try:
        return models.find(name)["name"]
    except UnknownNameError:
        return None
