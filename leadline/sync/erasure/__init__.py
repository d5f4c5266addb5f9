"""Erases the person from the lead of an erased user."""
