"""Concurrency within a process: greenlets on one event loop, and group commit."""
