"""The public SQL interface: documented views that stay stable while tables may change.

They are made again after every migration. Column order is for a stranger with a SQL prompt: what,
on what, how long, how many joules, how sure.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

VIEWS: dict[str, str] = {
    "v_summary": """
        SELECT m.name AS model, s.phase, s.prompt_tokens, s.context_tokens, s.output_tokens,
               s.batch, s.runtime_s, s.runtime_low_s, s.runtime_high_s, s.tokens_per_s,
               s.energy_j, s.energy_low_j, s.energy_high_j, s.energy_per_token_j, s.power_w,
               s.energy_boundary, s.energy_method, s.energy_provenance, s.energy_reason,
               s.peak_memory_bytes, s.roofline_s, s.roofline_bound, s.mfu, s.mbu,
               s.n_runs, s.n_processes, s.n_windows, s.n_excluded, s.between_process_rel,
               s.role, s.profile, s.profile_reason, s.provenance,
               c.weights, c.device_kind AS device, c.device_count, c.dtype, c.quantization,
               c.attention, c.kv_cache, c.compile_mode, c.threads, c.backend, c.backend_version,
               s.configuration_key, s.environment_key
        FROM summary s
        JOIN configuration c ON c.key = s.configuration_key
        JOIN model m ON m.key = c.model_key
    """,
    "v_phase_energy": """
        SELECT m.name AS model, s.phase, s.prompt_tokens, s.context_tokens, s.batch,
               CASE WHEN s.phase = 'prefill' THEN s.energy_per_token_j END
                   AS energy_per_prompt_token_j,
               CASE WHEN s.phase = 'decode' THEN s.energy_per_token_j END
                   AS energy_per_output_token_j,
               s.power_w, s.energy_boundary, s.energy_method, s.energy_provenance,
               s.energy_reason, s.profile, s.profile_reason, s.n_processes, s.n_windows,
               c.device_kind AS device, c.dtype, c.compile_mode, c.kv_cache,
               s.configuration_key, s.environment_key
        FROM summary s
        JOIN configuration c ON c.key = s.configuration_key
        JOIN model m ON m.key = c.model_key
        WHERE s.phase IN ('prefill', 'decode')
    """,
    "v_footprint": """
        SELECT m.name AS model, e.prompt_tokens, e.output_tokens, e.batch, e.zone, e.boundary,
               e.bill, e.low, e.mid, e.high, e.reason, e.method, e.provenance, e.extrapolated,
               e.edition, e.kind, c.device_kind AS device, c.device_count, c.dtype, c.threads,
               e.scenario_hash, e.configuration_key, e.environment_key
        FROM estimate e
        JOIN configuration c ON c.key = e.configuration_key
        JOIN model m ON m.key = c.model_key
    """,
    "v_findings": """
        SELECT f.rule, f.severity, f.sentence, f.remedy, f.value, f.bound, f.subject,
               f.subject_id, f.rule_version
        FROM finding f
    """,
    "v_capability": """
        SELECT model_name AS model, lane, benchmark, metric, score, unit, stderr, ci_low, ci_high,
               shots, precision, harness, source, licence, date
        FROM capability
    """,
}


def drop_views(connection: Connection) -> None:
    """Drop every view of ours that exists."""
    for name in VIEWS:
        connection.execute(text(f"DROP VIEW IF EXISTS {name}"))


def create_views(connection: Connection) -> None:
    """Make every view; none may exist."""
    for name, query in VIEWS.items():
        connection.execute(text(f"CREATE VIEW {name} AS {query}"))
