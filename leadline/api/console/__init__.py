"""The console's JSON API, under `api/`: what the page reads, and what an operator orders."""
