"""What the runner shows: its own lines and the logs of its processes."""
