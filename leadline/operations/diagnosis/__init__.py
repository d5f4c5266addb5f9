"""Diagnosis for operators: why a user is not in sync, which users failed, a feed of events."""
