"""What erasures leave to be done outside of the ledger."""
