"""Concurrency within a process: greenlets on one event loop, and coalescing of their requests."""
