"""One REST request, from its path to its reply: limits, faults, batch, execution."""
