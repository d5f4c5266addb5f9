"""Alembic's environment: runs in the connection that `migrate.py` opens under its advisory lock."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
