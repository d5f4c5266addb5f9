"""Meters, load generators, and what they are applied to: servers, functions, whole systems."""
