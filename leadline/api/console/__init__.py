"""The console's JSON API, under `api/`: queries of the page, and actions of an operator."""
