"""Weight formats: how many bytes a weight takes, and which weights a format applies to."""

from __future__ import annotations

from dataclasses import dataclass

from observatory.errors import UnknownNameError


@dataclass(frozen=True)
class WeightFormat:
    """Bytes per weight, scales included.

    matrix_bytes: block matrices the format applies to; other_bytes: everything else (embeddings,
    head, norms, biases, routers); experts_only: only routed experts are stored this way;
    compute: the arithmetic type whose peak bounds the matrix multiplications.
    """

    name: str
    matrix_bytes: float
    other_bytes: float
    compute: str
    experts_only: bool = False
    source: str = "element size"


_FORMATS = (
    WeightFormat("fp32", 4, 4, "fp32"),
    WeightFormat("bf16", 2, 2, "bf16"),
    WeightFormat("fp16", 2, 2, "fp16"),
    WeightFormat("fp8", 1, 2, "fp8"),
    WeightFormat("int8", 1, 2, "int8"),
    # Weight-only formats multiply in 16 bits after unpacking: their compute peak is bf16's.
    WeightFormat(
        "int4", (4 + (16 + 4) / 128) / 8, 2, "bf16",
        source="GPTQ/AWQ, groups of 128: 16-bit scale and 4-bit zero",
    ),
    WeightFormat(
        "nf4", (4 + 8 / 64 + 32 / (64 * 256)) / 8, 2, "bf16",
        source="QLoRA (arXiv 2305.14314) §3: double quantisation, 0.127 bits of scale a weight",
    ),
    WeightFormat(
        "mxfp4", (4 + 8 / 32) / 8, 2, "bf16", experts_only=True,
        source="OCP microscaling v1.0: blocks of 32 share an 8-bit scale",
    ),
)  # fmt: skip
FORMATS = {form.name: form for form in _FORMATS}
_ALIASES = {
    "float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "fp8_e4m3": "fp8",
    "float8": "fp8", "gptq": "int4", "awq": "int4", "fbgemm_fp8": "fp8", "w4a16": "int4",
    "w8a8": "int8", "mxfp4": "mxfp4",
}  # fmt: skip


def weight_format(dtype: str) -> WeightFormat:
    """The format of a name or alias (`bfloat16`, `gptq`, ...). Raises UnknownNameError."""
    name = dtype.lower().replace("torch.", "").replace("-", "_")
    name = _ALIASES.get(name, name)
    if name not in FORMATS:
        raise UnknownNameError("weight format", dtype, [*FORMATS, *_ALIASES], ", ".join(FORMATS))
    return FORMATS[name]
