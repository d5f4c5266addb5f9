"""Bitrix24: the portal client, its errors and limits, and a user as a lead."""
