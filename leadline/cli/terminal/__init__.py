"""The terminal: help, completion, confirmation, times, errors, the browser."""
