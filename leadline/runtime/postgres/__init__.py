"""Postgres: connections and their pool, the schema, and what this database is."""
