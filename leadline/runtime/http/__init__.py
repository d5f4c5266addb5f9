"""HTTP for every function: who may call, how often, and how errors are answered."""
