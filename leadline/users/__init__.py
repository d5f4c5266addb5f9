"""The user: its model and rules, and how users are read and searched; `ledger` writes them."""
