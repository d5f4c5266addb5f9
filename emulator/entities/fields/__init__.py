"""Fields: what one is, its types, and the fields of each type of object."""
