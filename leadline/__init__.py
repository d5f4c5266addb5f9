"""Leadline keeps users in Postgres and leads in Bitrix24 in step: what the functions share."""
