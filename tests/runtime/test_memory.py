"""Memory planner and capacity: hand-made sums, refusals, and what limits a deployment."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.catalog import hardware
from observatory.catalog.architecture import lookup
from observatory.cli import observatory, run
from observatory.errors import InputError
from observatory.runtime.calibration_shipped import from_file, shipped
from observatory.runtime.capacity import capacity
from observatory.runtime.memory import kv_copies, plan

LLAMA8, LLAMA70, DEEPSEEK = lookup("Llama-3.1 8B"), lookup("Llama-3.1 70B"), lookup("DeepSeek-V3")
H100, A100 = hardware.lookup("h100"), hardware.lookup("a100")


def test_concurrency_by_hand() -> None:
    found = plan(LLAMA8, A100, 4096)
    usable = 80 * 2**30 * 0.923
    assert found.usable_bytes == pytest.approx(usable)
    assert found.kv_bytes_per_sequence == 4096 * 131072
    assert found.concurrency == math.floor((usable - 2 * LLAMA8.parameters) / (4096 * 131072))
    assert found.switch_s == pytest.approx(2 * 4096 * 131072 / 31e9)
    assert found.fits


def test_long_context_of_a_34b_model() -> None:
    """Fu (2024): one sequence of 50K tokens fills what a 34B model leaves of an 80 GB card."""
    yi = lookup("Yi-34B")
    assert plan(yi, A100, 50_000, utilisation=1).concurrency <= 1
    assert plan(yi, A100, 4096, utilisation=1).concurrency >= 15
    assert yi.kv_cache_bytes(50_000) == pytest.approx(12.3e9, rel=0.01)


def test_weights_that_do_not_fit() -> None:
    found = plan(LLAMA70, H100, 1024)
    assert not found.fits and found.concurrency == 0 and found.free_bytes < 0
    assert plan(LLAMA70, H100, 1024, dtype="int4").fits


def test_kv_heads_are_copied() -> None:
    """Eight devices share eight kv heads; a latent cache is whole on each."""
    assert kv_copies(LLAMA70, 8) == 1
    assert kv_copies(LLAMA70, 16) == 2
    assert kv_copies(DEEPSEEK, 8) == 8
    assert kv_copies(lookup("Falcon-7B"), 4) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"utilisation": 0.0}, "utilisation"),
        ({"utilisation": 1.2}, "utilisation"),
        ({"devices": 0}, "devices is 0"),
        ({"context": 0}, "context 0"),
        ({"dtype": "int2"}, "weight format"),
        ({"kv_dtype": "int2"}, "KV-cache type"),
    ],
)
def test_bad_plans(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(LLAMA8, H100, **{"context": 10, **options})  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 120_000), st.sampled_from([1, 2, 4, 8]))
def test_longer_sequences_never_fit_more_often(context: int, devices: int) -> None:
    short, long = (plan(LLAMA8, H100, c, devices) for c in (context, context + 1000))
    assert short.concurrency >= long.concurrency
    used = short.concurrency * short.kv_bytes_per_sequence
    assert used <= short.free_bytes < used + short.kv_bytes_per_sequence


def test_capacity_calibrated() -> None:
    found = capacity(LLAMA70, H100, 2000, 256, 32, 4, calibrations=shipped())
    assert found.fits and found.users == 32 and found.bottleneck == "memory bandwidth"
    assert found.tpot_s is not None and found.tpot_s.method == "calibrated"
    assert found.tpot_s.high is not None and found.tpot_s.low < found.tpot_s.mid < found.tpot_s.high
    assert found.ttft_s is not None and found.ttft_s.high is None, "no prefill calibration"
    assert found.energy_per_output_token_j is not None
    joules = found.energy_per_output_token_j.mid
    watts = joules * 32 / found.tpot_s.mid / 4
    assert 75 < watts <= 700, "between idle and the power limit"
    assert found.energy_per_request_j == pytest.approx(joules * 256)
    assert found.tokens_per_s == pytest.approx(32 / found.tpot_s.mid)


def test_capacity_names_its_bottleneck() -> None:
    few = capacity(LLAMA8, H100, 500, 50, 1, calibrations=shipped())
    full = capacity(LLAMA8, A100, 4000, 256, 500)
    assert few.bottleneck == "memory bandwidth"
    assert full.bottleneck == "memory capacity" and not full.fits
    assert full.users == full.memory.concurrency < 500
    none = capacity(LLAMA70, H100, 500, 50)
    assert none.tpot_s is None and none.energy_reason == "the model does not fit"


def test_capacity_refuses_what_the_model_cannot_do() -> None:
    with pytest.raises(InputError, match="takes 131072 tokens"):
        capacity(LLAMA8, H100, 131_072, 1)
    with pytest.raises(InputError, match="1 or more"):
        capacity(LLAMA8, H100, 10, 10, users=0)


def test_own_calibration_comes_before_the_shipped_one(tmp_path: Path) -> None:
    record = next(c for c in shipped() if c.device == H100.name).as_dict()
    record["parameters"] = {**record["parameters"], "step_s": 0.5}
    file = tmp_path / "cal.json"
    file.write_text(json.dumps(record))
    slow = capacity(LLAMA8, H100, 500, 50, 1, calibrations=(*shipped(), *from_file(file)))
    assert slow.tpot_s is not None and slow.tpot_s.mid > 0.5
    for text in ("{", "[1]", '{"device": "x"}'):
        file.write_text(text)
        with pytest.raises(InputError):
            from_file(file)


# ------------------------------------------------------------------ the verbs
def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(observatory, list(arguments))
    return result.exit_code, result.output


def test_capacity_verb() -> None:
    code, text = call("capacity", "--model", "llama-3.1-70b", "--device", "H100", "--devices", "4",
                      "--context", "8192", "--json")  # fmt: skip
    found = json.loads(text)
    assert code == 0 and found["provenance"] == "modelled"
    assert found["tpot_s"]["calibration_id"].startswith("cal-")
    code, text = call("capacity", "--model", "llama-3.1-70b", "--device", "NVIDIA H100 80GB HBM3",
                      "--devices", "4", "--context", "8192", "--zone", "FRA")  # fmt: skip
    assert code == 0 and "TPOT" in text and "carbon, operational" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--model, --device and --context"),
        (["--model", "gpt2", "--device", "h100", "--context", "100"], "must exceed --output"),
        (["--model", "gpt-9000", "--device", "h100", "--context", "900"], "unknown model"),
        (["--model", "gpt2", "--device", "h101", "--context", "900"], "unknown device"),
        (["--model", "gpt2", "--device", "h100", "--context", "9000"], "takes 1024 tokens"),
        (["--model", "gpt2", "--device", "h100", "--context", "900", "--calibration", "/none"],
         "cannot read the calibration"),
    ],
)  # fmt: skip
def test_capacity_verb_refuses(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(observatory, ["capacity", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1


def test_architecture_verb(tmp_path: Path) -> None:
    code, text = call("architecture", "llama-3.2-1b", "--json")
    found = json.loads(text)
    assert code == 0 and found["parameters"] == 1_235_814_400
    assert found["prefill"]["flops"] < found["prefill"]["flops_unfused_attention"]
    code, text = call("architecture", "gpt-oss-20b", "--batch", "8")
    assert code == 0 and "mxfp4" in text and "4 of 32 experts" in text
    override = tmp_path / "more.json"
    override.write_text('{"num_hidden_layers": 8}')
    code, text = call("architecture", "llama-3.2-1b", "--override", str(override), "--json")
    assert json.loads(text)["architecture"]["layers"] == 8


def test_model_list(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = call("architecture", "--list", "--json")
    assert code == 0 and len(json.loads(text)) > 90
    code, text = call("architecture", "--list")
    assert "OLMoE-1B-7B" in text and max(map(len, text.splitlines())) <= 100
    assert run(observatory, ["architecture"]) == 2
    assert "MODEL is needed" in capsys.readouterr().err


def test_device_list() -> None:
    code, text = call("capacity", "--list-devices", "--json")
    assert code == 0 and any(row["name"] == "H100-SXM5" for row in json.loads(text))
    code, text = call("capacity", "--list-devices")
    assert "partial" in text and max(map(len, text.splitlines())) <= 100
