"""One REST request, from its path to its response: limits, faults, batch, execution."""
