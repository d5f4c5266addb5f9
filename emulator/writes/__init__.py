"""Writes to CRM objects, whoever makes them: a client, a person, a robot, an import."""
