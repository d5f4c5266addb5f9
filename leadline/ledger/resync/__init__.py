"""Resync events: a worker looks the lead up and repairs it."""
