"""Private servers and whole systems for tests and benchmarks, separate from `make run`."""
