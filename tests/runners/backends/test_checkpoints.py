"""Real weights come from safetensors alone, complete, and never from the network by accident."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from tiny_models import request

from observatory.records import Weights, Workload
from runners.backends import checkpoints
from runners.backends.base import BackendError
from runners.backends.transformers import TransformersBackend


@pytest.fixture(scope="module")
def original() -> Any:
    backend = tiny_models.load(tiny_models.LLAMA, seed=7)
    assert backend._loaded is not None
    return backend._loaded.model


@pytest.fixture
def folder(original: Any, tmp_path: Path) -> Path:
    original.save_pretrained(tmp_path)
    return tmp_path


def load_folder(folder: Path, **options: Any) -> Any:
    backend = TransformersBackend()
    facts = backend.load(request({}, checkpoint=str(folder), **options))
    assert backend._loaded is not None
    return backend, facts


def refusal(checkpoint: object, **options: Any) -> str:
    with pytest.raises(BackendError) as caught:
        TransformersBackend().load(request({}, checkpoint=str(checkpoint), **options))
    assert caught.value.status == "refused"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_checkpoint_gives_the_logits_of_the_model_that_wrote_it(
    original: Any, folder: Path
) -> None:
    backend, facts = load_folder(folder)
    tokens = torch.arange(20)[None]
    with torch.inference_mode():
        assert torch.equal(backend._loaded.model(tokens).logits, original(tokens).logits)
    assert facts.weights == Weights.CHECKPOINT
    assert facts.parameters == sum(p.numel() for p in original.parameters())
    operation = backend.prepare("decode", Workload.decode(5, 3))
    operation.run()
    assert operation.token.shape == (1, 1)


def test_the_dtype_and_the_attention_are_those_asked_for(folder: Path) -> None:
    backend, facts = load_folder(folder, dtype="bfloat16", attention="eager")
    assert (facts.dtype, facts.attention) == ("bfloat16", "eager")
    assert facts.weight_bytes == 2 * facts.parameters
    assert all(p.dtype == torch.bfloat16 for p in backend._loaded.model.parameters())


def test_weights_are_read_into_memory_and_not_mapped(folder: Path) -> None:
    backend, _ = load_folder(folder)
    mapped = [
        line for line in Path("/proc/self/maps").read_text().splitlines() if str(folder) in line
    ]
    assert mapped == []
    model = backend._loaded.model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_needed_bytes_are_those_of_the_wanted_type(original: Any, folder: Path) -> None:
    files = [folder / "model.safetensors"]
    count = sum(p.numel() for p in original.parameters())
    assert checkpoints.needed_bytes(files, torch.float32) == 4 * count
    assert checkpoints.needed_bytes(files, torch.bfloat16) == 2 * count


def test_a_checkpoint_larger_than_memory_is_oom(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "available_bytes", lambda _device: 1000)
    with pytest.raises(BackendError, match="weights need") as caught:
        load_folder(folder)
    assert caught.value.status == "oom"


def test_pickled_weights_are_refused_unread(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04not a pickle that anybody should read")
    message = refusal(folder)
    assert "pickled weights only (pytorch_model.bin)" in message
    assert "convert them to safetensors" in message


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "holds no weights (*.safetensors)" in refusal(tmp_path)


def test_a_missing_folder_is_refused() -> None:
    assert "no checkpoint folder 'nowhere/at/all'" in refusal("./nowhere/at/all")


def test_a_checkpoint_that_leaves_a_weight_out_is_refused(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    assert "lacks 1 weights of the model, such as model.layers.1.mlp.up_proj" in refusal(folder)


def test_a_truncated_file_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    assert "cannot load" in refusal(folder)


def test_a_configuration_of_another_shape_is_refused(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "intermediate_size": 64}))
    message = refusal(folder)
    assert "has other shapes for 6 weights of the model" in message
    assert "mlp" in message


def test_a_broken_configuration_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{ not json")
    assert str(folder) in refusal(folder)


def test_code_beside_the_weights_is_not_run(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    marker = folder / "ran"
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: ...\n")
    config.update(model_type="evil", auto_map={"AutoModelForCausalLM": "evil.Evil"})
    path.write_text(json.dumps(config))
    refusal(folder)
    assert not marker.exists()


def test_a_hub_id_is_not_looked_up_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_args: Any, **_kwargs: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    assert refusal("nobody/no-such-model") == "no checkpoint folder 'nobody/no-such-model'"
