"""Names of models: one model, one name, whatever a source calls it.

A name that the model catalogue knows (as name, hub id or alias) becomes the catalogue's. Then the
alias table decides: `data/aliases.csv` and, before it, a file of the user's own in the same form
(`alias,name`). Any other name stays as the source gives it, without the organisation before it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path

from observatory.catalog import models
from observatory.errors import InputError, UnknownNameError

COLUMNS = ["alias", "name"]
MAX_ALIASES = 100_000
MAX_BYTES = 16 * 2**20


@cache
def shipped_aliases() -> Mapping[str, str]:
    """Normal form of an alias -> name, from the table in this package."""
    file = resources.files("observatory.capability").joinpath("data/aliases.csv")
    return _table(file.read_text("utf-8").splitlines(), "aliases.csv")


def user_aliases(path: Path) -> Mapping[str, str]:
    """The user's own table. Raises InputError for a file that is no `alias,name` CSV."""
    try:
        if not path.is_file():
            raise InputError(f"cannot read aliases {path}: no such file, or no plain one")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"aliases {path}: more than {MAX_BYTES >> 20} MiB")
        content = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"cannot read aliases {path}: not UTF-8 text") from None
    except OSError as error:
        raise InputError(f"cannot read aliases {path}: {error.strerror or error}") from None
    return _table(content, str(path))


def _table(content: list[str], where: str) -> Mapping[str, str]:
    rows = csv.DictReader(content)
    try:
        if (rows.fieldnames or [])[:2] != COLUMNS:
            raise InputError(f"{where}: an alias table has the columns alias,name")
        found: dict[str, str] = {}
        for row in rows:
            if not row["alias"] or not row["name"] or len(found) >= MAX_ALIASES:
                raise InputError(f"{where}: line {rows.line_num} needs an alias and a name")
            found[models.normal(row["alias"])] = row["name"]
    except csv.Error as error:
        raise InputError(f"{where}: broken CSV: {error}") from None
    return found


#: words that tell one checkpoint of an architecture from another (tuning, date, context length);
#: a score of one is no score of the other
_TUNED = re.compile(
    r"(?:^|[-_. ])(chat|instruct|it|sft|dpo|rlhf|pt|base|\d{4}|\d{6}|\d+k)(?=$|[-_. ])",
    re.IGNORECASE,
)


def model_name(reported: str, aliases: Mapping[str, str] | None = None) -> str:
    """One name for a model: the user's `aliases` first, then shipped ones, then the catalogue.

    The catalogue knows architectures; a tuned model keeps its word (`Llama-2 7B chat`), because its
    scores are not those of the base, though its costs are.
    """
    short = reported.rpartition("/")[2].strip() or reported.strip()
    for table in (aliases or {}, shipped_aliases()):
        for form in (reported, short):
            known = table.get(models.normal(form))
            if known is not None:
                return known
    known = _in_catalogue(reported)
    if known is None:
        return short
    row = models.find(known)
    own = {models.normal(form.rpartition("/")[2]) for form in (row["name"], row["hf_id"])}
    words = [found.lower() for found in _TUNED.findall(short)]
    if not words or models.normal(short) in own:
        return known
    return " ".join([known, *words])


def architecture(name: str) -> str:
    """The catalogue name of the architecture under a model's name; the name itself elsewhere.

    Two models of one architecture cost the same to run in the same stack.
    """
    return _in_catalogue(_TUNED.sub("", name)) or _in_catalogue(name) or name


@cache
def _in_catalogue(name: str) -> str | None:
    if not models.normal(name):
        return None
    try:
        return models.find(name)["name"]
    except UnknownNameError:
        return None
