"""Bitrix24 itself: the portal client, its errors and limits, and what a user is as a lead."""
