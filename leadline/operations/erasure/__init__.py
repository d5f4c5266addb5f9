"""Erasure outside of the ledger: dead letters of erased users, and lost erasures."""
