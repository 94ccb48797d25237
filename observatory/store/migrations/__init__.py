"""Numbered migrations (Alembic). `observatory.store.database` runs them; nobody else."""
