"""What an erasure requires outside of the ledger: dead letters, and erasures that were lost."""
