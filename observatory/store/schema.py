"""Tables of the store, SQLAlchemy Core, the same on SQLite and PostgreSQL.

Facts (`window`, `reported`, `capability`, and the rows that describe them) are only ever added.
Derived tables (`finding`, `summary`, `fit`) are thrown away and made again from facts; `estimate`
rows are kept when asked, each under the factor edition it was made with. Columns carry their units.
Missing is NULL, beside a reason where one is known; 0.0 is a measurement.

`docs/schema.md` is generated from the comments here.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str, comment: str, nullable: bool = True) -> Column[str]:
    return Column(name, Text, nullable=nullable, comment=comment)


def _real(name: str, comment: str, nullable: bool = True) -> Column[float]:
    return Column(name, Float(53), nullable=nullable, comment=comment)


def _int(name: str, comment: str, nullable: bool = True) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable, comment=comment)


def _id() -> Column[int]:
    return Column(
        "id",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
        comment="Row number in this database.",
    )


def _key(name: str, target: str, comment: str, nullable: bool = False) -> Column[str]:
    return Column(name, Text, ForeignKey(target), nullable=nullable, comment=comment)


def _workload() -> tuple[Column[int], ...]:
    return (
        _int("prompt_tokens", "Prompt tokens p of one sequence; NULL for decode or unknown."),
        _int("output_tokens", "Output tokens o; in the decode phase the steps of one iteration."),
        _int("context_tokens", "Tokens in the KV cache before the first step (decode only)."),
        _int("batch", "Sequences B computed together.", nullable=False),
    )


environment = Table(
    "environment",
    metadata,
    Column("key", Text, primary_key=True, comment="Content hash of the row."),
    _text("cpu_model", "Processor as the system names it.", False),
    _int("cpu_physical_cores", "Physical cores."),
    _int("cpu_logical_cores", "Logical cores.", False),
    _int("memory_bytes", "Main memory.", False),
    _text("operating_system", "Distribution or system name.", False),
    _text("kernel", "Kernel release.", False),
    _text("python", "Python version.", False),
    Column("libraries", JSON, nullable=False, comment="Library -> version."),
    Column("devices", JSON, nullable=False, comment="Accelerators with UUID, driver, limits."),
    Column("virtualised", Integer, comment="1 in a virtual machine, 0 on metal, NULL unknown."),
    _text("cpu_governor", "Frequency governor; NULL where the system shows none."),
    comment="A machine as probed.",
)

model = Table(
    "model",
    metadata,
    Column("key", Text, primary_key=True, comment="Content hash of name and revision."),
    _text("name", "Name in the catalogue, or of the folder or hub id.", False),
    _text("revision", "Hash of the configuration facts.", False),
    _text("model_type", "Architecture family.", False),
    Column("config", JSON, nullable=False, comment="Configuration facts."),
    _int("parameters", "All parameters.", False),
    _int("active_parameters", "Parameters that one token meets.", False),
    _int("active_matmul_parameters", "Matrix weights that one token meets, and the head.", False),
    _int("kv_elements_per_token", "Elements a token adds to the KV cache.", False),
    _text("source", "Where the configuration comes from.", False),
    UniqueConstraint("name", "revision"),
    comment="An architecture with its exact counts.",
)

configuration = Table(
    "configuration",
    metadata,
    Column("key", Text, primary_key=True, comment="Content hash of the row."),
    _key("model_key", "model.key", "The architecture."),
    _text("weights", "`random_weights` or `checkpoint`.", False),
    _text("backend", "What ran the model.", False),
    _text("backend_version", "Versions of the stack.", False),
    _text("device_kind", "Device name.", False),
    _int("device_count", "Devices used.", False),
    _text("dtype", "Number format of weights and activations.", False),
    _text("attention", "Attention kernel.", False),
    _text("kv_cache", "`dynamic` or `static`.", False),
    _text("compile_mode", "`eager`, `compile`, `cuda_graph`.", False),
    _int("threads", "CPU threads; NULL where they do not matter."),
    _text("quantization", "Quantization scheme, or `none`.", False),
    _int("tensor_parallel", "Tensor-parallel size.", False),
    _text("technique", "`plain`, speculative decoding, …", False),
    _real("layer_scale", "Factor from the profiled layers to the whole model.", False),
    comment="Everything that must be equal for two rows to be repeats.",
)

run = Table(
    "run",
    metadata,
    Column("id", Text, primary_key=True, comment="Time-ordered identity."),
    _text("command", "Command line.", False),
    _text("plan_hash", "Content hash of the plan.", False),
    Column("plan", JSON, nullable=False, comment="The plan, so that a run can be resumed."),
    _text("code_version", "Version of this package (and commit, where known).", False),
    _key("environment_key", "environment.key", "The machine."),
    _text("profile", "`quick`, `standard` or `publishable`.", False),
    _int("seed", "Seed of order, weights and prompts.", False),
    _text("started_utc", "ISO 8601.", False),
    _text("ended_utc", "ISO 8601; NULL while running or when killed."),
    _text("status", "`running`, `done`, `done_with_failures`, `interrupted`.", False),
    _text("sensor", "Sensor that saw the joules; NULL for none."),
    _text("sensor_reason", "Why there is no energy, where there is none."),
    _real("sampler_cpu_share", "CPU seconds of the sampler per wall second."),
    Column("notes", JSON, nullable=False, comment="Facts of the run: tick, idle power, limits."),
    comment="One invocation.",
)

peak = Table(
    "peak",
    metadata,
    _id(),
    _key("run_id", "run.id", "The run."),
    _text("device", "Device name.", False),
    _text("quantity", "`matmul_flops_per_s` or `bandwidth_bytes_per_s`.", False),
    _text("dtype", "Number format.", False),
    _int("threads", "CPU threads."),
    _real("value", "In the unit that the quantity names.", False),
    _text("method", "Kernel and size.", False),
    UniqueConstraint("run_id", "device", "quantity", "dtype"),
    comment="Fact: a ceiling of the machine measured in a run.",
)

cell = Table(
    "cell",
    metadata,
    _id(),
    _key("run_id", "run.id", "The run."),
    _text("plan_key", "Identity inside the run.", False),
    _key("configuration_key", "configuration.key", "The stack."),
    _text("phase", "`prefill`, `decode`, `e2e`, `serving`, `idle`, `anchor`.", False),
    *_workload(),
    _text("role", "`fit`, `heldout`, `anchor`, `idle`.", False),
    _text("status", "`planned`, `ok`, `oom`, `timeout`, `crashed`, `refused`, `lost`.", False),
    _text("error", "One line, where the status is not `ok`."),
    _real("expected_s", "Seconds that the plan foresaw."),
    _int("position", "Place in the shuffled order.", False),
    UniqueConstraint("run_id", "plan_key"),
    Index("ix_cell_configuration", "configuration_key", "phase"),
    CheckConstraint("batch > 0", name="batch_positive"),
    comment="Configuration × workload in a run.",
)

window = Table(
    "window",
    metadata,
    _id(),
    Column("cell_id", ForeignKey("cell.id"), nullable=False, comment="The cell."),
    _int("process_index", "Which process repeat of the run.", False),
    _int("window_index", "Which window of that process.", False),
    _text("process_id", "Unique per measured process.", False),
    _int("iterations", "Equal iterations inside.", False),
    _real("duration_s", "Wall time.", False),
    _text("started_utc", "ISO 8601.", False),
    _int("tokens", "Work units done in the whole window."),
    _int("failed_iterations", "Iterations that failed.", False),
    _real("window_target_s", "Length that the profile asked for."),
    _real("energy_device_j", "Joules of the devices used."),
    _real("energy_cpu_j", "Joules of the CPU packages."),
    _real("energy_dram_j", "Joules of DRAM."),
    _real("energy_idle_devices_j", "Joules of devices that were not used; in no other column."),
    _text("energy_method", "`nvml_counter`, `nvml_power_integral`, `rapl`, `codecarbon`, …"),
    _text("energy_provenance", "`measured` or `estimated`."),
    _text("energy_boundary", "`device` or `host`."),
    _text("energy_reason", "Why there is no energy."),
    _real("energy_integral_j", "Trapezoid of power samples, to check the counter."),
    _real("energy_edge_bound_rel", "Error bound from the sensor's tick."),
    _real("energy_systematic_rel", "One standard deviation shared by a card's windows."),
    _real("power_max_w", "Largest sample."),
    _int("peak_memory_bytes", "Peak memory of device or process."),
    _real("cpu_time_s", "CPU time of the measured process."),
    _real("cpu_share", "CPU time / (wall × threads); below 0.95 a neighbour was busy."),
    _real("cpu_pressure", "Share of the window in which a task waited for a CPU."),
    _real("clock_mhz", "Mean device clock."),
    _real("temperature_start_c", "°C at the start."),
    _real("temperature_end_c", "°C at the end."),
    _text("throttle_reasons", "Reasons seen, comma separated."),
    _real("utilisation", "Mean device utilisation, 0 to 1."),
    Column("flags", JSON, nullable=False, comment="The sensor's and protocol's own flags."),
    _real(
        "reference_pass_s",
        "Seconds of the anchor's pass at the window's edges; NULL on an accelerator, and for a "
        "model that cannot run it, as the run's notes then say.",
    ),
    UniqueConstraint("cell_id", "process_index", "window_index"),
    CheckConstraint("iterations > 0 AND duration_s > 0", name="some_work"),
    CheckConstraint(
        "energy_reason IS NOT NULL OR energy_device_j IS NOT NULL OR energy_cpu_j IS NOT NULL "
        "OR energy_dram_j IS NOT NULL",
        name="energy_or_reason",
    ),
    comment="Fact: one measured window.",
)

source = Table(
    "source",
    metadata,
    Column("key", Text, primary_key=True, comment="SHA-256 of the file's bytes."),
    _text("name", "File name as given.", False),
    _text("tool", "What wrote it.", False),
    _text("tool_version", "Its version."),
    _text("licence", "Licence of the data."),
    _text("url", "Where it was published."),
    _text("retrieved_utc", "When it was fetched.", False),
    _text("imported_utc", "When it was imported.", False),
    _int("rows_read", "Rows read.", False),
    _int("rows_stored", "Rows stored.", False),
    _int("rows_rejected", "Rows rejected.", False),
    Column("notes", JSON, nullable=False, comment="Reasons of rejected rows, and the like."),
    comment="Provenance of rows that somebody else measured.",
)

reported = Table(
    "reported",
    metadata,
    _id(),
    _key("source_key", "source.key", "The file."),
    _text("row", "Identity inside the file.", False),
    _text("model_name", "Model as the source names it.", False),
    _text("phase", "Phase.", False),
    _text("quantity", "`runtime_s`, `energy_j`, `power_w`, …", False),
    _real("value", "In SI; NULL is missing."),
    _text("unit", "Unit of `value`.", False),
    _text("work_unit", "`token`, `image`, …", False),
    _text("per", "What the value is per.", False),
    _real("prompt_tokens", "p; NULL unknown."),
    _real("output_tokens", "o; NULL unknown."),
    _real("batch", "B; NULL unknown."),
    _text("device_kind", "Device as the source names it."),
    _int("device_count", "Devices."),
    _text("dtype", "Number format."),
    _text("quantization", "Quantization."),
    _text("backend", "Software."),
    _text("boundary", "What the joules cover."),
    _text("method", "By what means."),
    _real("std", "Standard deviation as reported."),
    _int("n", "Repeats behind it."),
    _text("reason", "Why `value` is missing."),
    Column("extra", JSON, nullable=False, comment="Other fields of the row."),
    UniqueConstraint("source_key", "row", "quantity"),
    comment="Fact: one value of somebody else's results.",
)

finding = Table(
    "finding",
    metadata,
    _id(),
    _text("subject", "`window`, `cell` or `reported`.", False),
    _int("subject_id", "Row of that table.", False),
    _text("rule", "Rule code.", False),
    _int("rule_version", "Version of the rule.", False),
    _text("severity", "`exclude`, `avoid` (where better rows exist), `warn`, `info`.", False),
    _text("sentence", "What is wrong.", False),
    _text("remedy", "What to do.", False),
    _real("value", "Value found."),
    _real("bound", "Bound broken."),
    UniqueConstraint("subject", "subject_id", "rule", "rule_version"),
    comment="Derived: a rule that a fact broke.",
)

summary = Table(
    "summary",
    metadata,
    _id(),
    _key("configuration_key", "configuration.key", "The stack."),
    _key("environment_key", "environment.key", "The machine."),
    _text("phase", "Phase.", False),
    *_workload(),
    _text("role", "`fit` or `heldout`: the part it plays in the fit.", False),
    _text("provenance", "`measured`.", False),
    _text("profile", "Protocol level that the point met; never above the lowest asked.", False),
    _text("profile_reason", "Why it is not the level asked for, and what else to know; or NULL."),
    _int("n_runs", "Runs.", False),
    _int("n_processes", "Processes.", False),
    _int("n_windows", "Windows used.", False),
    _int("n_excluded", "Windows left out by a finding.", False),
    _real("runtime_s", "Median seconds of one iteration.", False),
    _real("runtime_low_s", "Lower 95 % bound."),
    _real("runtime_high_s", "Upper 95 % bound."),
    _text("runtime_interval", "How the bounds were made."),
    _real("runtime_mad_s", "Median absolute deviation."),
    _real("runtime_p5_s", "5th percentile of windows."),
    _real("runtime_p95_s", "95th percentile of windows."),
    _real("between_process_rel", "Spread of process medians over the median."),
    _real("tokens_per_iteration", "Work units of one iteration."),
    _real("tokens_per_s", "Work units per second."),
    _real("energy_j", "Median joules of one iteration inside `energy_boundary`."),
    _real("energy_low_j", "Lower 95 % bound."),
    _real("energy_high_j", "Upper 95 % bound."),
    _real("energy_device_j", "Of it, the devices used."),
    _real("energy_host_j", "Of it, CPU and DRAM."),
    _real("energy_idle_devices_j", "Beside it, devices not used."),
    _real("energy_per_token_j", "Joules per work unit."),
    _real("power_w", "Mean power inside the boundary."),
    _text("energy_boundary", "What the joules cover."),
    _text("energy_method", "By what means."),
    _text("energy_provenance", "`measured` or `estimated`."),
    _text("energy_reason", "Why there is no energy."),
    _int("peak_memory_bytes", "Largest peak of the windows."),
    _real("roofline_s", "Lower bound from FLOPs, bytes and the machine's peaks."),
    _text("roofline_bound", "What bounds it: `compute`, `memory`, `communication`."),
    _text("roofline_hardware", "Peaks used: a catalogue row, or measured here."),
    _real("mfu", "Model FLOPs utilisation."),
    _real("mbu", "Model bandwidth utilisation."),
    Index("ix_summary_configuration", "configuration_key", "environment_key", "phase"),
    comment="Derived: what dashboards read.",
)

fit = Table(
    "fit",
    metadata,
    _id(),
    _key("configuration_key", "configuration.key", "The stack."),
    _key("environment_key", "environment.key", "The machine."),
    _text("quantity", "`runtime_s`, `energy_device_j`, `energy_cpu_j` or `energy_dram_j`.", False),
    _text("recipe", "Recipe by name.", False),
    _text("recipe_version", "Its version.", False),
    _text("data_hash", "Hash of the observations used.", False),
    Column("parameters", JSON, nullable=False, comment="The fit as `Fit.to_json` gives it."),
    _real("mape", "Mean absolute relative error on the fitted points."),
    _real("p95_error", "95th percentile of it."),
    _real("max_error", "Largest of it."),
    _int("n_points", "Observations fitted.", False),
    _int("n_heldout", "Points held out.", False),
    _real("heldout_mean_error", "Mean relative error on them."),
    _real("heldout_median_error", "Median relative error on them."),
    _real("heldout_p90_error", "90th percentile of it."),
    _real("heldout_max_error", "Largest of it."),
    _real("between_process_rel", "Median over points of the spread between processes."),
    _real("device_s", "Device seconds spent on the fitted points."),
    _int("prompt_min", "Smallest p measured."),
    _int("prompt_max", "Largest p measured."),
    _int("output_max", "Largest o covered."),
    _int("batch_min", "Smallest B measured."),
    _int("batch_max", "Largest B measured."),
    _int("context_max", "Longest context covered."),
    _text("energy_boundary", "What the joules cover; NULL for a runtime."),
    _text("energy_method", "By what means; NULL for a runtime."),
    _text("energy_provenance", "`measured` or `estimated`; NULL for a runtime."),
    UniqueConstraint("configuration_key", "environment_key", "quantity", "recipe", "data_hash"),
    comment="Derived: an idealized runtime (or energy) with its errors and ranges.",
)

factor = Table(
    "factor",
    metadata,
    Column("id", Text, primary_key=True, comment="Identity in the registry."),
    Column("edition", Text, primary_key=True, comment="Edition of the registry."),
    _text("zone", "Zone, or NULL for factors without one."),
    _text("kind", "What it is.", False),
    _real("value", "Value.", False),
    _real("low", "5th percentile."),
    _real("high", "95th percentile."),
    _text("distribution", "Distribution."),
    _text("unit", "Unit.", False),
    _text("year", "Year of the data."),
    _text("source", "Where the number was read.", False),
    _text("licence", "Licence."),
    _text("verified", "Whether the value was read in a document."),
    comment="One number of the footprint registry.",
)

estimate = Table(
    "estimate",
    metadata,
    _id(),
    _key("configuration_key", "configuration.key", "The stack."),
    _key("environment_key", "environment.key", "The machine."),
    *_workload(),
    _text("zone", "Zone of the grid.", False),
    _text("boundary", "What the joules cover.", False),
    _text("scenario_hash", "Hash of the scenario.", False),
    Column("scenario", JSON, nullable=False, comment="The scenario."),
    _text("edition", "Edition of the factors.", False),
    _text("bill", "`runtime_s`, `energy_wh`, `co2e_g`, `water_l`, `cost_usd`, …", False),
    _real("low", "5th percentile."),
    _real("mid", "Median; NULL is missing."),
    _real("high", "95th percentile."),
    _text("reason", "Why it is missing."),
    _text("method", "How the energy was obtained."),
    _text("provenance", "`measured`, `modelled`, `estimated`.", False),
    Column("extrapolated", Integer, nullable=False, comment="1 outside the measured range."),
    Column("factors", JSON, nullable=False, comment="Factor ids used."),
    _text("kind", "Kind of carbon intensity; NULL for a runtime, or where it was stated."),
    UniqueConstraint(
        "configuration_key", "environment_key", "prompt_tokens", "output_tokens", "batch",
        "scenario_hash", "edition", "bill", name="uq_estimate",
    ),
    comment="Derived, kept: one bill of a request under a scenario and an edition.",
)  # fmt: skip

capability = Table(
    "capability",
    metadata,
    _id(),
    _text("model_name", "Normalised model name.", False),
    _text("lane", "The full protocol of the score.", False),
    _text("benchmark", "Benchmark.", False),
    _text("metric", "Metric.", False),
    _real("score", "Score in `unit`.", False),
    _text("unit", "Unit.", False),
    _real("stderr", "Standard error."),
    _real("ci_low", "Lower bound."),
    _real("ci_high", "Upper bound."),
    _text("shots", "Shots."),
    _text("precision", "Number format of the scored model."),
    _text("harness", "Harness and version."),
    _text("source", "Where it was read.", False),
    _text("licence", "Licence.", False),
    _text("date", "Date."),
    Column("extra", JSON, nullable=False, comment="Other fields."),
    UniqueConstraint("model_name", "lane", "source"),
    comment="Fact: one score in one lane.",
)

calibration = Table(
    "calibration",
    metadata,
    Column("id", Text, primary_key=True, comment="Content hash of the record."),
    _text("device", "Device, as the catalogue names it, or the machine's own.", False),
    _text("recipe", "`single-stream` or `server`.", False),
    _int("version", "Version of the recipes.", False),
    _int("n_rows", "Rows it learned from.", False),
    _int("n_models", "Models among them, held out one at a time.", False),
    _real("mean_error", "Mean over models of the held-out error of time.", False),
    _text("source", "Where the rows come from.", False),
    Column("record", JSON, nullable=False, comment="Parameters, errors and spreads, whole."),
    comment="Derived, kept: a roofline calibrated on rows of a device.",
)
