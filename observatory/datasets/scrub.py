"""What is not published: paths, user and host names, serial numbers of cards.

A path keeps its last part, so that `--model /data/me/llama` still says which model it was. A card's
UUID becomes a short hash of it: the same card stays the same, and is not named.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from observatory.errors import InputError

#: A path of two parts or more, or one in a home folder. No URL, no unit (J/token), no `a / b`.
PATH = re.compile(r"(?<![\w:/.…~-])(?:~|/)(?:[\w.+@%-]*/)+(?P<last>[\w.+@%-]*)")
#: Databases and the like keep their kind alone; the web's addresses lose a user and a password.
DATABASE = re.compile(r"\b(?!https?://)([A-Za-z][\w+.-]*://)[^\s'\"]+")
LOGIN = re.compile(r"\b(https?://)[^\s/@'\"]+@")
UUID = re.compile(r"\b(GPU|MIG)-([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\b")
#: Names that identify nobody, or that are words of the tables themselves.
COMMON = {
    "root", "user", "admin", "ubuntu", "debian", "localhost", "home", "nobody", "runner", "test",
    "gpu", "cuda", "cpu", "nvidia", "nvml", "rapl", "device", "host", "node", "server", "worker",
    "main", "model", "llama", "torch", "transformers", "measured", "prefill", "decode", "anchor",
    "idle", "quick", "standard", "linux", "python",
}  # fmt: skip
SHORTEST = 3  #: a name of two letters would be found in any text


def private_names() -> tuple[str, ...]:
    """Names of this host and of the user who calls, longest first, common ones left out."""
    host = socket.gethostname()
    found = {
        host,
        host.partition(".")[0],
        os.environ.get("USER", ""),
        os.environ.get("LOGNAME", ""),
    }
    found.add(Path.home().name)
    kept = {n for n in found if len(n) >= SHORTEST and n.casefold() not in COMMON}
    return tuple(sorted(kept, key=lambda name: (-len(name), name)))


def scrub_text(text: str, names: tuple[str, ...]) -> str:
    """`text` without paths, card numbers and `names`."""
    text = LOGIN.sub(r"\1", DATABASE.sub(r"\1…", text))
    text = UUID.sub(lambda m: f"{m[1]}-{_short(m[2])}", text)
    text = PATH.sub(lambda m: f"…/{m['last']}", text)
    for name in names:
        text = _word(name).sub("…", text)
    return text


def scrub(value: Any, names: tuple[str, ...]) -> Any:
    """A plain value (text, number, list, mapping) with every text in it scrubbed."""
    if isinstance(value, str):
        return scrub_text(value, names)
    if isinstance(value, Mapping):
        return {scrub_text(str(k), names): scrub(v, names) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [scrub(v, names) for v in value]
    return value


def require_clean(files: Mapping[str, bytes], names: tuple[str, ...]) -> None:
    """Raise InputError where a file still holds one of `names` or a home folder's path."""
    home = str(Path.home())
    for file, content in files.items():
        text = content.decode("utf-8")
        for name in names:
            if _word(name).search(text):
                raise InputError(f"{file} would publish the name {name!r}: nothing was written")
        if home.count("/") > 1 and home in text:
            raise InputError(f"{file} would publish the path {home}: nothing was written")


def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])", re.IGNORECASE)


def _short(uuid: str) -> str:
    return hashlib.sha256(uuid.lower().encode()).hexdigest()[:8]
