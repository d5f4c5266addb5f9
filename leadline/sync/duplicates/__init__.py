"""Duplicates before create: the portal is searched for the phone before a lead is created."""
