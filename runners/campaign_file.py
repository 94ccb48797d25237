"""A campaign: one file of several plan files, each a part that is one run.

The parts are the documents of a YAML file, separated by `---` lines, each written as any plan file
(`runners.plan_file`). A part is measured whole or resumed, so that a campaign is done in pieces.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from observatory.errors import InputError
from runners.plan_file import read_plan_file
from runners.request import Request


@dataclass(frozen=True, slots=True)
class Part:
    """One document. `text` keeps the lines before it as empty ones, so that errors name the line
    of the campaign's file."""

    number: int
    text: str
    request: Request

    @property
    def label(self) -> str:
        """Such as `2 Llama-3.1-8B standard`."""
        models = "+".join(dict.fromkeys(model.model for model in self.request.models))
        return f"{self.number} {models} {self.request.profile}"

    @contextmanager
    def as_file(self) -> Iterator[Path]:
        """The part as a plan file, for as long as the context lasts."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"part-{self.number}.yaml"
            path.write_text(self.text, encoding="utf-8")
            yield path


def read_campaign(path: Path) -> list[Part]:
    """The parts of a campaign, in order. Raises InputError with file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"{path}: cannot read it: {reason}") from error
    documents = list(_documents(text))
    if not documents:
        raise InputError(f"{path}: holds no part: write a plan, and `---` between two")
    return [
        Part(number, document, _request(path, number, document))
        for number, document in enumerate(documents, 1)
    ]


def _documents(text: str) -> Iterator[str]:
    """Documents with content, each behind as many empty lines as stand before it in the file."""
    kept: list[str] = []
    for number, line in enumerate([*text.splitlines(), "---"]):
        if line.rstrip() == "---":
            if any(part.strip() and not part.lstrip().startswith("#") for part in kept):
                yield "\n".join([""] * (number - len(kept)) + kept) + "\n"
            kept = []
        else:
            kept.append(line)


def _request(path: Path, number: int, text: str) -> Request:
    with Part(number, text, Request()).as_file() as file:
        try:
            return read_plan_file(file)
        except InputError as error:
            said = str(error).removeprefix(f"--plan {file}: ")
            raise InputError(f"{path}: part {number}: {said}") from error
