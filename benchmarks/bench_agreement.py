"""Do the protocol's windows time what a plain loop times?

One process loads one model through the worker, as a run does, and the same architecture a second
time as transformers alone makes it. Then a textbook loop over the second and the worker's own
`window` take turns, prefill and decode, with one thread and with two (on a machine of one core:
one). The ratio plain / window of neighbours in time cancels the machine's slow drifts; its median
over the pairs must be within 5 % of one.

The loop knows nothing of `runners.backends`: it calls its model with token ids and a cache, takes
the argmax, and calls it again. Both make logits of the last prompt position only, as `generate`
does: with all of them, a prompt of 128 costs SmolLM2-135M about a quarter more. A loop over the
worker's own model is not enough: it agreed within 3 % while that model, its parameters without
`requires_grad`, took four times as long for a short prompt as transformers' own.

`python -m benchmarks agreement` on a quiet machine. A busy neighbour widens the spread, which is
printed; it does not shift the median much, because both sides of a pair suffer.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

from observatory.catalog.architecture import Architecture
from observatory.records import Phase, Workload
from runners.backends.base import BackendRequest
from runners.executors.local import worker_environment
from runners.profiles import WarmUp
from runners.protocol import iterations_for

MODELS = ("SmolLM2-135M", "Pythia-160M")
#: Phase and tokens: of the prompt, or held by the cache before `STEPS` steps. A short prompt shows
#: what a pass costs beside its own tokens, such as the output head.
CELLS = ((Phase.PREFILL, 16), (Phase.PREFILL, 128), (Phase.DECODE, 128))
STEPS = 16
PAIRS, WINDOW_S, TOLERANCE = 12, 0.4, 0.05


def plain_prefill_s(model: Any, prompts: list[Any], iterations: int) -> float:
    """Seconds of one forward over a prompt, mean over `iterations`."""
    import torch

    with torch.no_grad():
        start = time.perf_counter()
        for i in range(iterations):
            output = model(input_ids=prompts[i % len(prompts)], use_cache=True, logits_to_keep=1)
            output.logits[:, -1].argmax(dim=-1)
        return (time.perf_counter() - start) / iterations


def plain_decode_s(model: Any, prompts: list[Any], iterations: int) -> float:
    """Seconds of `STEPS` greedy steps after a prompt, mean over `iterations`; prefill untimed."""
    import torch

    from runners.backends.caches import cache_name, returned_cache

    name, total = cache_name(model), 0.0
    with torch.no_grad():
        for i in range(iterations):
            output = model(input_ids=prompts[i % len(prompts)], use_cache=True, logits_to_keep=1)
            token = output.logits[:, -1:].argmax(dim=-1)
            start = time.perf_counter()
            for _ in range(STEPS):
                cached = {name: returned_cache(output)}
                output = model(input_ids=token, use_cache=True, **cached)
                token = output.logits[:, -1:].argmax(dim=-1)
            total += time.perf_counter() - start
    return total / iterations


def plain_model(name: str, dtype: str) -> Any:
    """The architecture as transformers makes it, in evaluation mode; nothing of ours touches it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**Architecture.lookup(name).to_config())
    return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()


def ask(worker: Any, **message: Any) -> dict[str, Any]:
    """One request to the worker in this process. Raises SystemExit with its error."""
    reply: dict[str, Any] = worker.answer(message)
    if not reply["ok"]:
        raise SystemExit(f"error: {reply['error']}")
    return reply


def compare(worker: Any, model: Any, phase: str, tokens: int) -> list[tuple[float, float]]:
    """Pairs (plain, window) of seconds per iteration; who goes first alternates."""
    import torch

    decode = phase == Phase.DECODE
    plain = plain_decode_s if decode else plain_prefill_s
    workload = Workload.decode(tokens, STEPS) if decode else Workload.prefill(tokens)
    generator = torch.Generator().manual_seed(1)
    prompts = list(torch.randint(0, 40_000, (4, 1, tokens), generator=generator))
    prepared = ask(
        worker, op="prepare", phase=phase, workload=asdict(workload), warm_up=asdict(WarmUp())
    )
    iterations = iterations_for(WINDOW_S, prepared["pass_s"])
    plain(model, prompts, max(1, iterations // 2))

    def window_s() -> float:
        reply = ask(worker, op="window", iterations=iterations)
        return float(reply["end_ns"] - reply["start_ns"]) / 1e9 / iterations

    pairs = []
    for i in range(PAIRS):
        if i % 2:
            ours = window_s()
            pairs.append((plain(model, prompts, iterations), ours))
        else:
            theirs = plain(model, prompts, iterations)
            pairs.append((theirs, window_s()))
    return pairs


def child(name: str, threads: int) -> int:
    """Measure one model with one thread count in this process; JSON on standard output."""
    from runners.worker import Worker

    worker = Worker()
    request = BackendRequest(name, Architecture.lookup(name).to_config(), threads=threads)
    facts = ask(worker, op="load", backend="transformers", request=asdict(request))["facts"]
    if facts["threads"] != threads:
        raise SystemExit(f"error: {threads} threads asked for, {facts['threads']} used")
    model = plain_model(name, facts["dtype"])
    found = {f"{cell} {tokens}": compare(worker, model, cell, tokens) for cell, tokens in CELLS}
    worker.close()
    json.dump(found, sys.stdout)
    return 0


def measure(name: str, threads: int) -> dict[str, list[tuple[float, float]]]:
    """`child` in a fresh process, with the environment of a measured process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_agreement", "child", name, str(threads)],
        env=worker_environment(threads, os.environ),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, list[tuple[float, float]]] = json.loads(done.stdout)
    return found


def report(name: str, threads: int, cell: str, pairs: list[tuple[float, float]]) -> bool:
    """One line; True where the median ratio is within the tolerance."""
    ratios = sorted(plain / window for plain, window in pairs)
    low, middle, high = statistics.quantiles(ratios, n=4)
    agrees = abs(middle - 1) <= TOLERANCE
    window_ms = 1e3 * statistics.median(window for _, window in pairs)
    print(
        f"{name:14} {threads} thread{'s' if threads > 1 else ' '} {cell:11}"
        f" window {window_ms:8.2f} ms  plain/window {middle:.3f}"
        f"  quartiles {low:.3f} {high:.3f}  {'ok' if agrees else 'DISAGREES'}",
        flush=True,
    )
    return agrees


def main() -> int:
    """Compare all models and thread counts; 1 beyond 5 %."""
    if importlib.util.find_spec("torch") is None:
        print("skipped: the extra `torch` is not installed")
        return 0
    cores = len(os.sched_getaffinity(0))
    print(f"prefill p, {STEPS} decode steps from c; medians of {PAIRS} alternating pairs")
    verdicts = [
        report(name, threads, cell, pairs)
        for name in MODELS
        for threads in (1, 2)
        if threads <= cores
        for cell, pairs in measure(name, threads).items()
    ]
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(child(sys.argv[2], int(sys.argv[3])) if sys.argv[1:2] == ["child"] else main())
