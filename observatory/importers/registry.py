"""The readers by name: which one can read a file, and which to ask for by name.

A reader is a module with `sniff(path) -> bool`, which looks at the head of a file and raises
nothing, and `read(path) -> Reading`. A new one is one module and one line here. One whose `read`
takes keywords names them in `OPTIONS`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol, cast

from observatory.errors import InputError, UnknownNameError
from observatory.importers.files import unknown
from observatory.importers.reading import Reading, RowError, shown

#: name on the command line -> (module, what it reads); sniffed in this order, generic last
READERS: dict[str, tuple[str, str]] = {
    "ml-energy-v3": ("ml_energy_v3", "ML.ENERGY Benchmark v3, one JSON a task"),
    "ml-energy-v2": ("ml_energy_v2", "ML.ENERGY Leaderboard v2, one JSON a configuration"),
    "ml-energy-legacy": ("ml_energy_legacy", "ML.ENERGY Leaderboard 2023, CSV a GPU and task"),
    "ml-energy-score": ("ml_energy_score", "its score.csv: ARC, HellaSwag, TruthfulQA"),
    "mlperf": ("mlperf", "MLPerf Inference summary_results.json"),
    "mlperf-power": ("mlperf_power", "MLPerf power trace spl.txt with its logs beside it"),
    "optimum-csv": ("optimum_csv", "optimum-benchmark report CSV, full or short"),
    "optimum-json": ("optimum_json", "optimum-benchmark benchmark_report.json or benchmark.json"),
    "quant-energy": ("quant_energy", "quantization energy and perplexity CSV"),
    "lm-eval": ("lm_eval", "lm-evaluation-harness results JSON (0.3, 0.4)"),
    "lm-eval-samples": ("lm_eval_samples", "lm-evaluation-harness samples_*.jsonl"),
    "ipw": ("ipw", "Intelligence per Watt profiling records (JSON lines)"),
    "llenergymeasure": ("llenergymeasure", "LLenergyMeasure result.json"),
    "nvml-sensors": ("nvml_sensors", "update period and window of GPU power sensors"),
    "api-prices": ("api_prices", "API list prices per million tokens, CSV"),
    "helm-logs": ("helm_logs", "idealized-runtime paper: Megatron profiling logs"),
    "helm-fits": ("helm_fits", "idealized-runtime paper: published parameters, JSON"),
    "helm-runs": ("helm_runs", "idealized-runtime paper: API runtimes, CSV"),
    "generic": ("generic", "this project's documented CSV, columns named with their units"),
}


class Reader(Protocol):
    """What a reader's module offers."""

    def sniff(self, path: Path) -> bool:
        """Whether this looks like a file for `read`; never raises."""

    def read(self, path: Path, **options: Any) -> Reading:
        """The file's rows. Raises InputError where the file is unreadable."""


def reader(name: str) -> Reader:
    """The reader of that name. Raises UnknownNameError with near matches."""
    if name not in READERS:
        raise UnknownNameError("import source", name, list(READERS), f"one of {', '.join(READERS)}")
    return cast(Reader, importlib.import_module(f"observatory.importers.{READERS[name][0]}"))


def sniff(path: Path) -> str | None:
    """Name of the first reader that knows this file; None where none does."""
    return next((name for name in READERS if reader(name).sniff(path)), None)


def read(path: Path, source: str | None = None, **options: Any) -> tuple[str, Reading]:
    """(reader's name, the file being read). Options that are None are not given on.

    Raises InputError where no reader knows the file, or its reader not the option.
    """
    if str(path.absolute()) != str(path.absolute()).encode("utf-8", "replace").decode():
        raise InputError(f"{shown(str(path))}: its name is not UTF-8: rename it")
    name = source or sniff(path)
    if name is None:
        raise unknown(path)
    found = reader(name)
    given = {option: value for option, value in options.items() if value is not None}
    for option in given:
        if option not in getattr(found, "OPTIONS", ()):
            flag = f"--{option.replace('_', '-')}"
            raise InputError(f"{path}: {flag} means nothing to the reader {name}")
    try:
        return name, found.read(path, **given)
    except RowError as error:  # of what the whole file shares
        raise InputError(f"{path}: {shown(str(error))}") from None
