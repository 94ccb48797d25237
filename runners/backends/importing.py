"""Import transformers for a causal language model, and nothing that only other models need.

transformers imports every optional library that it finds (torchvision, scikit-learn, TensorFlow,
…), which costs seconds on a well-equipped host, and none of them is used here. A `None` in
`sys.modules` makes Python answer "not installed" while the import lasts; it is taken away again.

The hub is never asked: a measured process is given a folder or a configuration, and an unreachable
hub hangs for 25 s (METHOD §3.15).
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from runners.backends.base import BackendError
from runners.backends.failures import first_line

#: Optional dependencies of transformers that a text-only causal model never touches.
UNUSED = (
    "deepspeed",
    "jax",
    "librosa",
    "peft",
    "scipy",
    "sklearn",
    "tensorflow",
    "timm",
    "torchaudio",
    "torchvision",
)
#: The first release whose static cache keeps its own position (models take no `cache_position`).
OLDEST = (5, 5)


@contextmanager
def hidden(names: tuple[str, ...]) -> Iterator[None]:
    """Make `names` look absent while the body runs; modules that are loaded already stay."""
    blocked = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked, None))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in blocked:
            if sys.modules.get(name) is None:
                sys.modules.pop(name, None)


def import_transformers() -> ModuleType:
    """The transformers package, quiet and offline.

    Raises BackendError `refused` where it is missing or older than `OLDEST`.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    try:
        with hidden(UNUSED):
            transformers = importlib.import_module("transformers")
            importlib.import_module("transformers.models.auto.modeling_auto")
            importlib.import_module("transformers.cache_utils")
    except ImportError as error:
        raise BackendError(
            "refused",
            "backend transformers cannot be imported "
            f"({first_line(error)}): pip install 'inference-observatory[torch]'",
        ) from error
    version = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise BackendError(
            "refused",
            f"transformers {transformers.__version__} is too old: install {oldest} or newer",
        )
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers
