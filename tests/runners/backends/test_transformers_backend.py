"""The backend as the protocol sees it: facts, refusals, memory, compiled and captured steps."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tiny_models
import torch
from tiny_models import load, request

from observatory.records import Weights, Workload
from runners.backends import importing, memory
from runners.backends.base import BackendError
from runners.backends.operations import CapturedStep
from runners.backends.transformers import TransformersBackend


def test_facts_are_read_from_the_process() -> None:
    backend = TransformersBackend()
    facts = backend.load(request(tiny_models.LLAMA, attention="eager", dtype="bfloat16", threads=2))
    assert (facts.backend, facts.attention, facts.dtype) == ("transformers", "eager", "bfloat16")
    assert facts.threads == torch.get_num_threads() == 2
    assert facts.weights == Weights.RANDOM
    assert facts.weight_bytes == 2 * facts.parameters
    assert facts.version == facts.libraries["transformers"]
    assert facts.libraries["torch"] == torch.__version__
    assert facts.device == "cpu"
    assert facts.load_s > 0
    assert facts.notes == ("logits of the last position only",)
    assert facts.peak_memory_method
    assert backend.device_timer() is None
    backend.synchronize()
    backend.close()
    with pytest.raises(BackendError, match="no model is loaded"):
        backend.prepare("prefill", Workload.prefill(4))


def test_quantization_that_is_left_out_is_said() -> None:
    config = {**tiny_models.LLAMA, "quantization_config": {"quant_method": "fp8"}}
    facts = TransformersBackend().load(request(config))
    assert "the configuration's quantization was left out" in facts.notes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "float8"}, "unknown dtype 'float8'"),
        ({"attention": "flash"}, "unknown attention 'flash'"),
        ({"compile_mode": "fast"}, "unknown compile mode 'fast'"),
        ({"kv_cache": "paged"}, "unknown KV cache 'paged'"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"compile_mode": "compile"}, "compile needs a static KV cache"),
        ({"compile_mode": "cuda_graph", "kv_cache": "static"}, "cuda_graph needs a CUDA device"),
        ({"device": "warp:9"}, "unknown device 'warp:9'"),
        ({"device": "mps"}, "only cpu and cuda"),
        ({"device": "cuda:97"}, "no device 'cuda:97'"),
        ({"expected_parameters": 7}, r"built [\d,]+ parameters, expected 7"),
    ],
)
def test_requests_that_cannot_be_met(options: dict[str, Any], words: str) -> None:
    with pytest.raises(BackendError, match=words):
        TransformersBackend().load(request(tiny_models.LLAMA, **options))


def test_hidden_modules_come_back() -> None:
    assert "wave" not in sys.modules or sys.modules.pop("wave")
    with importing.hidden(("wave", "json")):
        import json

        assert json.loads("1") == 1
        with pytest.raises(ImportError):
            import wave
    import wave

    assert wave.Error


def test_an_old_transformers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = importing.import_transformers()
    monkeypatch.setattr(transformers, "__version__", "4.57.1")
    with pytest.raises(BackendError, match=r"transformers 4\.57\.1 is too old: install 5\.5"):
        importing.import_transformers()


def test_loading_imports_nothing_that_only_other_models_need() -> None:
    names = ("scipy", "sklearn", "torchvision", "torchaudio", "tensorflow", "pandas", "streamlit")
    script = (
        "import sys; sys.path.insert(0, 'tests/runners/backends')\n"
        "import tiny_models; tiny_models.load(tiny_models.LLAMA)\n"
        f"print([n for n in {names!r} if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_peak_memory_follows_what_is_written_and_can_be_reset() -> None:
    peak = memory.PeakMemory(torch.device("cpu"))
    if peak.method != "VmHWM":
        pytest.skip(f"the peak cannot be reset here: {peak.method}")
    peak.read(reset=True)
    before = peak.read()
    block = torch.ones(16_000_000)
    high = peak.read(reset=False)
    del block
    after = peak.read(reset=True)
    low = peak.read()
    assert before is not None and high is not None and after is not None and low is not None
    assert high - before > 60_000_000
    assert after - before > 60_000_000
    assert low < high - 30_000_000


def test_peak_memory_says_when_it_cannot_be_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.PeakMemory, "_clear", staticmethod(lambda: False))
    peak = memory.PeakMemory(torch.device("cpu"))
    assert peak.method == "VmHWM since process start"
    monkeypatch.setattr(memory, "_status_bytes", lambda *_: None)
    old = memory.PeakMemory(torch.device("cpu"))
    assert old.method == "ru_maxrss since process start"
    assert (old.read(reset=True) or 0) > 1_000_000


def test_memory_limits_of_a_control_group_count(tmp_path: Any) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\n")
    assert memory._cgroup_free(tmp_path) == 400
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._cgroup_free(tmp_path) is None
    assert memory._cgroup_free(tmp_path / "absent") is None


def decode_tokens(backend: TransformersBackend, steps: int = 6) -> list[torch.Tensor]:
    operation = backend.prepare("decode", Workload.decode(9, steps, batch=2))
    found = []
    for _ in range(5):
        operation.run()
        found.append(operation.token.clone())  # type: ignore[attr-defined]
    return found


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_steps_give_the_tokens_of_eager_ones() -> None:
    eager = decode_tokens(load(tiny_models.LLAMA, kv_cache="static"))
    backend = load(tiny_models.LLAMA, kv_cache="static", compile_mode="compile")
    assert [t.tolist() for t in decode_tokens(backend)] == [t.tolist() for t in eager]
    request_operation = backend.prepare("e2e", Workload.request(9, 5))
    request_operation.run()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1


class FakeGraph:
    """Stands for a CUDA graph on a CPU: replays by calling again what was captured."""

    captured: Callable[[], None]

    def replay(self) -> None:
        self.captured()


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Just enough of `torch.cuda` to run the order of a capture on a CPU."""

    class Stream:
        def wait_stream(self, _other: object) -> None: ...

    @contextlib.contextmanager
    def scope(_thing: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", scope)
    monkeypatch.setattr(torch.cuda, "graph", scope)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)


@pytest.mark.usefixtures("fake_cuda")
def test_capture_leaves_the_cache_as_it_was_and_replays_in_order() -> None:
    backend = load(tiny_models.LLAMA, kv_cache="static")
    loaded = backend._loaded
    assert loaded is not None
    operation = backend.prepare("decode", Workload.decode(9, 4, batch=2))
    stream, mark = operation._stream, operation._mark  # type: ignore[attr-defined]
    starts = loaded.tokens(2, 1)

    def chain(step: Callable[[Any], Any], token: Any) -> list[Any]:
        mark.restore()
        found = []
        for _ in range(4):
            token = step(token)
            found.append(token.tolist())
        return found

    with torch.inference_mode():
        plain = [chain(stream.forward, start) for start in starts]
        mark.restore()
        step = CapturedStep(stream.forward, starts[0], mark)
        assert int(stream._cache.layers[0].cumulative_length) == 9
        step._graph.captured = lambda: step._token.copy_(stream.forward(step._token))  # type: ignore[attr-defined]
        replayed = [chain(step, start) for start in starts]
    assert replayed == plain
    assert plain[0] != plain[1]


@pytest.mark.usefixtures("fake_cuda")
def test_a_step_that_cannot_be_captured_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def failing(_graph: object) -> Iterator[None]:
        yield
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "graph", failing)
    backend = load(tiny_models.LLAMA, kv_cache="static")
    operation = backend.prepare("decode", Workload.decode(9, 4))
    stream, mark = operation._stream, operation._mark  # type: ignore[attr-defined]
    with (
        torch.inference_mode(),
        pytest.raises(BackendError, match="cannot be captured") as caught,
    ):
        CapturedStep(stream.forward, torch.zeros(1, 1, dtype=torch.long), mark)
    assert caught.value.status == "refused"
