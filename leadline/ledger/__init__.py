"""The ledger: one row for each accepted write, open until its outcome is recorded."""
