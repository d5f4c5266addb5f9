"""What makes the whole system run on one machine."""
