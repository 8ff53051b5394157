"""Alembic's environment: migrations run on the connection, and in the transaction, that the gateway opened."""

from alembic import context

from pacs_gateway.database.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=metadata, render_as_batch=True, transaction_per_migration=False
)
with context.begin_transaction():
    context.run_migrations()
