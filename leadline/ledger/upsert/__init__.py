"""Create or change users by their external id: one or many in a statement, each with its event."""
