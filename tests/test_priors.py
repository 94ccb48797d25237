"""Priors from a store: which fits count, and what the source says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import Engine

from observatory.catalog.architecture import Architecture
from observatory.catalog.hardware import Hardware, lookup
from observatory.errors import UnknownNameError
from observatory.priors import configuration_prior, planner_prior, stored_scales
from observatory.store.database import open_read_only
from tests import synthetic

MODEL = Architecture.lookup("Qwen2.5-0.5B")
MACHINE = Hardware.measured("Synthetic CPU", 5e12, 1e11, 24 << 30)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Two synthetic models on one synthetic CPU; the second takes 1.5 times as long."""
    path = tmp_path_factory.mktemp("priors") / "store.db"
    synthetic.record(path, "synthetic-1")
    synthetic.record(path, "synthetic-2", model_name="SmolLM2-360M", scale=1.5)
    opened = open_read_only(path)
    yield opened
    opened.dispose()


def test_the_fits_of_the_device_scale_the_roofline(engine: Engine) -> None:
    plain = planner_prior(None, MODEL, MACHINE, "bf16")
    made = planner_prior(engine, MODEL, MACHINE, "bf16", backend="transformers")
    assert plain.source == f"roofline of {MODEL.name} on Synthetic CPU"
    assert made.source == f"{plain.source}, scaled by 2 fits of the store"
    with engine.connect() as connection:
        scales = [s.scale for s in stored_scales(connection, MACHINE, "bfloat16")]
    # The law has no knee: alpha = 10 ms + 0.2 ms * p, far above the roofline everywhere.
    first, second = 0.2148 / _bound("SmolLM2-135M"), 1.5 * 0.2148 / _bound("SmolLM2-360M")
    assert sorted(scales) == pytest.approx(sorted([first, second]), rel=0.25)
    assert 1.6 < made.scale < max(scales)
    prompts = np.array([16.0, 1024.0])
    shape = made.prefill_s(prompts) / plain.prefill_s(prompts)
    assert 1.0 < shape[0] < 1.5 and 0.8 < shape[1] < 1.0  # the roofline is of memory at p=16


def _bound(name: str) -> float:
    prior = planner_prior(None, Architecture.lookup(name), MACHINE, "bf16")
    return float(prior.prefill_s(np.array([1024.0]))[0])


@pytest.mark.parametrize(
    ("hardware", "options"),
    [
        (lookup("A100-SXM4-80GB"), {}),
        (MACHINE, {"backend": "vllm"}),
        (MACHINE, {"quantization": "int8"}),
        (MACHINE, {"dtype": "fp32"}),
    ],
)
def test_fits_of_another_stack_do_not_count(
    engine: Engine, hardware: Hardware, options: dict[str, str]
) -> None:
    given = {"dtype": "bf16", **options}
    made = planner_prior(engine, MODEL, hardware, **given)  # type: ignore[arg-type]
    assert made.source == f"roofline of {MODEL.name} on {hardware.name}"
    assert (made.scale, made.scale_sd) == (1.6, 0.5)


def test_a_stored_configuration_gets_the_prior_of_its_own_stack(engine: Engine) -> None:
    key = synthetic.configuration_of(synthetic.model_named()).key
    made = configuration_prior(engine, key, synthetic.ENVIRONMENT.key, 4)
    assert made is not None and made.source.endswith("scaled by 2 fits of the store")
    again = planner_prior(
        engine, Architecture.lookup("SmolLM2-135M"), MACHINE, "bf16", 1, 4, backend="transformers"
    )
    assert (made.scale, made.scale_sd) == (again.scale, again.scale_sd)
    prompts = np.array([1.0, 100.0])
    assert made.prefill_s(prompts) == pytest.approx(again.prefill_s(prompts))
    assert configuration_prior(engine, key, "no such machine") is None


def test_an_unknown_number_format_is_named(engine: Engine) -> None:
    with pytest.raises(UnknownNameError, match="bf61"):
        planner_prior(engine, MODEL, MACHINE, "bf61")
