"""Real weights from a folder: safetensors only, no code from the repository, no network.

A pickled checkpoint (`.bin`, `.pt`) runs whatever it contains when it is read, so it is refused.
Hub ids are `runners.models`' business: the measured process is given a folder that is there.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from runners.backends.base import BackendError
from runners.backends.failures import first_line, require_memory, typed_failures
from runners.backends.memory import available_bytes

#: Bytes of an element that keeps its stored type; floating-point ones are converted.
_KEPT = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "I32": 4, "I64": 8}
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder. Raises BackendError `refused` where there are none."""
    if not folder.is_dir():
        raise BackendError("refused", f"no checkpoint folder {str(folder)!r}")
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


def needed_bytes(files: list[Path], dtype: torch.dtype) -> int:
    """Bytes of all tensors once floating-point ones are `dtype`; reads the headers only.

    Raises SafetensorError for a file that is none.
    """
    from safetensors import safe_open

    total = 0
    for file in files:
        with safe_open(file, framework="pt") as stored:
            for key in stored.keys():  # noqa: SIM118 - not a mapping
                part = stored.get_slice(key)
                width = _KEPT.get(part.get_dtype(), dtype.itemsize)
                total += math.prod(part.get_shape()) * width
    return total


def load_checkpoint(
    transformers: Any, checkpoint: str, *, device: torch.device, dtype: torch.dtype, attention: str
) -> Any:
    """The model of a checkpoint on `device`, in evaluation mode.

    Raises BackendError: `oom` where the files are larger than what is free, `refused` where the
    folder is no safetensors checkpoint of a known architecture or leaves a weight out (transformers
    would fill it with random values and go on).
    """
    from safetensors import SafetensorError

    folder = Path(checkpoint).expanduser()
    files = weight_files(folder)
    with typed_failures(f"loading {folder}"):
        try:
            require_memory("weights", needed_bytes(files, dtype), available_bytes(device), device)
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
        if device.type == "cpu":
            _take_memory(model)
    model.eval()
    return model


def _take_memory(model: Any) -> None:
    """Copy the weights into the process's own memory.

    Files in the wanted type are mapped, not read: the first passes would wait for the disk, the
    file cache could drop pages in between, and a mapped tensor may lie off its natural alignment.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


def _refuse_incomplete(folder: Path, report: dict[str, Any]) -> None:
    for kind, words in (("missing_keys", "lacks"), ("mismatched_keys", "has other shapes for")):
        names = sorted(str(key) for key in report.get(kind) or ())
        if names:
            raise BackendError(
                "refused", f"{folder} {words} {len(names)} weights of the model, such as {names[0]}"
            )
