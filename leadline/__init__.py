"""Leadline keeps users in Postgres and leads in Bitrix24 in sync: the code that functions share."""

__version__ = "0.1.0"
