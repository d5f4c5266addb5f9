"""The local run: the whole system on one machine."""
