"""Postgres: connections and their pool, migrations, and the history of the database."""
