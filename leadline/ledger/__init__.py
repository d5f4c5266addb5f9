"""The ledger: every accepted write is one row, open until its outcome is known."""
