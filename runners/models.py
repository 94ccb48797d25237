"""What `--model` names: a catalogue entry, a folder, or a repository of a model hub.

* a name of the catalogue: that architecture, with random weights;
* a folder (or its config.json) without weights: that architecture, with random weights;
* a folder with a checkpoint in safetensors: its real weights;
* `organisation/name`: the hub's repository, from the local cache, or fetched if reachable.

Random weights give real runtimes and no answers worth reading; the configuration says which it was.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observatory.catalog.architecture import Architecture
from observatory.errors import InputError, UnknownNameError
from observatory.records import Model, content_hash

HUB = ("huggingface.co", 443)
HUB_TIMEOUT_S = 3.0  #: an unreachable hub otherwise hangs for 25 s (METHOD §3.15)
HUB_FILES = ["config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json"]
NO_INFORMATION = {"transformers_version", "_name_or_path", "torch_dtype", "dtype", "architectures"}


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that can be run: its counts, its config as a plain dict, and where weights are."""

    asked: str  #: as the person wrote it
    architecture: Architecture
    config: dict[str, Any]
    checkpoint: str | None
    record: Model

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.record.name


def resolve(name: str, allow_hub: bool = True) -> ResolvedModel:
    """The model that `name` means. Raises InputError or UnknownNameError, each with a remedy.

    A path is one that exists or that starts like one (`./`, `/`, `~`); everything else is looked up
    in the catalogue first, so that a plain run never touches a network.
    """
    if not name.strip():
        raise InputError("--model '': give a catalogue name, a folder, or a hub id")
    path = Path(name).expanduser()
    if name.startswith(("./", "../", "/", "~")) or path.exists():
        return from_folder(path, name)
    try:
        architecture = Architecture.lookup(name)
    except UnknownNameError:
        if allow_hub and name.count("/") == 1:
            return from_hub(name)
        raise
    return _resolved(name, architecture, architecture.to_config(), None, "catalogue")


def from_folder(path: Path, asked: str) -> ResolvedModel:
    """A model folder or a config.json; real weights where the folder holds safetensors."""
    folder = path.parent if path.name == "config.json" else path
    if not folder.exists():
        raise InputError(f"--model {asked!r}: there is no such folder")
    file = folder / "config.json"
    if not file.is_file():
        raise InputError(f"--model {asked!r}: no config.json in that folder")
    architecture = Architecture.from_path(file)
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    has_weights = any(folder.glob("*.safetensors"))
    if not has_weights and (pickled := sorted([*folder.glob("*.bin"), *folder.glob("*.pt")])):
        raise InputError(
            f"--model {asked!r}: {pickled[0].name} is a pickle, which can run code: "
            "convert it to safetensors, or remove it to measure with random weights"
        )
    checkpoint = str(folder.resolve()) if has_weights and path.name != "config.json" else None
    return _resolved(asked, architecture, config, checkpoint, f"folder {folder.resolve().name}")


def from_hub(repository: str) -> ResolvedModel:
    """A hub repository: from the local cache, else downloaded when the hub answers.

    Raises InputError when neither is possible.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise InputError(
            f"--model {repository!r} is not in the catalogue, and huggingface_hub is not installed "
            "to look it up: pip install 'inference-observatory[torch]'"
        ) from error
    folder = _download(snapshot_download, repository, local_files_only=True)
    if folder is None:
        if not hub_reachable():
            raise InputError(
                f"--model {repository!r} is neither in the catalogue nor in the local hub cache, "
                f"and {HUB[0]} cannot be reached: give a catalogue name or a folder"
            )
        folder = _download(snapshot_download, repository, local_files_only=False)
    if folder is None:
        raise InputError(
            f"--model {repository!r}: the hub has no such repository (or it is private): "
            "check the name, or log in with `hf auth login`"
        )
    found = from_folder(Path(folder), repository)
    return _resolved(repository, found.architecture, found.config, found.checkpoint, "hub")


def hub_reachable(address: tuple[str, int] = HUB, timeout_s: float = HUB_TIMEOUT_S) -> bool:
    """Whether the hub takes a connection within `timeout_s`."""
    try:
        socket.create_connection(address, timeout_s).close()
    except OSError:
        return False
    return True


def _download(fetch: Any, repository: str, local_files_only: bool) -> str | None:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder: str = fetch(repository, allow_patterns=HUB_FILES, local_files_only=local_files_only)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError):
        return None
    return folder


def _resolved(
    asked: str,
    architecture: Architecture,
    config: dict[str, Any],
    checkpoint: str | None,
    source: str,
) -> ResolvedModel:
    facts = {k: v for k, v in config.items() if k not in NO_INFORMATION}
    shown = architecture.source
    record = Model(
        name=asked if source == "hub" else architecture.name,
        revision=content_hash(facts),
        model_type=architecture.model_type,
        config=config,
        parameters=architecture.parameters,
        active_parameters=architecture.active_parameters,
        active_matmul_parameters=architecture.active_matmul_parameters,
        kv_elements_per_token=round(architecture.kv_bytes_per_token(1)),
        source=f"{source}: {shown}" if shown else source,
    )
    return ResolvedModel(asked, architecture, config, checkpoint, record)
