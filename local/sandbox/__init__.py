"""Real servers and whole systems beside the one that a person runs: for tests and benchmarks."""
