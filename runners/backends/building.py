"""A model with random weights from its configuration: fast, and honest enough to be timed.

Four traps (METHOD §3.13): pages that were never written all map to one zero page, so that a model
on uninitialised memory decodes several times too fast; skipping initialisation unties the
embeddings; buffers outside the checkpoint (`inv_freq`) are lost by `to_empty`; operands that are
all zero draw less power. So every weight is written with its own random value, embeddings are tied
again, and all that transformers sets itself (norms, biases, rotary frequencies) is poisoned with
NaN first: what is still NaN afterwards was forgotten, and is an error.

The model is laid out on the meta device, which tells its size before any memory is taken.

Parameters keep `requires_grad` as transformers leaves it, here and in a loaded checkpoint: no
iteration records a gradient (`inference_mode`), but PyTorch's `matmul` asks for it. On a CPU
(PyTorch 2.13) the output head over the last position of a prompt, a slice, is one `addmm` where the
weight requires gradients, as in everybody's `generate`; where it does not, a `bmm` that copies the
whole head first: 190 of 240 ms of a prefill of 16 tokens, Pythia-160M, one thread.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from runners.backends.base import BackendError
from runners.backends.caches import returned_cache
from runners.backends.failures import first_line, require_memory
from runners.backends.memory import available_bytes, resident_bytes

#: Values drawn by one generator, and values drawn at a time: the piece stays in a core's own cache
#: and below the size at which PyTorch would split one call over threads.
_BLOCK, _PIECE = 1 << 18, 1 << 15
_PAGE_BYTES = 4096  #: of memory; a larger page holds several
_DEFAULT_STD = 0.02  #: where a configuration names no `initializer_range`


def parse_config(transformers: Any, config: dict[str, Any]) -> Any:
    """A transformers configuration from its plain dict. Raises BackendError `refused`.

    Code that a repository brings along (`auto_map`) is never run: only architectures that
    transformers itself holds are known.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    name = config.get("model_type")
    if not isinstance(name, str):
        raise BackendError("refused", "the configuration has no 'model_type'")
    if name not in CONFIG_MAPPING:
        near = difflib.get_close_matches(name, list(CONFIG_MAPPING.keys()), n=3)
        advice = f" (near: {', '.join(near)})" if near else ""
        raise BackendError(
            "refused",
            f"transformers {transformers.__version__} has no architecture {name!r}{advice}",
        )
    plain = {k: v for k, v in config.items() if k not in ("auto_map", "quantization_config")}
    try:
        return CONFIG_MAPPING[name].from_dict(plain)
    except (ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
        raise BackendError(
            "refused", f"unusable configuration of {name!r}: {first_line(error)}"
        ) from error


def unique_parameters(model: Any) -> list[tuple[str, Any]]:
    """(name, parameter) with tied ones once."""
    return list(model.named_parameters())


def parameter_count(model: Any) -> int:
    """Number of parameters, tied ones counted once."""
    return sum(p.numel() for _, p in unique_parameters(model))


def weight_bytes(model: Any) -> int:
    """Bytes of all parameters, tied ones counted once."""
    return sum(p.numel() * p.element_size() for _, p in unique_parameters(model))


def lay_out(transformers: Any, config: Any, dtype: torch.dtype, attention: str) -> Any:
    """The model on the meta device: shapes, no memory. Raises BackendError `refused`."""
    try:
        with torch.device("meta"):
            return transformers.AutoModelForCausalLM.from_config(
                config, dtype=dtype, attn_implementation=attention, trust_remote_code=False
            )
    except (ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError) as error:
        reason = first_line(error)
        if "scaled_dot_product_attention" in reason:
            reason = "it has no sdpa attention in transformers, use eager"
        elif "Unrecognized configuration class" in reason:
            reason = "not a causal language model"
        raise BackendError("refused", f"cannot build {config.model_type!r}: {reason}") from error


def build_random(
    transformers: Any,
    config: Any,
    *,
    device: torch.device,
    dtype: torch.dtype,
    attention: str,
    seed: int,
    workers: int,
) -> Any:
    """A model with random weights on `device`, in evaluation mode.

    Matrices are normal with mean 0 and the configuration's `initializer_range`; norms, biases and
    buffers are what transformers sets. The values depend on `seed` alone, not on `workers` (the
    number of threads that draw them on a CPU). Raises BackendError `oom` before memory is taken
    where the weights are larger than what is free, `refused` where the architecture is unknown.
    """
    model = lay_out(transformers, config, dtype, attention)
    count = parameter_count(model)
    require_memory("weights", weight_bytes(model), available_bytes(device), device)
    model.to_empty(device=device)
    model.tie_weights()
    with torch.no_grad():
        _poison(model)
        std = getattr(config.get_text_config(), "initializer_range", None) or _DEFAULT_STD
        matrices = [p for _, p in unique_parameters(model) if p.ndim >= 2]
        for matrix in matrices:
            matrix._is_hf_initialized = True  # `initialize_weights` leaves it alone
        fill_normal(matrices, float(std), seed, workers)
        model.initialize_weights()
    model.eval()
    if parameter_count(model) != count:
        raise BackendError(
            "crashed",
            f"{parameter_count(model):,} parameters after initialisation, {count:,} before: "
            "weights were untied",
        )
    check_weights(model)
    check_pages(matrices)
    return model


def _poison(model: Any) -> None:
    """NaN into all that transformers must set: vectors and floating-point buffers."""
    vectors = [p for _, p in unique_parameters(model) if p.ndim < 2]
    for tensor in [*vectors, *model.buffers()]:
        if tensor.is_floating_point():
            tensor.fill_(float("nan"))
        elif tensor.dtype != torch.bool:
            tensor.fill_(torch.iinfo(tensor.dtype).min)


def fill_normal(tensors: list[Any], std: float, seed: int, workers: int) -> None:
    """Normal values (mean 0) into every element of `tensors`, in place.

    On a CPU each block of `_BLOCK` values has its own generator, seeded by `seed` and the block's
    number, and `workers` threads share the blocks: PyTorch's own `normal_` is serial, and in
    bfloat16 half as fast as drawing single precision into a small buffer and rounding.
    """
    if not tensors:
        return
    if tensors[0].device.type != "cpu":
        generator = torch.Generator(device=tensors[0].device).manual_seed(seed)
        for tensor in tensors:
            tensor.normal_(0.0, std, generator=generator)
        return
    blocks = list(_blocks(tensors))
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        futures = [
            pool.submit(_fill_blocks, blocks[k::workers], range(k, len(blocks), workers), std, seed)
            for k in range(max(workers, 1))
        ]
    for future in futures:
        future.result()


def _blocks(tensors: list[Any]) -> Iterator[Any]:
    for tensor in tensors:
        yield from tensor.detach().view(-1).split(_BLOCK)


def _fill_blocks(blocks: list[Any], numbers: range, std: float, seed: int) -> None:
    """One worker's share."""
    generator = torch.Generator()
    buffer = torch.empty(_PIECE)
    for block, number in zip(blocks, numbers, strict=True):
        generator.manual_seed((seed * 1_000_003 + number) % (1 << 63))
        for piece in block.split(_PIECE):
            drawn = buffer[: piece.numel()]
            drawn.normal_(0.0, std, generator=generator)
            piece.copy_(drawn)


def check_weights(model: Any) -> None:
    """Raise BackendError `crashed` where a weight or buffer is not a real value.

    Vectors and buffers are read whole, matrices by their first 4096 values: NaN or infinity means
    memory that nobody wrote, and so does a matrix without any spread. On a CPU the process must
    hold at least as many resident bytes as the weights have.
    """
    for name, tensor in [*unique_parameters(model), *model.named_buffers()]:
        if not _is_real(tensor):
            raise BackendError("crashed", f"{name} holds no real values after initialisation")
    device = next(model.parameters()).device
    resident = resident_bytes() if device.type == "cpu" else None
    if resident is not None and resident < weight_bytes(model):
        raise BackendError(
            "crashed",
            f"{resident} bytes resident, {weight_bytes(model)} bytes of weights: "
            "untouched pages read one zero page",
        )


def _is_real(tensor: Any) -> bool:
    """Whether what was looked at is a value that somebody wrote (see `_poison`)."""
    if not tensor.is_floating_point():
        return tensor.dtype == torch.bool or not bool(
            (tensor == torch.iinfo(tensor.dtype).min).any()
        )
    sample = tensor.detach().reshape(-1)[: 4096 if tensor.ndim >= 2 else None].float()
    if not bool(sample.isfinite().all()):
        return False
    is_matrix = isinstance(tensor, torch.nn.Parameter) and tensor.ndim >= 2
    return not is_matrix or sample.numel() < 2 or bool(sample.std() > 0)


def check_pages(tensors: list[Any]) -> None:
    """Raise BackendError `crashed` where pages of random matrices read as zero: never written.

    One value in each 4 KiB is looked at; a drawn value is zero about never.
    """
    for tensor in tensors:
        sample = tensor.detach().view(-1)[:: _PAGE_BYTES // tensor.element_size()]
        if int(torch.count_nonzero(sample)) < 0.99 * sample.numel():
            raise BackendError(
                "crashed", "pages of the weights were never written: they all read one zero page"
            )


def check_logits(model: Any, vocabulary: int) -> Any:
    """One forward over 8 tokens; its KV cache.

    Raises BackendError: `crashed` for unreal logits, `refused` for a model without a KV cache.
    """
    device = next(model.parameters()).device
    tokens = torch.arange(8, device=device)[None] * 37 % vocabulary
    with torch.inference_mode():
        output = model(input_ids=tokens, use_cache=True)
    logits = output.logits.float()
    if not bool(logits.isfinite().all()) or not bool(logits.std() > 0):
        raise BackendError("crashed", "logits are not finite, or all equal")
    cache = returned_cache(output)
    if cache is None or not hasattr(cache, "layers"):
        raise BackendError("refused", f"{model.config.model_type!r} has no KV cache to decode with")
    return cache
