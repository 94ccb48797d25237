"""Ceilings of this machine: how fast it multiplies matrices, and how fast it reads memory.

They run in the measured process, with its library, number format and thread count, so that a
roofline made of them bounds what that process could reach. Both are the best of several kernels,
each repeated: a ceiling is what was reached once. Arrays are filled first, because untouched pages
all read one zero page and look several times too fast (METHOD §3.13).

They say what *this* machine gave in *this* run, and are labelled so; they are not vendors' peaks.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from observatory.records import Peak

#: Bytes of the array that bandwidth kernels read, on a CPU: larger than most last-level caches.
CPU_ARRAY_BYTES = 256 * 2**20
GPU_ARRAY_BYTES = 2 * 2**30

#: (rows, inner, columns) of the matrix products: square, and the shapes of a prefill.
CPU_SHAPES = ((512, 1024, 4096), (1024, 1024, 1024), (2048, 2048, 2048))
GPU_SHAPES = ((4096, 4096, 4096), (8192, 8192, 8192), (2048, 8192, 8192))

MATMUL = "matmul_flops_per_s"
BANDWIDTH = "bandwidth_bytes_per_s"


@dataclass(frozen=True, slots=True)
class Kernel:
    """One thing to time: `work` is its FLOPs or the bytes that it must move."""

    name: str
    work: float
    run: Callable[[], Any]


def last_level_cache_bytes(root: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int | None:
    """Size of the largest CPU cache; None where the system does not show it."""
    sizes = []
    for file in sorted(root.glob("index*/size")):
        try:
            text = file.read_text(encoding="ascii").strip()
            sizes.append(int(text[:-1]) * {"K": 2**10, "M": 2**20}[text[-1]])
        except (OSError, ValueError, KeyError, IndexError):
            continue
    return max(sizes, default=None)


def best_rate(
    kernels: list[Kernel], budget_s: float, synchronize: Callable[[], Any]
) -> tuple[float, str]:
    """Highest work per second over all kernels and repeats within the budget, and whose it was.

    Each kernel runs once to warm up and at least twice more, whatever the budget.
    """
    rates: list[tuple[float, str]] = []
    for kernel in kernels:
        kernel.run()
        synchronize()
        end = time.perf_counter() + budget_s / len(kernels)
        repeats = 0
        while repeats < 2 or time.perf_counter() < end:
            start = time.perf_counter_ns()
            kernel.run()
            synchronize()
            elapsed_s = max(time.perf_counter_ns() - start, 1) / 1e9
            rates.append((kernel.work / elapsed_s, kernel.name))
            repeats += 1
    return max(rates)


def measure_peaks(
    device: str, device_name: str, dtype: str, threads: int | None, budget_s: float = 1.5
) -> list[Peak]:
    """Matmul and bandwidth ceilings of `device` in about `budget_s` seconds.

    With PyTorch the kernels use `dtype` on that device; without it numpy measures float32 on the
    CPU, and the rows say so.
    """
    torch_here = importlib.util.find_spec("torch") is not None
    bench = _TorchBench(device, dtype) if torch_here else _NumpyBench()
    rows = []
    for quantity, kernels in ((MATMUL, bench.products()), (BANDWIDTH, bench.readers())):
        value, name = best_rate(list(kernels), budget_s / 2, bench.synchronize)
        method = f"best of this machine in this run: {name}"
        rows.append(Peak(device_name, quantity, bench.dtype, threads, value, method))
    return rows


class _TorchBench:
    """Kernels in PyTorch on a CPU or a GPU."""

    def __init__(self, device: str, dtype: str) -> None:
        import torch

        self._torch, self.dtype = torch, dtype
        self._device, self._dtype = torch.device(device), getattr(torch, dtype)
        self._gpu = self._device.type == "cuda"
        # its own: the default one of a GPU stays unusable after a CUDA graph that failed to capture
        self._generator = torch.Generator(self._device).manual_seed(0)

    def synchronize(self) -> None:
        if self._gpu:
            self._torch.cuda.synchronize(self._device)

    def _filled(self, *shape: int) -> Any:
        array = self._torch.empty(shape, dtype=self._dtype, device=self._device)
        return array.uniform_(-1, 1, generator=self._generator)

    def products(self) -> Iterator[Kernel]:
        """Products A·Bᵀ, which is how a linear layer keeps its weights."""
        for rows, inner, columns in GPU_SHAPES if self._gpu else CPU_SHAPES:
            a, b = self._filled(rows, inner), self._filled(columns, inner)
            out = self._torch.empty((rows, columns), dtype=self._dtype, device=self._device)
            yield Kernel(
                f"matmul {rows}x{inner}x{columns}", 2.0 * rows * inner * columns,
                partial(self._torch.mm, a, b.T, out=out),
            )  # fmt: skip

    def readers(self) -> Iterator[Kernel]:
        """Matrix times vector, copy, fill: what reads, what reads and writes, what writes."""
        cache = last_level_cache_bytes() or 0
        size = GPU_ARRAY_BYTES if self._gpu else max(CPU_ARRAY_BYTES, min(4 * cache, 2**30))
        columns = 4096
        matrix = self._filled(size // self._dtype.itemsize // columns, columns)
        vector = self._filled(columns)
        other = self._torch.empty_like(matrix)
        total = matrix.nbytes
        mib = f"{total / 2**20:.0f} MiB"
        yield Kernel(f"matrix-vector {mib}", total, lambda: self._torch.mv(matrix, vector))
        if self._dtype.itemsize < 4:  # narrow formats convert while they read; these do not
            wide = matrix.view(self._torch.float32)
            factor = self._torch.ones(wide.shape[1], device=self._device)
            yield Kernel(
                f"float32 matrix-vector {mib}", total, lambda: self._torch.mv(wide, factor)
            )
        yield Kernel(f"copy {mib}", 2 * total, lambda: other.copy_(matrix))
        yield Kernel(f"fill {mib}", total, lambda: other.fill_(1.5))


class _NumpyBench:
    """The same in numpy, float32, where there is no PyTorch."""

    dtype = "float32"

    def synchronize(self) -> None:
        """A CPU has done its work when the call returns."""

    def _filled(self, *shape: int) -> Any:
        import numpy as np

        return np.random.default_rng(0).random(shape, dtype=np.float32)

    def products(self) -> Iterator[Kernel]:
        """Square products and those of a prefill."""
        import numpy as np

        for rows, inner, columns in CPU_SHAPES:
            a, b = self._filled(rows, inner), self._filled(inner, columns)
            yield Kernel(
                f"numpy matmul {rows}x{inner}x{columns}", 2.0 * rows * inner * columns,
                partial(np.matmul, a, b),
            )  # fmt: skip

    def readers(self) -> Iterator[Kernel]:
        """What reads, and what reads and writes."""
        import numpy as np

        matrix = self._filled(CPU_ARRAY_BYTES // 4 // 4096, 4096)
        vector, other = self._filled(4096), np.empty_like(matrix)
        mib = f"{matrix.nbytes / 2**20:.0f} MiB"
        yield Kernel(f"numpy matrix-vector {mib}", matrix.nbytes, lambda: matrix @ vector)
        yield Kernel(f"numpy copy {mib}", 2 * matrix.nbytes, lambda: np.copyto(other, matrix))
