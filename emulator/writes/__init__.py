"""Writes to CRM objects by clients, people, robots and imports."""
