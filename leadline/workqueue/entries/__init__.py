"""Entries of the work queue, one for each user, and the settlements that change them.

Redis keeps the field names of earlier releases. These modules map them to ours when they read them;
`Fields` of a settlement have Redis' names.
"""
