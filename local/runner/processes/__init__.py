"""The processes of a local run: described, started, watched and ended."""
