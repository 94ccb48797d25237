"""Real weights from a folder or a hub id: safetensors only, no code from the repository.

A pickled checkpoint (`.bin`, `.pt`) runs whatever it contains when it is read, so it is refused.
A hub id is looked up in the local cache first; the hub itself is asked only where the environment
does not say offline and it answers within `_PATIENCE_S`.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch

from runners.backends.base import BackendError
from runners.backends.failures import first_line, require_memory, typed_failures
from runners.backends.memory import available_bytes

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_WANTED = ["*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json"]
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_PATIENCE_S = 3.0


def resolve(checkpoint: str) -> Path:
    """The folder of a checkpoint: given as a folder, or found (else fetched) by its hub id.

    Raises BackendError `refused` where there is no such folder, or the hub cannot be asked.
    """
    folder = Path(checkpoint).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_ID.fullmatch(checkpoint):
        raise BackendError("refused", f"no checkpoint folder {checkpoint!r}")
    return _from_hub(checkpoint)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    except HFValidationError as error:
        raise BackendError("refused", f"no checkpoint folder {name!r}, and no hub id") from error
    if not hub_answers():
        raise BackendError(
            "refused",
            f"{name!r} is neither a folder nor in the local cache, and the hub cannot be asked",
        )
    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED, etag_timeout=_PATIENCE_S))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise BackendError("refused", f"cannot fetch {name!r}: {first_line(error)}") from error


def hub_answers() -> bool:
    """Whether the hub may be asked and accepts a connection. Never waits long."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or os.environ.get("TRANSFORMERS_OFFLINE", "") in ("1", "true"):
        return False
    address = urlparse(constants.ENDPOINT)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=_PATIENCE_S):
            return True
    except OSError:
        return False


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder. Raises BackendError `refused` where there are none."""
    files = sorted(folder.glob("*.safetensors"))
    if files:
        return files
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    if pickled:
        raise BackendError(
            "refused",
            f"{folder} holds pickled weights only ({pickled[0]}), which can run code when read: "
            "convert them to safetensors",
        )
    raise BackendError("refused", f"{folder} holds no weights (*.safetensors)")


def load_checkpoint(
    transformers: Any, checkpoint: str, *, device: torch.device, dtype: torch.dtype, attention: str
) -> Any:
    """The model of a checkpoint on `device`, in evaluation mode.

    Raises BackendError: `oom` where the files are larger than what is free, `refused` where the
    folder is no safetensors checkpoint of a known architecture or leaves a weight out (transformers
    would fill it with random values and go on).
    """
    from safetensors import SafetensorError

    folder = resolve(checkpoint)
    files = weight_files(folder)
    require_memory("weights", sum(f.stat().st_size for f in files), available_bytes(device), device)
    with typed_failures(f"loading {folder}"):
        try:
            model, report = transformers.AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                attn_implementation=attention,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # reported below, with a name
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
            raise BackendError("refused", f"cannot load {folder}: {first_line(error)}") from error
        _refuse_incomplete(folder, report)
        model.to(device)
    model.requires_grad_(False)
    model.eval()
    return model


def _refuse_incomplete(folder: Path, report: dict[str, Any]) -> None:
    for kind, words in (("missing_keys", "lacks"), ("mismatched_keys", "has other shapes for")):
        names = sorted(str(key) for key in report.get(kind) or ())
        if names:
            raise BackendError(
                "refused", f"{folder} {words} {len(names)} weights of the model, such as {names[0]}"
            )
