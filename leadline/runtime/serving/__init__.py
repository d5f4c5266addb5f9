"""Serving: load a function, bridge granian to WSGI, answer health probes."""
