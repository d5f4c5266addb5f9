"""Leadline keeps users in Postgres and leads in Bitrix24 in step: what the functions share."""

__version__ = "0.1.0"
