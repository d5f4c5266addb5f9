"""Erase a person: a write whose state is a tombstone, and the receipt that stays."""
