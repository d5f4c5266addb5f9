"""The baseline: a bare function and its server."""
