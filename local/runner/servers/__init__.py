"""One module per server: what it needs on disk, its command, its URL, and when it is ready."""
