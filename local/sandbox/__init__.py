"""Private servers and whole systems for tests and benchmarks, apart from `make run`."""
