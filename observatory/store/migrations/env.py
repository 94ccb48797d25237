"""Alembic's entry: runs migrations on the connection that the store hands over."""

from alembic import context

from observatory.store.schema import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("migrations run through observatory.store.database.open_database")
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
