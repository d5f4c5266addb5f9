"""First match: compares all users with all leads of a portal, then writes the listed changes."""
