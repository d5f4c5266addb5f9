"""First match: compare all users with all leads of a portal, then write just what was listed."""
