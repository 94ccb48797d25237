"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "capability",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="Row number in this database.",
        ),
        sa.Column("model_name", sa.Text(), nullable=False, comment="Normalised model name."),
        sa.Column("lane", sa.Text(), nullable=False, comment="The full protocol of the score."),
        sa.Column("benchmark", sa.Text(), nullable=False, comment="Benchmark."),
        sa.Column("metric", sa.Text(), nullable=False, comment="Metric."),
        sa.Column("score", sa.Float(precision=53), nullable=False, comment="Score in `unit`."),
        sa.Column("unit", sa.Text(), nullable=False, comment="Unit."),
        sa.Column("stderr", sa.Float(precision=53), nullable=True, comment="Standard error."),
        sa.Column("ci_low", sa.Float(precision=53), nullable=True, comment="Lower bound."),
        sa.Column("ci_high", sa.Float(precision=53), nullable=True, comment="Upper bound."),
        sa.Column("shots", sa.Text(), nullable=True, comment="Shots."),
        sa.Column(
            "precision", sa.Text(), nullable=True, comment="Number format of the scored model."
        ),
        sa.Column("harness", sa.Text(), nullable=True, comment="Harness and version."),
        sa.Column("source", sa.Text(), nullable=False, comment="Where it was read."),
        sa.Column("licence", sa.Text(), nullable=False, comment="Licence."),
        sa.Column("date", sa.Text(), nullable=True, comment="Date."),
        sa.Column("extra", sa.JSON(), nullable=False, comment="Other fields."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capability")),
        sa.UniqueConstraint(
            "model_name", "lane", "source", name=op.f("uq_capability_model_name_lane_source")
        ),
        comment="Fact: one score in one lane.",
    )
    op.create_table(
        "environment",
        sa.Column("key", sa.Text(), nullable=False, comment="Content hash of the row."),
        sa.Column(
            "cpu_model", sa.Text(), nullable=False, comment="Processor as the system names it."
        ),
        sa.Column("cpu_physical_cores", sa.BigInteger(), nullable=True, comment="Physical cores."),
        sa.Column("cpu_logical_cores", sa.BigInteger(), nullable=False, comment="Logical cores."),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False, comment="Main memory."),
        sa.Column(
            "operating_system", sa.Text(), nullable=False, comment="Distribution or system name."
        ),
        sa.Column("kernel", sa.Text(), nullable=False, comment="Kernel release."),
        sa.Column("python", sa.Text(), nullable=False, comment="Python version."),
        sa.Column("libraries", sa.JSON(), nullable=False, comment="Library -> version."),
        sa.Column(
            "devices", sa.JSON(), nullable=False, comment="Accelerators with UUID, driver, limits."
        ),
        sa.Column(
            "virtualised",
            sa.Integer(),
            nullable=True,
            comment="1 in a virtual machine, 0 on metal, NULL unknown.",
        ),
        sa.Column(
            "cpu_governor",
            sa.Text(),
            nullable=True,
            comment="Frequency governor; NULL where the system shows none.",
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_environment")),
        comment="A machine as probed.",
    )
    op.create_table(
        "factor",
        sa.Column("id", sa.Text(), nullable=False, comment="Identity in the registry."),
        sa.Column("edition", sa.Text(), nullable=False, comment="Edition of the registry."),
        sa.Column(
            "zone", sa.Text(), nullable=True, comment="Zone, or NULL for factors without one."
        ),
        sa.Column("kind", sa.Text(), nullable=False, comment="What it is."),
        sa.Column("value", sa.Float(precision=53), nullable=False, comment="Value."),
        sa.Column("low", sa.Float(precision=53), nullable=True, comment="5th percentile."),
        sa.Column("high", sa.Float(precision=53), nullable=True, comment="95th percentile."),
        sa.Column("distribution", sa.Text(), nullable=True, comment="Distribution."),
        sa.Column("unit", sa.Text(), nullable=False, comment="Unit."),
        sa.Column("year", sa.Text(), nullable=True, comment="Year of the data."),
        sa.Column("source", sa.Text(), nullable=False, comment="Where the number was read."),
        sa.Column("licence", sa.Text(), nullable=True, comment="Licence."),
        sa.Column(
            "verified",
            sa.Text(),
            nullable=True,
            comment="Whether the value was read in a document.",
        ),
        sa.PrimaryKeyConstraint("id", "edition", name=op.f("pk_factor")),
        comment="One number of the footprint registry.",
    )
    op.create_table(
        "finding",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="Row number in this database.",
        ),
        sa.Column("subject", sa.Text(), nullable=False, comment="`window`, `cell` or `reported`."),
        sa.Column("subject_id", sa.BigInteger(), nullable=False, comment="Row of that table."),
        sa.Column("rule", sa.Text(), nullable=False, comment="Rule code."),
        sa.Column("rule_version", sa.BigInteger(), nullable=False, comment="Version of the rule."),
        sa.Column(
            "severity",
            sa.Text(),
            nullable=False,
            comment="`exclude`, `avoid` (where better rows exist), `warn`, `info`.",
        ),
        sa.Column("sentence", sa.Text(), nullable=False, comment="What is wrong."),
        sa.Column("remedy", sa.Text(), nullable=False, comment="What to do."),
        sa.Column("value", sa.Float(precision=53), nullable=True, comment="Value found."),
        sa.Column("bound", sa.Float(precision=53), nullable=True, comment="Bound broken."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
        sa.UniqueConstraint(
            "subject",
            "subject_id",
            "rule",
            "rule_version",
            name=op.f("uq_finding_subject_subject_id_rule_rule_version"),
        ),
        comment="Derived: a rule that a fact broke.",
    )
    op.create_table(
        "model",
        sa.Column("key", sa.Text(), nullable=False, comment="Content hash of name and revision."),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="Name in the catalogue, or of the folder or hub id.",
        ),
        sa.Column(
            "revision", sa.Text(), nullable=False, comment="Hash of the configuration facts."
        ),
        sa.Column("model_type", sa.Text(), nullable=False, comment="Architecture family."),
        sa.Column("config", sa.JSON(), nullable=False, comment="Configuration facts."),
        sa.Column("parameters", sa.BigInteger(), nullable=False, comment="All parameters."),
        sa.Column(
            "active_parameters",
            sa.BigInteger(),
            nullable=False,
            comment="Parameters that one token meets.",
        ),
        sa.Column(
            "active_matmul_parameters",
            sa.BigInteger(),
            nullable=False,
            comment="Matrix weights that one token meets, and the head.",
        ),
        sa.Column(
            "kv_elements_per_token",
            sa.BigInteger(),
            nullable=False,
            comment="Elements a token adds to the KV cache.",
        ),
        sa.Column(
            "source", sa.Text(), nullable=False, comment="Where the configuration comes from."
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_model")),
        sa.UniqueConstraint("name", "revision", name=op.f("uq_model_name_revision")),
        comment="An architecture with its exact counts.",
    )
    op.create_table(
        "source",
        sa.Column("key", sa.Text(), nullable=False, comment="SHA-256 of the file's bytes."),
        sa.Column("name", sa.Text(), nullable=False, comment="File name as given."),
        sa.Column("tool", sa.Text(), nullable=False, comment="What wrote it."),
        sa.Column("tool_version", sa.Text(), nullable=True, comment="Its version."),
        sa.Column("licence", sa.Text(), nullable=True, comment="Licence of the data."),
        sa.Column("url", sa.Text(), nullable=True, comment="Where it was published."),
        sa.Column("retrieved_utc", sa.Text(), nullable=False, comment="When it was fetched."),
        sa.Column("imported_utc", sa.Text(), nullable=False, comment="When it was imported."),
        sa.Column("rows_read", sa.BigInteger(), nullable=False, comment="Rows read."),
        sa.Column("rows_stored", sa.BigInteger(), nullable=False, comment="Rows stored."),
        sa.Column("rows_rejected", sa.BigInteger(), nullable=False, comment="Rows rejected."),
        sa.Column(
            "notes", sa.JSON(), nullable=False, comment="Reasons of rejected rows, and the like."
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_source")),
        comment="Provenance of rows that somebody else measured.",
    )
    op.create_table(
        "configuration",
        sa.Column("key", sa.Text(), nullable=False, comment="Content hash of the row."),
        sa.Column("model_key", sa.Text(), nullable=False, comment="The architecture."),
        sa.Column(
            "weights", sa.Text(), nullable=False, comment="`random_weights` or `checkpoint`."
        ),
        sa.Column("backend", sa.Text(), nullable=False, comment="What ran the model."),
        sa.Column("backend_version", sa.Text(), nullable=False, comment="Versions of the stack."),
        sa.Column("device_kind", sa.Text(), nullable=False, comment="Device name."),
        sa.Column("device_count", sa.BigInteger(), nullable=False, comment="Devices used."),
        sa.Column(
            "dtype", sa.Text(), nullable=False, comment="Number format of weights and activations."
        ),
        sa.Column("attention", sa.Text(), nullable=False, comment="Attention kernel."),
        sa.Column("kv_cache", sa.Text(), nullable=False, comment="`dynamic` or `static`."),
        sa.Column(
            "compile_mode", sa.Text(), nullable=False, comment="`eager`, `compile`, `cuda_graph`."
        ),
        sa.Column(
            "threads",
            sa.BigInteger(),
            nullable=True,
            comment="CPU threads; NULL where they do not matter.",
        ),
        sa.Column(
            "quantization", sa.Text(), nullable=False, comment="Quantization scheme, or `none`."
        ),
        sa.Column(
            "tensor_parallel", sa.BigInteger(), nullable=False, comment="Tensor-parallel size."
        ),
        sa.Column(
            "technique", sa.Text(), nullable=False, comment="`plain`, speculative decoding, …"
        ),
        sa.Column(
            "layer_scale",
            sa.Float(precision=53),
            nullable=False,
            comment="Factor from the profiled layers to the whole model.",
        ),
        sa.ForeignKeyConstraint(
            ["model_key"], ["model.key"], name=op.f("fk_configuration_model_key")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_configuration")),
        comment="Everything that must be equal for two rows to be repeats.",
    )
    op.create_table(
        "reported",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="Row number in this database.",
        ),
        sa.Column("source_key", sa.Text(), nullable=False, comment="The file."),
        sa.Column("row", sa.Text(), nullable=False, comment="Identity inside the file."),
        sa.Column("model_name", sa.Text(), nullable=False, comment="Model as the source names it."),
        sa.Column("phase", sa.Text(), nullable=False, comment="Phase."),
        sa.Column(
            "quantity", sa.Text(), nullable=False, comment="`runtime_s`, `energy_j`, `power_w`, …"
        ),
        sa.Column(
            "value", sa.Float(precision=53), nullable=True, comment="In SI; NULL is missing."
        ),
        sa.Column("unit", sa.Text(), nullable=False, comment="Unit of `value`."),
        sa.Column("work_unit", sa.Text(), nullable=False, comment="`token`, `image`, …"),
        sa.Column("per", sa.Text(), nullable=False, comment="What the value is per."),
        sa.Column(
            "prompt_tokens", sa.Float(precision=53), nullable=True, comment="p; NULL unknown."
        ),
        sa.Column(
            "output_tokens", sa.Float(precision=53), nullable=True, comment="o; NULL unknown."
        ),
        sa.Column("batch", sa.Float(precision=53), nullable=True, comment="B; NULL unknown."),
        sa.Column(
            "device_kind", sa.Text(), nullable=True, comment="Device as the source names it."
        ),
        sa.Column("device_count", sa.BigInteger(), nullable=True, comment="Devices."),
        sa.Column("dtype", sa.Text(), nullable=True, comment="Number format."),
        sa.Column("quantization", sa.Text(), nullable=True, comment="Quantization."),
        sa.Column("backend", sa.Text(), nullable=True, comment="Software."),
        sa.Column("boundary", sa.Text(), nullable=True, comment="What the joules cover."),
        sa.Column("method", sa.Text(), nullable=True, comment="By what means."),
        sa.Column(
            "std", sa.Float(precision=53), nullable=True, comment="Standard deviation as reported."
        ),
        sa.Column("n", sa.BigInteger(), nullable=True, comment="Repeats behind it."),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why `value` is missing."),
        sa.Column("extra", sa.JSON(), nullable=False, comment="Other fields of the row."),
        sa.ForeignKeyConstraint(
            ["source_key"], ["source.key"], name=op.f("fk_reported_source_key")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reported")),
        sa.UniqueConstraint(
            "source_key", "row", "quantity", name=op.f("uq_reported_source_key_row_quantity")
        ),
        comment="Fact: one value of somebody else's results.",
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Text(), nullable=False, comment="Time-ordered identity."),
        sa.Column("command", sa.Text(), nullable=False, comment="Command line."),
        sa.Column("plan_hash", sa.Text(), nullable=False, comment="Content hash of the plan."),
        sa.Column(
            "plan", sa.JSON(), nullable=False, comment="The plan, so that a run can be resumed."
        ),
        sa.Column(
            "code_version",
            sa.Text(),
            nullable=False,
            comment="Version of this package (and commit, where known).",
        ),
        sa.Column("environment_key", sa.Text(), nullable=False, comment="The machine."),
        sa.Column(
            "profile", sa.Text(), nullable=False, comment="`quick`, `standard` or `publishable`."
        ),
        sa.Column(
            "seed", sa.BigInteger(), nullable=False, comment="Seed of order, weights and prompts."
        ),
        sa.Column("started_utc", sa.Text(), nullable=False, comment="ISO 8601."),
        sa.Column(
            "ended_utc",
            sa.Text(),
            nullable=True,
            comment="ISO 8601; NULL while running or when killed.",
        ),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="`running`, `done`, `done_with_failures`, `interrupted`.",
        ),
        sa.Column(
            "sensor", sa.Text(), nullable=True, comment="Sensor that saw the joules; NULL for none."
        ),
        sa.Column(
            "sensor_reason",
            sa.Text(),
            nullable=True,
            comment="Why there is no energy, where there is none.",
        ),
        sa.Column(
            "sampler_cpu_share",
            sa.Float(precision=53),
            nullable=True,
            comment="CPU seconds of the sampler per wall second.",
        ),
        sa.Column(
            "notes",
            sa.JSON(),
            nullable=False,
            comment="Facts of the run: tick, idle power, limits.",
        ),
        sa.ForeignKeyConstraint(
            ["environment_key"], ["environment.key"], name=op.f("fk_run_environment_key")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        comment="One invocation.",
    )
    op.create_table(
        "cell",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="Row number in this database.",
        ),
        sa.Column("run_id", sa.Text(), nullable=False, comment="The run."),
        sa.Column("plan_key", sa.Text(), nullable=False, comment="Identity inside the run."),
        sa.Column("configuration_key", sa.Text(), nullable=False, comment="The stack."),
        sa.Column(
            "phase",
            sa.Text(),
            nullable=False,
            comment="`prefill`, `decode`, `e2e`, `serving`, `idle`, `anchor`.",
        ),
        sa.Column(
            "prompt_tokens",
            sa.BigInteger(),
            nullable=True,
            comment="Prompt tokens p of one sequence; NULL for decode or unknown.",
        ),
        sa.Column(
            "output_tokens",
            sa.BigInteger(),
            nullable=True,
            comment="Output tokens o; in the decode phase the steps of one iteration.",
        ),
        sa.Column(
            "context_tokens",
            sa.BigInteger(),
            nullable=True,
            comment="Tokens in the KV cache before the first step (decode only).",
        ),
        sa.Column(
            "batch", sa.BigInteger(), nullable=False, comment="Sequences B computed together."
        ),
        sa.Column("role", sa.Text(), nullable=False, comment="`fit`, `heldout`, `anchor`, `idle`."),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="`planned`, `ok`, `oom`, `timeout`, `crashed`, `refused`, `lost`.",
        ),
        sa.Column(
            "error", sa.Text(), nullable=True, comment="One line, where the status is not `ok`."
        ),
        sa.Column(
            "expected_s",
            sa.Float(precision=53),
            nullable=True,
            comment="Seconds that the plan foresaw.",
        ),
        sa.Column(
            "position", sa.BigInteger(), nullable=False, comment="Place in the shuffled order."
        ),
        sa.CheckConstraint("batch > 0", name=op.f("ck_cell_batch_positive")),
        sa.ForeignKeyConstraint(
            ["configuration_key"], ["configuration.key"], name=op.f("fk_cell_configuration_key")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_cell_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cell")),
        sa.UniqueConstraint("run_id", "plan_key", name=op.f("uq_cell_run_id_plan_key")),
        comment="Configuration × workload in a run.",
    )
    op.create_index("ix_cell_configuration", "cell", ["configuration_key", "phase"], unique=False)
    op.create_table(
        "estimate",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="Row number in this database.",
        ),
        sa.Column("configuration_key", sa.Text(), nullable=False, comment="The stack."),
        sa.Column("environment_key", sa.Text(), nullable=False, comment="The machine."),
        sa.Column(
            "prompt_tokens",
            sa.BigInteger(),
            nullable=True,
            comment="Prompt tokens p of one sequence; NULL for decode or unknown.",
        ),
        sa.Column(
            "output_tokens",
            sa.BigInteger(),
            nullable=True,
            comment="Output tokens o; in the decode phase the steps of one iteration.",
        ),
        sa.Column(
            "context_tokens",
            sa.BigInteger(),
            nullable=True,
            comment="Tokens in the KV cache before the first step (decode only).",
        ),
        sa.Column(
            "batch", sa.BigInteger(), nullable=False, comment="Sequences B computed together."
        ),
        sa.Column("zone", sa.Text(), nullable=False, comment="Zone of the grid."),
        sa.Column("boundary", sa.Text(), nullable=False, comment="What the joules cover."),
        sa.Column("scenario_hash", sa.Text(), nullable=False, comment="Hash of the scenario."),
        sa.Column("scenario", sa.JSON(), nullable=False, comment="The scenario."),
        sa.Column("edition", sa.Text(), nullable=False, comment="Edition of the factors."),
        sa.Column(
            "bill",
            sa.Text(),
            nullable=False,
            comment="`runtime_s`, `energy_wh`, `co2e_g`, `water_l`, `cost_usd`, …",
        ),
        sa.Column("low", sa.Float(precision=53), nullable=True, comment="5th percentile."),
        sa.Column("mid", sa.Float(precision=53), nullable=True, comment="Median; NULL is missing."),
        sa.Column("high", sa.Float(precision=53), nullable=True, comment="95th percentile."),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why it is missing."),
        sa.Column("method", sa.Text(), nullable=True, comment="How the energy was obtained."),
        sa.Column(
            "provenance", sa.Text(), nullable=False, comment="`measured`, `modelled`, `estimated`."
        ),
        sa.Column(
            "extrapolated", sa.Integer(), nullable=False, comment="1 outside the measured range."
        ),
        sa.Column("factors", sa.JSON(), nullable=False, comment="Factor ids used."),
        sa.ForeignKeyConstraint(
            ["configuration_key"], ["configuration.key"], name=op.f("fk_estimate_configuration_key")
        ),
        sa.ForeignKeyConstraint(
            ["environment_key"], ["environment.key"], name=op.f("fk_estimate_environment_key")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_estimate")),
        sa.UniqueConstraint(
            "configuration_key",
            "environment_key",
            "prompt_tokens",
            "output_tokens",
            "batch",
            "scenario_hash",
            "edition",
            "bill",
            name="uq_estimate",
        ),
        comment="Derived, kept: one bill of a request under a scenario and an edition.",
    )
    op.create_table(
        "fit",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="Row number in this database.",
        ),
        sa.Column("configuration_key", sa.Text(), nullable=False, comment="The stack."),
        sa.Column("environment_key", sa.Text(), nullable=False, comment="The machine."),
        sa.Column(
            "quantity",
            sa.Text(),
            nullable=False,
            comment="`runtime_s`, `energy_device_j`, `energy_cpu_j` or `energy_dram_j`.",
        ),
        sa.Column("recipe", sa.Text(), nullable=False, comment="Recipe by name."),
        sa.Column("recipe_version", sa.Text(), nullable=False, comment="Its version."),
        sa.Column("data_hash", sa.Text(), nullable=False, comment="Hash of the observations used."),
        sa.Column(
            "parameters", sa.JSON(), nullable=False, comment="The fit as `Fit.to_json` gives it."
        ),
        sa.Column(
            "mape",
            sa.Float(precision=53),
            nullable=True,
            comment="Mean absolute relative error on the fitted points.",
        ),
        sa.Column(
            "p95_error", sa.Float(precision=53), nullable=True, comment="95th percentile of it."
        ),
        sa.Column("max_error", sa.Float(precision=53), nullable=True, comment="Largest of it."),
        sa.Column("n_points", sa.BigInteger(), nullable=False, comment="Observations fitted."),
        sa.Column("n_heldout", sa.BigInteger(), nullable=False, comment="Points held out."),
        sa.Column(
            "heldout_median_error",
            sa.Float(precision=53),
            nullable=True,
            comment="Median relative error on them.",
        ),
        sa.Column(
            "heldout_p90_error",
            sa.Float(precision=53),
            nullable=True,
            comment="90th percentile of it.",
        ),
        sa.Column(
            "heldout_max_error", sa.Float(precision=53), nullable=True, comment="Largest of it."
        ),
        sa.Column(
            "between_process_rel",
            sa.Float(precision=53),
            nullable=True,
            comment="Median over points of the spread between processes.",
        ),
        sa.Column(
            "device_s",
            sa.Float(precision=53),
            nullable=True,
            comment="Device seconds spent on the fitted points.",
        ),
        sa.Column("prompt_min", sa.BigInteger(), nullable=True, comment="Smallest p measured."),
        sa.Column("prompt_max", sa.BigInteger(), nullable=True, comment="Largest p measured."),
        sa.Column("output_max", sa.BigInteger(), nullable=True, comment="Largest o covered."),
        sa.Column("batch_min", sa.BigInteger(), nullable=True, comment="Smallest B measured."),
        sa.Column("batch_max", sa.BigInteger(), nullable=True, comment="Largest B measured."),
        sa.Column(
            "context_max", sa.BigInteger(), nullable=True, comment="Longest context covered."
        ),
        sa.Column(
            "energy_boundary",
            sa.Text(),
            nullable=True,
            comment="What the joules cover; NULL for a runtime.",
        ),
        sa.Column(
            "energy_method", sa.Text(), nullable=True, comment="By what means; NULL for a runtime."
        ),
        sa.Column(
            "energy_provenance",
            sa.Text(),
            nullable=True,
            comment="`measured` or `estimated`; NULL for a runtime.",
        ),
        sa.ForeignKeyConstraint(
            ["configuration_key"], ["configuration.key"], name=op.f("fk_fit_configuration_key")
        ),
        sa.ForeignKeyConstraint(
            ["environment_key"], ["environment.key"], name=op.f("fk_fit_environment_key")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fit")),
        sa.UniqueConstraint(
            "configuration_key",
            "environment_key",
            "quantity",
            "recipe",
            "data_hash",
            name=op.f("uq_fit_configuration_key_environment_key_quantity_recipe_data_hash"),
        ),
        comment="Derived: an idealized runtime (or energy) with its errors and ranges.",
    )
    op.create_table(
        "peak",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="Row number in this database.",
        ),
        sa.Column("run_id", sa.Text(), nullable=False, comment="The run."),
        sa.Column("device", sa.Text(), nullable=False, comment="Device name."),
        sa.Column(
            "quantity",
            sa.Text(),
            nullable=False,
            comment="`matmul_flops_per_s` or `bandwidth_bytes_per_s`.",
        ),
        sa.Column("dtype", sa.Text(), nullable=False, comment="Number format."),
        sa.Column("threads", sa.BigInteger(), nullable=True, comment="CPU threads."),
        sa.Column(
            "value",
            sa.Float(precision=53),
            nullable=False,
            comment="In the unit that the quantity names.",
        ),
        sa.Column("method", sa.Text(), nullable=False, comment="Kernel and size."),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_peak_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_peak")),
        sa.UniqueConstraint(
            "run_id",
            "device",
            "quantity",
            "dtype",
            name=op.f("uq_peak_run_id_device_quantity_dtype"),
        ),
        comment="Fact: a ceiling of the machine measured in a run.",
    )
    op.create_table(
        "summary",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="Row number in this database.",
        ),
        sa.Column("configuration_key", sa.Text(), nullable=False, comment="The stack."),
        sa.Column("environment_key", sa.Text(), nullable=False, comment="The machine."),
        sa.Column("phase", sa.Text(), nullable=False, comment="Phase."),
        sa.Column(
            "prompt_tokens",
            sa.BigInteger(),
            nullable=True,
            comment="Prompt tokens p of one sequence; NULL for decode or unknown.",
        ),
        sa.Column(
            "output_tokens",
            sa.BigInteger(),
            nullable=True,
            comment="Output tokens o; in the decode phase the steps of one iteration.",
        ),
        sa.Column(
            "context_tokens",
            sa.BigInteger(),
            nullable=True,
            comment="Tokens in the KV cache before the first step (decode only).",
        ),
        sa.Column(
            "batch", sa.BigInteger(), nullable=False, comment="Sequences B computed together."
        ),
        sa.Column(
            "role",
            sa.Text(),
            nullable=False,
            comment="`fit` or `heldout`: the part it plays in the fit.",
        ),
        sa.Column("provenance", sa.Text(), nullable=False, comment="`measured`."),
        sa.Column(
            "profile", sa.Text(), nullable=False, comment="Protocol level; the lowest of the runs."
        ),
        sa.Column("n_runs", sa.BigInteger(), nullable=False, comment="Runs."),
        sa.Column("n_processes", sa.BigInteger(), nullable=False, comment="Processes."),
        sa.Column("n_windows", sa.BigInteger(), nullable=False, comment="Windows used."),
        sa.Column(
            "n_excluded", sa.BigInteger(), nullable=False, comment="Windows left out by a finding."
        ),
        sa.Column(
            "runtime_s",
            sa.Float(precision=53),
            nullable=False,
            comment="Median seconds of one iteration.",
        ),
        sa.Column(
            "runtime_low_s", sa.Float(precision=53), nullable=True, comment="Lower 95 % bound."
        ),
        sa.Column(
            "runtime_high_s", sa.Float(precision=53), nullable=True, comment="Upper 95 % bound."
        ),
        sa.Column(
            "runtime_interval", sa.Text(), nullable=True, comment="How the bounds were made."
        ),
        sa.Column(
            "runtime_mad_s",
            sa.Float(precision=53),
            nullable=True,
            comment="Median absolute deviation.",
        ),
        sa.Column(
            "runtime_p5_s",
            sa.Float(precision=53),
            nullable=True,
            comment="5th percentile of windows.",
        ),
        sa.Column(
            "runtime_p95_s",
            sa.Float(precision=53),
            nullable=True,
            comment="95th percentile of windows.",
        ),
        sa.Column(
            "between_process_rel",
            sa.Float(precision=53),
            nullable=True,
            comment="Spread of process medians over the median.",
        ),
        sa.Column(
            "tokens_per_iteration",
            sa.Float(precision=53),
            nullable=True,
            comment="Work units of one iteration.",
        ),
        sa.Column(
            "tokens_per_s", sa.Float(precision=53), nullable=True, comment="Work units per second."
        ),
        sa.Column(
            "energy_j",
            sa.Float(precision=53),
            nullable=True,
            comment="Median joules of one iteration inside `energy_boundary`.",
        ),
        sa.Column(
            "energy_low_j", sa.Float(precision=53), nullable=True, comment="Lower 95 % bound."
        ),
        sa.Column(
            "energy_high_j", sa.Float(precision=53), nullable=True, comment="Upper 95 % bound."
        ),
        sa.Column(
            "energy_device_j",
            sa.Float(precision=53),
            nullable=True,
            comment="Of it, the devices used.",
        ),
        sa.Column(
            "energy_host_j", sa.Float(precision=53), nullable=True, comment="Of it, CPU and DRAM."
        ),
        sa.Column(
            "energy_idle_devices_j",
            sa.Float(precision=53),
            nullable=True,
            comment="Beside it, devices not used.",
        ),
        sa.Column(
            "energy_per_token_j",
            sa.Float(precision=53),
            nullable=True,
            comment="Joules per work unit.",
        ),
        sa.Column(
            "power_w",
            sa.Float(precision=53),
            nullable=True,
            comment="Mean power inside the boundary.",
        ),
        sa.Column("energy_boundary", sa.Text(), nullable=True, comment="What the joules cover."),
        sa.Column("energy_method", sa.Text(), nullable=True, comment="By what means."),
        sa.Column(
            "energy_provenance", sa.Text(), nullable=True, comment="`measured` or `estimated`."
        ),
        sa.Column("energy_reason", sa.Text(), nullable=True, comment="Why there is no energy."),
        sa.Column(
            "peak_memory_bytes",
            sa.BigInteger(),
            nullable=True,
            comment="Largest peak of the windows.",
        ),
        sa.Column(
            "roofline_s",
            sa.Float(precision=53),
            nullable=True,
            comment="Lower bound from FLOPs, bytes and the machine's peaks.",
        ),
        sa.Column(
            "roofline_bound",
            sa.Text(),
            nullable=True,
            comment="What bounds it: `compute`, `memory`, `communication`.",
        ),
        sa.Column(
            "roofline_hardware",
            sa.Text(),
            nullable=True,
            comment="Peaks used: a catalogue row, or measured here.",
        ),
        sa.Column("mfu", sa.Float(precision=53), nullable=True, comment="Model FLOPs utilisation."),
        sa.Column(
            "mbu", sa.Float(precision=53), nullable=True, comment="Model bandwidth utilisation."
        ),
        sa.ForeignKeyConstraint(
            ["configuration_key"], ["configuration.key"], name=op.f("fk_summary_configuration_key")
        ),
        sa.ForeignKeyConstraint(
            ["environment_key"], ["environment.key"], name=op.f("fk_summary_environment_key")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_summary")),
        comment="Derived: what dashboards read.",
    )
    op.create_index(
        "ix_summary_configuration",
        "summary",
        ["configuration_key", "environment_key", "phase"],
        unique=False,
    )
    op.create_table(
        "window",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="Row number in this database.",
        ),
        sa.Column(
            "cell_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="The cell.",
        ),
        sa.Column(
            "process_index",
            sa.BigInteger(),
            nullable=False,
            comment="Which process repeat of the run.",
        ),
        sa.Column(
            "window_index", sa.BigInteger(), nullable=False, comment="Which window of that process."
        ),
        sa.Column("process_id", sa.Text(), nullable=False, comment="Unique per measured process."),
        sa.Column(
            "iterations", sa.BigInteger(), nullable=False, comment="Equal iterations inside."
        ),
        sa.Column("duration_s", sa.Float(precision=53), nullable=False, comment="Wall time."),
        sa.Column("started_utc", sa.Text(), nullable=False, comment="ISO 8601."),
        sa.Column(
            "tokens", sa.BigInteger(), nullable=True, comment="Work units done in the whole window."
        ),
        sa.Column(
            "failed_iterations", sa.BigInteger(), nullable=False, comment="Iterations that failed."
        ),
        sa.Column(
            "window_target_s",
            sa.Float(precision=53),
            nullable=True,
            comment="Length that the profile asked for.",
        ),
        sa.Column(
            "energy_device_j",
            sa.Float(precision=53),
            nullable=True,
            comment="Joules of the devices used.",
        ),
        sa.Column(
            "energy_cpu_j",
            sa.Float(precision=53),
            nullable=True,
            comment="Joules of the CPU packages.",
        ),
        sa.Column(
            "energy_dram_j", sa.Float(precision=53), nullable=True, comment="Joules of DRAM."
        ),
        sa.Column(
            "energy_idle_devices_j",
            sa.Float(precision=53),
            nullable=True,
            comment="Joules of devices that were not used; in no other column.",
        ),
        sa.Column(
            "energy_method",
            sa.Text(),
            nullable=True,
            comment="`nvml_counter`, `nvml_power_integral`, `rapl`, `codecarbon`, …",
        ),
        sa.Column(
            "energy_provenance", sa.Text(), nullable=True, comment="`measured` or `estimated`."
        ),
        sa.Column("energy_boundary", sa.Text(), nullable=True, comment="`device` or `host`."),
        sa.Column("energy_reason", sa.Text(), nullable=True, comment="Why there is no energy."),
        sa.Column(
            "energy_integral_j",
            sa.Float(precision=53),
            nullable=True,
            comment="Trapezoid of power samples, to check the counter.",
        ),
        sa.Column(
            "energy_edge_bound_rel",
            sa.Float(precision=53),
            nullable=True,
            comment="Error bound from the sensor's tick.",
        ),
        sa.Column(
            "energy_systematic_rel",
            sa.Float(precision=53),
            nullable=True,
            comment="One standard deviation shared by a card's windows.",
        ),
        sa.Column("power_max_w", sa.Float(precision=53), nullable=True, comment="Largest sample."),
        sa.Column(
            "peak_memory_bytes",
            sa.BigInteger(),
            nullable=True,
            comment="Peak memory of device or process.",
        ),
        sa.Column(
            "cpu_time_s",
            sa.Float(precision=53),
            nullable=True,
            comment="CPU time of the measured process.",
        ),
        sa.Column(
            "cpu_share",
            sa.Float(precision=53),
            nullable=True,
            comment="CPU time / (wall × threads); below 0.95 a neighbour was busy.",
        ),
        sa.Column(
            "cpu_pressure",
            sa.Float(precision=53),
            nullable=True,
            comment="Share of the window in which a task waited for a CPU.",
        ),
        sa.Column("clock_mhz", sa.Float(precision=53), nullable=True, comment="Mean device clock."),
        sa.Column(
            "temperature_start_c", sa.Float(precision=53), nullable=True, comment="°C at the start."
        ),
        sa.Column(
            "temperature_end_c", sa.Float(precision=53), nullable=True, comment="°C at the end."
        ),
        sa.Column(
            "throttle_reasons", sa.Text(), nullable=True, comment="Reasons seen, comma separated."
        ),
        sa.Column(
            "utilisation",
            sa.Float(precision=53),
            nullable=True,
            comment="Mean device utilisation, 0 to 1.",
        ),
        sa.Column(
            "flags", sa.JSON(), nullable=False, comment="The sensor's and protocol's own flags."
        ),
        sa.CheckConstraint(
            "energy_reason IS NOT NULL OR energy_device_j IS NOT NULL OR energy_cpu_j IS NOT NULL OR energy_dram_j IS NOT NULL",
            name=op.f("ck_window_energy_or_reason"),
        ),
        sa.CheckConstraint("iterations > 0 AND duration_s > 0", name=op.f("ck_window_some_work")),
        sa.ForeignKeyConstraint(["cell_id"], ["cell.id"], name=op.f("fk_window_cell_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_window")),
        sa.UniqueConstraint(
            "cell_id",
            "process_index",
            "window_index",
            name=op.f("uq_window_cell_id_process_index_window_index"),
        ),
        comment="Fact: one measured window.",
    )
