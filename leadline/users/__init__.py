"""The user: model, rules and storage, one statement per write."""
