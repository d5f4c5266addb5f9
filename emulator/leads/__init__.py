"""Leads: fields, stages, multifields, storage, search, and their view in each API."""
