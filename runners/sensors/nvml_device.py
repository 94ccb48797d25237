"""One physical GPU through NVML: what it can tell, its counter, its power, its state."""

from __future__ import annotations

from typing import Any

from runners.sensors.base import SensorError
from runners.sensors.draft import SampleDraft, put
from runners.sensors.nvml_binding import LOST, call, code_of

MILLI = 1e-3  # mJ and mW to J and W
_SCOPES = ("GPU", "MODULE", "MEMORY")
#: Answers that stay as they are; any other failure may pass.
_UNSUPPORTED = ("nvml_not_supported", "nvml_function_not_found", "nvml_invalid_argument")
#: Our word for a clock reason -> the end of NVML's constant `nvmlClocksEventReason…`.
_REASONS = {
    "gpu_idle": "GpuIdle",
    "application_clocks": "ApplicationsClocksSetting",
    "sw_power_cap": "SwPowerCap",
    "hw_slowdown": "HwSlowdown",
    "sync_boost": "SyncBoost",
    "sw_thermal_slowdown": "SwThermalSlowdown",
    "hw_thermal_slowdown": "HwThermalSlowdown",
    "hw_power_brake": "HwPowerBrakeSlowdown",
    "display_clocks": "DisplayClockSetting",
}


class NvmlGpu:
    """A GPU by its NVML index. What it does not support is asked for once."""

    def __init__(self, nvml: Any, index: int) -> None:
        """Raises SensorError where the driver does not hand out the device."""
        self.nvml, self.index, self.component = nvml, index, f"gpu:{index}"
        self.handle = call(nvml, "nvmlDeviceGetHandleByIndex", index, what=self.component)
        self._unsupported: set[str] = set()
        self._reason_bits = [
            (name, int(getattr(nvml, f"nvmlClocksEventReason{end}")))
            for name, end in _REASONS.items()
        ]
        self.uuid = str(self._ask("nvmlDeviceGetUUID"))
        self.name = str(self._ask("nvmlDeviceGetName"))
        self.has_counter = False
        self.power_field: str | None = None  #: the one that is sampled: `instant`, `usage`, or None
        self.power_fields: tuple[str, ...] = ()  #: all that answer: `instant`, `average`, `usage`
        self.scopes: tuple[str, ...] = ()  #: power scopes that answer; more than one on Grace

    def examine(self, used: bool) -> None:
        """Find out what the device can tell. A used one must tell its energy or its power.

        Raises SensorError `mig`, `no_energy_source`.
        """
        if used and self.mig():
            raise SensorError(
                "mig",
                f"{self.component} ({self.name}) is split into MIG instances",
                "NVML counts the energy of a whole GPU: measure with MIG off "
                "(sudo nvidia-smi -mig 0)",
            )
        self.has_counter = self._maybe("nvmlDeviceGetTotalEnergyConsumption") is not None
        self.scopes = tuple(s for s in _SCOPES if self._instant_w(s) is not None)
        average = self._field_w(self.nvml.NVML_FI_DEV_POWER_AVERAGE, "GPU")
        answers = {
            "instant": "GPU" in self.scopes,
            "average": average is not None,
            "usage": self._milli("nvmlDeviceGetPowerUsage") is not None,
        }
        self.power_fields = tuple(name for name, answered in answers.items() if answered)
        self.power_field = next((f for f in self.power_fields if f != "average"), None)
        if used and not self.has_counter and self.power_field is None:
            raise SensorError(
                "no_energy_source",
                f"{self.component} ({self.name}) offers neither an energy counter nor its power",
                "update the driver; energy counters exist on Volta and newer",
            )

    def energy_j(self) -> float:
        """The total-energy counter. Raises SensorError, whatever the failure."""
        return float(self._ask("nvmlDeviceGetTotalEnergyConsumption")) * MILLI

    def power_w(self) -> float | None:
        """Instant power where the device has that field, else NVML's power reading."""
        if self.power_field == "instant":
            return self._instant_w("GPU")
        if self.power_field == "usage":
            return self._milli("nvmlDeviceGetPowerUsage")
        return None

    def average_w(self) -> float | None:
        """The driver's own 1-s average, where the device has that field."""
        return self._field_w(self.nvml.NVML_FI_DEV_POWER_AVERAGE, "GPU")

    def state(self, draft: SampleDraft) -> None:
        """Temperature, SM clock, utilisation, memory and clock reasons. Raises SensorError where
        the device is lost; what it does not offer is left out."""
        put(draft.temperature_c, self.component, self._temperature())
        clock = self._maybe("nvmlDeviceGetClockInfo", self.nvml.NVML_CLOCK_SM)
        put(draft.clock_mhz, self.component, None if clock is None else float(clock))
        rates = self._maybe("nvmlDeviceGetUtilizationRates")
        put(draft.utilisation, self.component, None if rates is None else rates.gpu / 100)
        memory = self._maybe("nvmlDeviceGetMemoryInfo")
        put(draft.memory_bytes, self.component, None if memory is None else int(memory.used))
        put(draft.throttle, self.component, self._reasons())

    def mig(self) -> bool | None:
        """Whether MIG is on; None where the device does not know the word."""
        mode = self._maybe("nvmlDeviceGetMigMode")
        return None if mode is None else mode[0] == self.nvml.NVML_DEVICE_MIG_ENABLE

    def power_limit_w(self) -> float | None:
        """The limit that is enforced now."""
        return self._milli("nvmlDeviceGetEnforcedPowerLimit")

    def process_ids(self) -> list[int] | None:
        """Processes with a compute context on the device; None where NVML does not list them."""
        found = self._maybe("nvmlDeviceGetComputeRunningProcesses")
        return None if found is None else [int(p.pid) for p in found]

    def _ask(self, name: str, *arguments: Any) -> Any:
        return call(self.nvml, name, self.handle, *arguments, what=self.component)

    def _maybe(self, name: str, *arguments: Any) -> Any | None:
        """A reading that may be missing: None where NVML refuses it, and not asked for again where
        it is not supported. Raises SensorError where the device itself is lost."""
        key = f"{name}{arguments}"
        if key in self._unsupported:
            return None
        try:
            return self._ask(name, *arguments)
        except SensorError as error:
            if error.code in LOST:
                raise
            if error.code in _UNSUPPORTED:
                self._unsupported.add(key)
            return None

    def _milli(self, name: str) -> float | None:
        value = self._maybe(name)
        return None if value is None else float(value) * MILLI

    def _instant_w(self, scope: str) -> float | None:
        """Instant power of one scope: Grace Hopper has those of the module and its memory too."""
        return self._field_w(self.nvml.NVML_FI_DEV_POWER_INSTANT, scope)

    def _field_w(self, field: int, scope: str) -> float | None:
        request = [(field, getattr(self.nvml, f"NVML_POWER_SCOPE_{scope}"))]
        values = self._maybe("nvmlDeviceGetFieldValues", request)
        if values is None:
            return None
        answer = int(values[0].nvmlReturn)
        if answer == self.nvml.NVML_SUCCESS:
            return float(values[0].value.uiVal) * MILLI
        code = f"nvml_{code_of(self.nvml, answer)}"
        if code in LOST:
            raise SensorError(code, f"nvmlDeviceGetFieldValues({self.component}): {code}")
        if code in _UNSUPPORTED:
            self._unsupported.add(f"nvmlDeviceGetFieldValues{(request,)}")
        return None

    def _temperature(self) -> float | None:
        core = self.nvml.NVML_TEMPERATURE_GPU
        value = self._maybe("nvmlDeviceGetTemperatureV", core)
        if value is None:  # drivers before the versioned call
            value = self._maybe("nvmlDeviceGetTemperature", core)
        return None if value is None else float(value)

    def _reasons(self) -> tuple[str, ...] | None:
        mask = self._maybe("nvmlDeviceGetCurrentClocksEventReasons")
        if mask is None:  # the same call's name before driver 535
            mask = self._maybe("nvmlDeviceGetCurrentClocksThrottleReasons")
        return None if mask is None else tuple(n for n, bit in self._reason_bits if mask & bit)
