"""One module per server: its files, command, URL and readiness check."""
