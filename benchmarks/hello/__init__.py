"""The bare function that all others are measured against, and its server."""
