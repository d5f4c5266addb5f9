"""Fields: their definition, their types, and those of each type of object."""
