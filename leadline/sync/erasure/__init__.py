"""Erases what the lead of an erased user has of the person."""
