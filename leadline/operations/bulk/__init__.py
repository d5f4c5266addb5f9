"""Bulk jobs: an operator's action on many users or dead letters, in bounded steps."""
