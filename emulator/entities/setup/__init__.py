"""How this portal is set up: its directories, pipelines, user fields and types of objects."""
