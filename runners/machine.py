"""Where a run happens, and under which configuration a model came up there."""

from __future__ import annotations

from dataclasses import dataclass

from observatory.records import Configuration, Environment, Weights
from runners.backends.base import BackendFacts
from runners.devices import Chosen
from runners.environment import available_memory_bytes, free_device_bytes
from runners.expect import Speed
from runners.models import ResolvedModel
from runners.plan import Target


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a run happens."""

    environment: Environment
    device: Chosen
    speed: Speed

    def available_bytes(self) -> int | None:
        """Memory that a model could take now, on the device that will hold it."""
        if self.device.accelerator is None:
            return available_memory_bytes()
        uuid = self.device.accelerator.uuid
        return None if uuid is None else free_device_bytes(uuid)


def configuration_of(
    target: Target, model: ResolvedModel, machine: Machine, facts: BackendFacts | None
) -> Configuration:
    """The configuration as the loaded process found it; as asked for where nothing was loaded."""
    card = machine.device.accelerator
    asked_weights = Weights.CHECKPOINT if model.checkpoint else Weights.RANDOM
    return Configuration(
        model_key=model.record.key,
        weights=facts.weights if facts else asked_weights,
        backend=facts.backend if facts else target.backend,
        backend_version=facts.version if facts else "not loaded",
        device_kind=(
            facts.device_name if facts else card.name if card else machine.environment.cpu_model
        ),
        device_count=1,
        dtype=facts.dtype if facts else target.dtype,
        attention=facts.attention if facts else target.attention,
        kv_cache=facts.kv_cache if facts else target.kv_cache,
        compile_mode=facts.compile_mode if facts else target.compile_mode,
        threads=facts.threads if facts else target.threads,
    )
